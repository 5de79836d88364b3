//go:build backends

package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/groupcommit"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore/portable"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore/postgres"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore/storetest"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// replicas returns stores on one new PostgreSQL database with the accounts 11 and 22. Each store has its own connections.
func replicas(t *testing.T, n int) []sqlstore.Store {
	t.Helper()
	rawURL := sqldbtest.Postgres.URL(t)
	stores := make([]sqlstore.Store, n)
	for i := range stores {
		db := sqldbtest.Reopen(t, rawURL)
		if err := db.Migrate(t.Context(), sqlstore.Migrations()); err != nil {
			t.Fatal(err)
		}
		stores[i] = sqlstore.New(db)
	}
	for _, number := range []string{"11", "22"} {
		register(t, stores[0], number)
	}
	t.Cleanup(func() {
		var out bytes.Buffer
		if err := stores[0].Verify(context.WithoutCancel(t.Context()), &out, time.Minute); err != nil {
			t.Errorf("%v\n%s", err, &out)
		}
	})
	return stores
}

func register(t *testing.T, s sqlstore.Store, number string) {
	t.Helper()
	err := s.Register(t.Context(), customer.Registration{
		Customer: customer.Customer{AccountID: "id-" + number, Number: number, Name: "Ana"}, CPFHash: number, CreatedAt: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func deposit(key, number string, cents int) ledger.Command {
	return ledger.Command{
		RequestKey: key, Fingerprint: fmt.Sprint(number, cents), AccountNumber: number,
		Type: ledger.Credit, Kind: ledger.Deposit, Amount: money.Cents(cents),
	}
}

func leg(id, from, to string) ledger.Command {
	return ledger.Command{
		RequestKey: id + ":debit", Fingerprint: id, AccountNumber: from, Counterparty: to,
		Type: ledger.Debit, Kind: ledger.Transfer, Amount: 1, TransferID: id,
	}
}

// 100 commands take three round trips. At first each batch takes one more, to prepare its statements.
func TestRoundTrips(t *testing.T) {
	rawURL := sqldbtest.Postgres.URL(t)
	if err := sqldbtest.Reopen(t, rawURL).Migrate(t.Context(), sqlstore.Migrations()); err != nil {
		t.Fatal(err)
	}
	wire := tap(t, rawURL)
	store := sqlstore.New(sqldbtest.Reopen(t, wire.url))
	var commands [2][]ledger.Command
	for i := range 100 {
		number := fmt.Sprint(100 + i)
		register(t, store, number)
		commands[0] = append(commands[0], deposit("first "+number, number, 100))
		commands[1] = append(commands[1], deposit("second "+number, number, 100))
		commands[1] = append(commands[1], leg("t"+number, number, fmt.Sprint(100+(i+1)%100)))
	}
	book := ledger.New(store)
	for i, batch := range commands {
		before := wire.trips.Load()
		results, err := book.Apply(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if r.Refusal != nil || r.Err != nil {
				t.Fatalf("%+v", r)
			}
		}
		trips := wire.trips.Load() - before
		t.Logf("%d commands: %d round trips", len(batch), trips)
		if i == 1 && trips > 3 {
			t.Errorf("%d commands took %d round trips, want 3", len(batch), trips)
		}
	}
}

// tapped is a proxy that counts round trips: how often the client sends after the server has sent.
type tapped struct {
	url   string
	trips atomic.Int64
}

func tap(t *testing.T, rawURL string) *tapped {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target, w := u.Host, &tapped{}
	u.Host = listener.Addr().String()
	w.url = u.String()
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				t.Error(err)
				return
			}
			var answered atomic.Bool
			answered.Store(true)
			copyAll := func(to, from net.Conn, each func()) {
				defer to.Close()
				buffer := make([]byte, 1<<20)
				for {
					n, err := from.Read(buffer)
					if err != nil {
						return
					}
					each()
					if _, err := to.Write(buffer[:n]); err != nil {
						return
					}
				}
			}
			all.Go(func() { copyAll(client, server, func() { answered.Store(true) }) })
			all.Go(func() {
				copyAll(server, client, func() {
					if answered.Swap(false) {
						w.trips.Add(1)
					}
				})
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		all.Wait()
	})
	return w
}

// Several replicas move money between the same accounts in both directions, in batches that lock many rows.
func TestReplicasShareAccounts(t *testing.T) {
	stores := replicas(t, 3)
	results := apply(t, stores[0], deposit("seed 11", "11", 1000), deposit("seed 22", "22", 100))
	if results[0].Refusal != nil || results[1].Refusal != nil {
		t.Fatal(results)
	}
	var all sync.WaitGroup
	var moved, refused atomic.Int64
	for i, store := range stores {
		book := groupcommit.New(ledger.New(store))
		t.Cleanup(book.Close)
		for n := range 60 {
			all.Go(func() {
				from, to := "11", "22"
				if n%2 == 0 {
					from, to = to, from
				}
				id := fmt.Sprint(i, "-", n)
				back := ledger.Command{
					RequestKey: id + ":credit", Fingerprint: id, AccountNumber: to, Counterparty: from,
					Type: ledger.Credit, Kind: ledger.Transfer, Amount: 1, TransferID: id,
				}
				result, err := storetest.Decided(t.Context(), book, leg(id, from, to))
				if err != nil {
					t.Error(err)
					return
				}
				if result.Refusal != nil {
					refused.Add(1)
					return
				}
				if _, err := storetest.Decided(t.Context(), book, back); err != nil {
					t.Error(err)
				}
				moved.Add(1)
			})
		}
	}
	all.Wait()
	var total int64
	for _, id := range []string{"id-11", "id-22"} {
		a, err := stores[1].Balance(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		total += int64(a.Balance)
	}
	if total != 1100 || moved.Load()+refused.Load() != 180 {
		t.Errorf("total %d, %d moved, %d refused", total, moved.Load(), refused.Load())
	}
}

// A customer's key arrives at two replicas at once, for two accounts, one of which may not exist. It decides once.
func TestReplicasDecideAKeyOnce(t *testing.T) {
	stores := replicas(t, 2)
	books := []*groupcommit.Ledger{groupcommit.New(ledger.New(stores[0])), groupcommit.New(ledger.New(stores[1]))}
	for _, book := range books {
		t.Cleanup(book.Close)
	}
	for round := range 100 {
		key := fmt.Sprint("key ", round)
		numbers := []string{"11", []string{"22", "99"}[round%2]}
		var all sync.WaitGroup
		var decided, conflicts atomic.Int64
		for i, book := range books {
			all.Go(func() {
				results, err := book.Apply(t.Context(), []ledger.Command{deposit(key, numbers[i], 100)})
				switch {
				case err != nil:
					t.Error(err)
				case results[0].Err != nil:
					conflicts.Add(1)
				default:
					decided.Add(1)
				}
			})
		}
		all.Wait()
		if decided.Load() != 1 || conflicts.Load() != 1 {
			t.Fatalf("round %d: %d decided, %d conflicts", round, decided.Load(), conflicts.Load())
		}
	}
}

// An account that does not exist has no row to lock. Two replicas that refuse the same leg at once still give the same
// answer, and neither fails.
func TestReplicasRefuseAKeyTogether(t *testing.T) {
	stores := replicas(t, 2)
	for round := range 50 {
		leg := ledger.Command{
			RequestKey: fmt.Sprint("service:leg ", round), Fingerprint: "f", AccountNumber: "99", Type: ledger.Debit, Kind: ledger.Fee, Amount: 1, TransferID: "t",
		}
		var all sync.WaitGroup
		for _, store := range stores {
			all.Go(func() {
				book := groupcommit.New(ledger.New(store))
				defer book.Close()
				if result, err := storetest.Decided(t.Context(), book, leg); err != nil || result.Refusal != accountapi.UnknownAccount {
					t.Errorf("round %d: %+v, %v", round, result, err)
				}
			})
		}
		all.Wait()
	}
}

func apply(t *testing.T, s sqlstore.Store, commands ...ledger.Command) []ledger.Result {
	t.Helper()
	book := groupcommit.New(ledger.New(s))
	defer book.Close()
	results, err := book.Apply(t.Context(), commands)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// many adds 5000 accounts with four movements each.
var many = []string{
	`INSERT INTO customers SELECT 'id-' || i, 'Ana', 'cpf-' || i, '', '', 0 FROM generate_series(1, 5000) AS i`,
	`INSERT INTO accounts (id, number, balance, version) SELECT 'id-' || i, i::text, 400, 4 FROM generate_series(1, 5000) AS i`,
	`INSERT INTO movements SELECT 'm-' || i || '-' || s, 'k-' || i || '-' || s, 'f', 'id-' || i, s, 'C', 100, 'cash', 'deposit', '', '', '',
		100 * s, s FROM generate_series(1, 5000) AS i, generate_series(1, 4) AS s`,
}

// In a database with many rows, no frequent query reads a whole table.
func TestQueriesUseIndexes(t *testing.T) {
	engine := sqldbtest.Postgres
	db := engine.Open(t, sqlstore.Migrations())
	refusals := "INSERT INTO refusals SELECT 'r-' || i, 'f', 'T', 0 FROM generate_series(1, 5000) AS i"
	for _, statement := range append(slices.Clone(many), refusals, "ANALYZE") {
		if _, err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for query, index := range postgres.Queries {
		args := []any{"id-7"}
		switch {
		case strings.Contains(query, "ANY"):
			args = []any{[]string{"1", "2", "k-3-1"}}
		case strings.Contains(query, "$3"):
			args = []any{int64(0), "", 10}
		}
		plan := engine.Plan(t, db, query, args...)
		if strings.Contains(plan, "Seq Scan") || !strings.Contains(plan, index) {
			t.Errorf("%s\n%s", query, plan)
		}
	}
}

// verify does not sort the keys of millions of movements: it reads them from an index, in order.
func TestPostgresVerifySortsNoKeys(t *testing.T) {
	engine := sqldbtest.Postgres
	rawURL := engine.URL(t)
	db := sqldbtest.Reopen(t, rawURL)
	if err := db.Migrate(t.Context(), sqlstore.Migrations()); err != nil {
		t.Fatal(err)
	}
	vacuum := "VACUUM ANALYZE movements" // as autovacuum does, so that the index alone knows which rows everybody sees
	for _, statement := range append(slices.Clone(many), vacuum) {
		if _, err := db.Read().ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	plan := engine.Plan(t, sqldbtest.Look(t, rawURL), portable.DuplicateRequests)
	if !strings.Contains(plan, "Index Only Scan using movements_request_key_key") || strings.Contains(plan, "Sort") {
		t.Error(plan)
	}
}
