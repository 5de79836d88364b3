package suite_test

import (
	"database/sql"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/bankmore/bankmore/e2e/stack"
)

// The seed makes as many accounts, movements, transfers and fees as it says, and `verify` finds no violation in them.
func seed(t *testing.T) {
	db, err := sql.Open("pgx", servers().WholeURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	seed := exec.Command("go", "run", "./e2e/bench/seed", "-accounts", "1000")
	seed.Dir = root(t)
	seed.Env = os.Environ()
	urls := map[string]string{}
	for _, id := range stack.Services {
		name := strings.TrimSuffix(id, "-svc")
		if _, err := db.ExecContext(t.Context(), "CREATE SCHEMA seed_"+name); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if _, err := db.Exec("DROP SCHEMA seed_" + name + " CASCADE"); err != nil {
				t.Error(err)
			}
		})
		u, err := url.Parse(servers().WholeURL())
		if err != nil {
			t.Fatal(err)
		}
		query := u.Query()
		query.Set("search_path", "seed_"+name)
		u.RawQuery = query.Encode()
		urls[id] = "DATABASE_URL=" + u.String()
		if out, err := system.Apps[id].Service.Run("migrate", urls[id]); err != nil {
			t.Fatalf("%s migrate: %v\n%s", id, err, out)
		}
		seed.Env = append(seed.Env, strings.ToUpper(name)+"_"+urls[id])
	}
	if out, err := seed.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for query, want := range map[string]int{
		"SELECT count(*) FROM seed_account.accounts":   1000,
		"SELECT count(*) FROM seed_account.movements":  10_000,
		"SELECT count(*) FROM seed_transfer.transfers": 3000,
		"SELECT count(*) FROM seed_fee.fees":           3000,
	} {
		var got int
		if err := db.QueryRowContext(t.Context(), query).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", query, got, err, want)
		}
	}
	for _, id := range stack.Services {
		if out, err := system.Apps[id].Service.Run("verify", urls[id]); err != nil {
			t.Errorf("%s verify: %v\n%s", id, err, out)
		}
	}
}
