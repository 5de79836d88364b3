package repair_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/bankmore/bankmore/ops/internal/repair"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// world is the databases of account-svc and transfer-svc. The account with the number 11 has the id a, and 22 has the id b.
type world struct {
	t                         *testing.T
	account, ledger, transfer *sqldb.DB // ledger is account, opened for reading only
}

func newWorld(t *testing.T, engine sqldbtest.Engine) *world {
	t.Helper()
	w := &world{t: t}
	open := func(service string) (*sqldb.DB, string) {
		url := engine.URL(t)
		db := sqldbtest.Reopen(t, url)
		if err := db.Migrate(t.Context(), os.DirFS("../../../"+service+"/internal/sqlstore/migrations")); err != nil {
			t.Fatal(err)
		}
		return db, url
	}
	var url string
	w.account, url = open("account-svc")
	w.transfer, _ = open("transfer-svc")
	w.ledger = sqldbtest.Look(t, url)
	w.exec(w.account, `INSERT INTO customers (account_id, name, cpf_hash, cpf_encrypted, password_hash, created_at)
			VALUES ('a', 'Ana', 'a', '', '', 0), ('b', 'Bia', 'b', '', '', 0);
		INSERT INTO accounts (id, number) VALUES ('a', '11'), ('b', '22')`)
	return w
}

func (w *world) exec(db *sqldb.DB, statement string) {
	w.t.Helper()
	if err := exec(w.t.Context(), db, statement); err != nil {
		w.t.Fatal(err)
	}
}

func exec(ctx context.Context, db *sqldb.DB, statement string) error {
	return db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, statement)
		return err
	})
}

// movement returns a statement that adds the n-th movement of an account.
func movement(n int, account, direction, kind, transfer, request, fingerprint string) string {
	return fmt.Sprintf(`INSERT INTO movements (id, request_key, fingerprint, account_id, seq, type, amount, contra, kind, counterparty,
		transfer_id, description, balance_after, created_at, transfer_request_id, transfer_fingerprint)
		VALUES ('m%[1]d', 'k%[1]d', 'of the command', '%[2]s', %[1]d, '%[3]s', 1050, 'transit', '%[4]s', '%[8]s', '%[5]s', '', 0, %[1]d000000, %[6]s, %[7]s);`,
		n, account, direction, kind, transfer, request, fingerprint, map[string]string{"a": "22", "b": "11"}[account])
}

// rows returns the columns of all transfers.
func (w *world) rows() string {
	w.t.Helper()
	rows, err := w.transfer.Read().QueryContext(w.t.Context(), `
		SELECT id || ' ' || replace(request_id, $1, '_') || ' ' || fingerprint || ' ' || origin_account_id || ' ' || origin_account_number || ' ' ||
			destination_account_number || ' ' || amount || ' ' || state || ' ' || created_at || ' ' || updated_at || ' ' || coalesce(lease_until, -1) || ' ' || claims
		FROM transfers ORDER BY id`, "\u00a0")
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var row string
		if err := rows.Scan(&row); err != nil {
			w.t.Fatal(err)
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

// Transfers restores a lost transfer with its request, does not change existing ones, and names a request that was paid twice.
func TestTransfers(t *testing.T) { sqldbtest.Each(t, testTransfers) }

func testTransfers(t *testing.T, engine sqldbtest.Engine) {
	w := newWorld(t, engine)
	w.exec(w.account, movement(1, "a", "D", "transfer", "t1", "'pedido || 1'", "'f1'")+ // known
		movement(2, "a", "D", "transfer", "t2", "'it''s 2'", "'f2'")+ // lost
		movement(3, "b", "C", "transfer", "t2", "NULL", "NULL")+
		movement(4, "a", "D", "transfer", "t3", "NULL", "NULL")+ // lost, and from before the ledger kept requests
		movement(5, "a", "C", "refund", "t3", "NULL", "NULL")+
		movement(6, "a", "D", "fee", "t2", "NULL", "NULL")+
		movement(7, "b", "D", "transfer", "t4", "'pedido || 1'", "'f4'")+ // lost, of another customer with the same key
		movement(8, "a", "D", "transfer", "t5", "'5'", "'f5'")+ // lost, and its request was repeated since: t6
		movement(9, "a", "D", "transfer", "t6", "'5'", "'f5'"))
	const known = "INSERT INTO transfers VALUES ('%s', '%s', '%s', 'a', '11', '22', 1050, 'COMPLETED', NULL, NULL, 1, 2, 2, NULL, 0);"
	w.exec(w.transfer, fmt.Sprintf(known+known, "t1", "pedido || 1", "f1", "t6", "5", "f5"))

	var out bytes.Buffer
	n, err := repair.Transfers(t.Context(), &out, w.ledger, w.transfer, sqldb.Time(0))
	if n != 4 || !errors.Is(err, repair.ErrPaidTwice) {
		t.Errorf("%d, %v", n, err)
	}
	if want := "PAID TWICE request 5 of account 11: transfer t5 of 10.50 to 22, and transfer t6\n"; out.String() != want {
		t.Errorf("written %q, want %q", &out, want)
	}
	want := `t1 pedido || 1 f1 a 11 22 1050 COMPLETED 1 2 -1 0
t2 it's 2 f2 a 11 22 1050 DEBITED 2000000 2000000 0 0
t3 restored_t3  a 11 22 1050 DEBITED 4000000 4000000 0 0
t4 pedido || 1 f4 b 22 11 1050 DEBITED 7000000 7000000 0 0
t5 restored_t5  a 11 22 1050 DEBITED 8000000 8000000 0 0
t6 5 f5 a 11 22 1050 COMPLETED 1 2 -1 0`
	if got := w.rows(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if n, err := repair.Transfers(t.Context(), &out, w.ledger, w.transfer, sqldb.Time(0)); n != 0 || err != nil {
		t.Errorf("once more: %d, %v", n, err)
	}
}

// Transfers restores thousands in portions. If since is set, it restores only those from then on.
func TestManyTransfers(t *testing.T) { sqldbtest.Each(t, testManyTransfers) }

func testManyTransfers(t *testing.T, engine sqldbtest.Engine) {
	w := newWorld(t, engine)
	const many = 1234
	w.exec(w.account, fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
		INSERT INTO movements (id, request_key, fingerprint, account_id, seq, type, amount, contra, kind, counterparty,
			transfer_id, description, balance_after, created_at, transfer_request_id, transfer_fingerprint)
		SELECT 'm' || i, 'k' || i, 'f', 'a', i, 'D', 1, 'transit', 'transfer', '22', 't' || i, '', 0, i * 1000000, 'r' || i, 'f' FROM n`, many))
	for _, test := range []struct{ since, want int64 }{{1001, 234}, {0, 1000}, {0, 0}} {
		n, err := repair.Transfers(t.Context(), new(bytes.Buffer), w.ledger, w.transfer, sqldb.Time(test.since*1_000_000))
		if n != int(test.want) || err != nil {
			t.Errorf("since %d: %d, %v, want %d", test.since, n, err, test.want)
		}
	}
}

// The error holds the cause, without the message for customers.
func TestTransfersFails(t *testing.T) {
	w := newWorld(t, sqldbtest.SQLite)
	w.exec(w.account, movement(1, "a", "D", "transfer", "t1", "'1'", "'f1'"))
	w.exec(w.transfer, "ALTER TABLE transfers RENAME TO gone")
	n, err := repair.Transfers(t.Context(), new(bytes.Buffer), w.ledger, w.transfer, sqldb.Time(0))
	if f := new(fault.Error); err == nil || n != 0 || errors.As(err, &f) {
		t.Errorf("%d, %v", n, err)
	}
}
