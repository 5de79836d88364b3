package books_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bankmore/bankmore/ops/internal/books"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
	"github.com/bankmore/bankmore/platform/verify"
)

// world is the three databases, with the services' schemas but without their constraints and triggers, so that a test can
// write anything.
type world struct {
	t                      *testing.T
	engine                 sqldbtest.Engine
	account, transfer, fee *sqldb.DB
	looking                books.Databases
	n                      int // movements
}

func newWorld(t *testing.T, engine sqldbtest.Engine) *world {
	t.Helper()
	open := func(service string) (writing, looking *sqldb.DB) {
		url := engine.URL(t)
		db := sqldbtest.Reopen(t, url)
		if err := db.Migrate(t.Context(), os.DirFS("../../../"+service+"/internal/sqlstore/migrations")); err != nil {
			t.Fatal(err)
		}
		engine.Unguard(t, db)
		return db, sqldbtest.Look(t, url)
	}
	w := &world{t: t, engine: engine}
	w.account, w.looking.Account = open("account-svc")
	w.transfer, w.looking.Transfer = open("transfer-svc")
	w.fee, w.looking.Fee = open("fee-svc")
	w.reset(t)
	return w
}

// reset empties the books, for another test.
func (w *world) reset(t *testing.T) {
	t.Helper()
	w.t, w.n = t, 0
	w.exec(w.transfer, "DELETE FROM transfers; DELETE FROM outbox")
	w.exec(w.fee, "DELETE FROM fees; DELETE FROM debtors; DELETE FROM outbox")
	w.exec(w.account, `
		DELETE FROM movements; DELETE FROM accounts; DELETE FROM customers;
		INSERT INTO customers VALUES ('a', 'Ana', 'a', '', '', 0), ('b', 'Bia', 'b', '', '', 0);
		INSERT INTO accounts (id, number) VALUES ('a', '11'), ('b', '22')`)
}

func (w *world) exec(db *sqldb.DB, statement string) {
	w.t.Helper()
	if err := exec(w.t.Context(), db, statement); err != nil {
		w.t.Error(err)
	}
}

// definition returns the statement that makes a view.
func definition(t *testing.T, engine sqldbtest.Engine, db *sqldb.DB, view string) (statement string) {
	t.Helper()
	query := "SELECT 'CREATE VIEW ' || $1 || ' AS ' || pg_get_viewdef($1::regclass)"
	if engine.Name == sqldbtest.SQLite.Name {
		query = "SELECT sql FROM sqlite_schema WHERE name = $1"
	}
	if err := db.Read().QueryRowContext(t.Context(), query, view).Scan(&statement); err != nil {
		t.Fatal(err)
	}
	return statement
}

func exec(ctx context.Context, db *sqldb.DB, statement string) error {
	return db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, statement)
		return err
	})
}

// The ages of rows.
const (
	old = 11 * time.Minute // longer than the grace period
	now = time.Duration(0)
)

func at(age time.Duration) int64 { return sqldb.Micros(time.Now().Add(-age)) }

var contras = map[string]string{"deposit": "cash", "fee": "fee-revenue", "transfer": "transit", "refund": "transit"}

// move adds a movement and updates the balance of its account.
func (w *world) move(account, direction, kind, other, transfer string, amount int, age time.Duration) {
	w.t.Helper()
	w.n++
	request := "NULL" // only a transfer's debit has one
	if kind == "transfer" && direction == "D" {
		request = "'" + transfer + "'"
	}
	w.exec(w.account, fmt.Sprintf(`
		INSERT INTO movements VALUES ('m%[1]d', 'k%[1]d', 'f', '%[2]s', %[1]d, '%[3]s', %[4]d, '%[5]s', '%[6]s', '%[7]s', '%[8]s', '', 0, %[9]d, %[10]s, %[10]s);
		UPDATE accounts SET balance = balance + CASE '%[3]s' WHEN 'C' THEN %[4]d ELSE -%[4]d END WHERE id = '%[2]s'`,
		w.n, account, direction, amount, contras[kind], kind, other, transfer, at(age), request))
}

func (w *world) debit(id string, age time.Duration) {
	w.move("a", "D", "transfer", "22", id, 1000, age)
}
func (w *world) credit(id string, age time.Duration) {
	w.move("b", "C", "transfer", "11", id, 1000, age)
}
func (w *world) refund(id string, age time.Duration) { w.move("a", "C", "refund", "22", id, 1000, age) }
func (w *world) charge(id string, age time.Duration) { w.move("a", "D", "fee", "", id, 200, age) }

// add adds a transfer of 10.00 from 11 to 22.
func (w *world) add(id, state string, age time.Duration) {
	w.t.Helper()
	failure, completed, lease := "NULL", "NULL", "0"
	switch state {
	case "REFUNDING":
		failure = "'X'"
	case "FAILED":
		failure, lease = "'X'", "NULL"
	case "COMPLETED":
		completed, lease = fmt.Sprint(at(age)), "NULL"
	}
	w.exec(w.transfer, fmt.Sprintf(`
		INSERT INTO transfers VALUES ('%[1]s', '%[1]s', '%[1]s', 'a', '11', '22', 1000, '%[2]s', %[3]s, %[3]s, %[4]d, %[4]d, %[5]s, %[6]s, 0)`,
		id, state, failure, at(age), completed, lease))
}

func (w *world) addFee(id, status, reason string, age time.Duration) {
	w.t.Helper()
	charged := "NULL"
	if status == "CHARGED" {
		charged = "0"
	}
	w.exec(w.fee, fmt.Sprintf(`
		INSERT INTO fees (id, transfer_id, account_number, amount, status, reason, created_at, charged_at, due_at)
		VALUES ('f%[1]s', '%[1]s', '11', 200, '%[2]s', '%[3]s', %[5]d, %[4]s, 0)`, id, status, reason, charged, at(age)))
	if status == "PENDING" {
		w.exec(w.fee, "INSERT INTO debtors (account_number, due_at) VALUES ('11', 0) ON CONFLICT DO NOTHING")
	}
}

func (w *world) addEvent(db *sqldb.DB, age time.Duration) {
	w.t.Helper()
	w.exec(db, fmt.Sprintf("INSERT INTO outbox (id, topic, partition_key, payload, created_at, claimed_until) VALUES ('e', 't', 'k', '', %d, 0)", at(age)))
}

// ordinary fills the books with one example of each transfer and fee that has ended.
func (w *world) ordinary() {
	w.t.Helper()
	w.move("a", "C", "deposit", "", "", 100000, old)
	w.add("t1", "COMPLETED", old)
	w.debit("t1", old)
	w.credit("t1", old)
	w.addFee("t1", "CHARGED", "", old)
	w.charge("t1", old)
	w.add("t2", "FAILED", old)
	w.debit("t2", old)
	w.refund("t2", old)
	w.add("t3", "FAILED", old)
	w.add("t4", "COMPLETED", old) // from 22, which then has too little for the fee
	w.exec(w.transfer, `UPDATE transfers SET origin_account_id = 'b', origin_account_number = '22', destination_account_number = '11' WHERE id = 't4'`)
	w.move("b", "D", "transfer", "11", "t4", 1000, old)
	w.move("a", "C", "transfer", "22", "t4", 1000, old)
	w.addFee("t4", "PENDING", "", old)
	w.exec(w.fee, "UPDATE fees SET account_number = '22' WHERE id = 'ft4'; UPDATE debtors SET account_number = '22', waits = TRUE")
	w.add("t5", "COMPLETED", old)
	w.debit("t5", old)
	w.credit("t5", old)
	w.addFee("t5", "WAIVED", "INACTIVE_ACCOUNT", old)
}

// check returns the violated laws, each once, and the output.
func (w *world) check(atRest bool) (violated []string, out string) {
	w.t.Helper()
	var b bytes.Buffer
	err := books.Check(w.t.Context(), &b, w.looking, books.Options{Grace: 10 * time.Minute, AtRest: atRest})
	for line := range strings.Lines(b.String()) {
		if rest, ok := strings.CutPrefix(line, "VIOLATION "); ok {
			name, _, _ := strings.Cut(rest, ": ")
			violated = append(violated, name)
		}
	}
	if (len(violated) > 0) != errors.Is(err, verify.ErrViolated) || len(violated) == 0 && err != nil {
		w.t.Errorf("error %v with violations %q", err, violated)
	}
	slices.Sort(violated)
	return slices.Compact(violated), b.String()
}

func (w *world) want(atRest bool, laws ...string) {
	w.t.Helper()
	violated, out := w.check(atRest)
	slices.Sort(laws)
	if !slices.Equal(violated, laws) {
		w.t.Errorf("at rest %v: violated %q, want %q\n%s", atRest, violated, laws, out)
	}
}

const (
	completedLaw  = "a completed transfer is one debit of its origin and one credit of its destination"
	failedLaw     = "a failed transfer has moved nothing, or has been refunded"
	unfinishedLaw = "an unfinished transfer has moved what its state says"
	stuckLaw      = "no transfer stays unfinished"
	orphanLaw     = "a movement of a transfer, its refund or its fee has its transfer"
	requestLaw    = "the debit of a transfer carries its transfer's request, by which it can be restored"
	feeLaw        = "a completed transfer, and no other, has one fee, of its origin"
	chargeLaw     = "a charged fee, and no other, is one movement of its amount"
	pendingLaw    = "no fee stays pending but for its account's balance"
	eventLaw      = "no event stays in an outbox"
	sumLaw        = "customers and internal accounts add up to zero"
	transitLaw    = "what is in transit belongs to unfinished transfers"
	restLaw       = "nothing is in flight"
)

func TestGoodBooks(t *testing.T) { sqldbtest.Each(t, testGoodBooks) }

func testGoodBooks(t *testing.T, engine sqldbtest.Engine) {
	w := newWorld(t, engine)
	w.want(true) // empty
	w.ordinary()
	w.want(false)
	violated, out := w.check(true)
	want := `5 transfers: 3 COMPLETED, 2 FAILED
10 movements; customers have 998.00, cash -1000.00, transit 0.00, fee-revenue 2.00
3 fees: 1 CHARGED, 1 PENDING, 1 WAIVED, of which 1 wait for their account's balance
0 in flight
13 invariants checked, 0 violations
`
	if len(violated) > 0 || out != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}

// breach is something that breaks laws in the books of ordinary.
type breach struct {
	plant func(w *world)
	laws  []string // what Check names: these and no others
}

// movement returns what changes the ledger.
func movement(change string) func(*world) {
	return func(w *world) { w.exec(w.account, change) }
}

// breaches are the breaches of the laws that hold at any time, each by its name. What is good goes with no law.
var breaches = map[string]breach{
	"a completed transfer without its credit": {func(w *world) { w.add("x", "COMPLETED", now); w.debit("x", now); w.addFee("x", "WAIVED", "X", now) },
		[]string{completedLaw, transitLaw}},
	"a completed transfer without its debit": {func(w *world) { w.add("x", "COMPLETED", now); w.credit("x", now); w.addFee("x", "WAIVED", "X", now) },
		[]string{completedLaw, transitLaw}},
	"a completed transfer that moved nothing": {func(w *world) { w.add("x", "COMPLETED", now); w.addFee("x", "WAIVED", "X", now) }, []string{completedLaw}},
	"a refund that takes money":               {func(w *world) { w.move("a", "D", "refund", "22", "t1", 1000, now) }, []string{completedLaw, transitLaw}},
	"a credit called a refund":                {movement("UPDATE movements SET kind = 'refund' WHERE id = 'm3'"), []string{completedLaw}},
	"a failed transfer refunded and credited": {func(w *world) { w.credit("t2", now) }, []string{failedLaw, transitLaw}},
	"a transfer DEBITED, credited and refunded": {func(w *world) {
		w.add("x", "DEBITED", now)
		w.debit("x", now)
		w.credit("x", now)
		w.refund("x", now)
	}, []string{unfinishedLaw, transitLaw}},
	"a transfer PENDING, credited and refunded": {func(w *world) {
		w.add("x", "PENDING", now)
		w.debit("x", now)
		w.credit("x", now)
		w.refund("x", now)
	}, []string{unfinishedLaw, transitLaw}},
	"a transfer PENDING and refunded without a debit": {func(w *world) { w.add("x", "PENDING", now); w.refund("x", now) }, []string{unfinishedLaw, transitLaw}},
	"a transfer PENDING and credited twice": {func(w *world) {
		w.add("x", "PENDING", now)
		w.debit("x", now)
		w.credit("x", now)
		w.credit("x", now)
	}, []string{unfinishedLaw, transitLaw}},
	"a transfer PENDING whose credit went elsewhere": {func(w *world) {
		w.add("x", "PENDING", now)
		w.debit("x", now)
		w.move("a", "C", "transfer", "11", "x", 1000, now)
	}, []string{unfinishedLaw}},
	"a transfer REFUNDING, credited and refunded": {func(w *world) {
		w.add("x", "REFUNDING", now)
		w.debit("x", now)
		w.credit("x", now)
		w.refund("x", now)
	}, []string{unfinishedLaw, transitLaw}},
	"two debits":                           {func(w *world) { w.debit("t1", now) }, []string{completedLaw, transitLaw}},
	"two credits":                          {func(w *world) { w.credit("t1", now) }, []string{completedLaw, transitLaw}},
	"a refund beside the credit":           {func(w *world) { w.refund("t1", now) }, []string{completedLaw, transitLaw}},
	"a credit of somebody else":            {movement("UPDATE movements SET account_id = 'a' WHERE id = 'm3'"), []string{completedLaw}},
	"a debit of somebody else":             {movement("UPDATE movements SET account_id = 'b' WHERE id = 'm2'"), []string{completedLaw}},
	"a debit that names somebody else":     {movement("UPDATE movements SET counterparty = '33' WHERE id = 'm2'"), []string{completedLaw}},
	"a credit that names somebody else":    {movement("UPDATE movements SET counterparty = '33' WHERE id = 'm3'"), []string{completedLaw}},
	"a credit of another amount":           {movement("UPDATE movements SET amount = 999 WHERE id = 'm3'"), []string{completedLaw, sumLaw, transitLaw}},
	"both legs of another amount":          {movement("UPDATE movements SET amount = 999 WHERE id IN ('m2', 'm3')"), []string{completedLaw}},
	"a transfer of another amount":         {func(w *world) { w.exec(w.transfer, "UPDATE transfers SET amount = 999 WHERE id = 't1'") }, []string{completedLaw}},
	"a movement the wrong way":             {movement("UPDATE movements SET kind = 'fee' WHERE id = 'm3'"), []string{completedLaw}},
	"a failed transfer that was debited":   {func(w *world) { w.debit("t3", now) }, []string{failedLaw, transitLaw}},
	"a failed transfer that was credited":  {func(w *world) { w.debit("t3", now); w.credit("t3", now) }, []string{failedLaw}},
	"a failed transfer refunded twice":     {func(w *world) { w.refund("t2", now) }, []string{failedLaw, transitLaw}},
	"a refund of less":                     {movement("UPDATE movements SET amount = 999 WHERE kind = 'refund'"), []string{failedLaw, sumLaw, transitLaw}},
	"a refund of somebody else":            {movement("UPDATE movements SET account_id = 'b' WHERE kind = 'refund'"), []string{failedLaw}},
	"a transfer DEBITED without a debit":   {func(w *world) { w.add("x", "DEBITED", now) }, []string{unfinishedLaw}},
	"a transfer REFUNDING without a debit": {func(w *world) { w.add("x", "REFUNDING", now) }, []string{unfinishedLaw}},
	"a transfer REFUNDING and credited":    {func(w *world) { w.add("x", "REFUNDING", now); w.debit("x", now); w.credit("x", now) }, []string{unfinishedLaw}},
	"a transfer PENDING and credited":      {func(w *world) { w.add("x", "PENDING", now); w.credit("x", now) }, []string{unfinishedLaw, transitLaw}},
	"a transfer PENDING and debited twice": {func(w *world) { w.add("x", "PENDING", now); w.debit("x", now); w.debit("x", now) }, []string{unfinishedLaw, transitLaw}},
	"a debit of another request":           {movement("UPDATE movements SET transfer_request_id = 'y' WHERE id = 'm2'"), []string{requestLaw}},
	"a debit of another payload":           {movement("UPDATE movements SET transfer_fingerprint = 'y' WHERE id = 'm2'"), []string{requestLaw}},
	"a debit from before requests":         {movement("UPDATE movements SET transfer_request_id = NULL, transfer_fingerprint = NULL WHERE id = 'm2'"), nil},
	"a request that was paid twice": {func(w *world) {
		w.exec(w.transfer, "UPDATE transfers SET request_id = 'restored\u00a0t1', fingerprint = '' WHERE id = 't1'")
	}, nil},
	"a fee of no transfer":            {func(w *world) { w.addFee("x", "WAIVED", "X", now) }, []string{feeLaw}},
	"a fee of a failed transfer":      {func(w *world) { w.addFee("t3", "WAIVED", "X", now) }, []string{feeLaw}},
	"a fee of an unfinished transfer": {func(w *world) { w.add("x", "PENDING", now); w.addFee("x", "WAIVED", "X", now) }, []string{feeLaw}},
	"a fee of somebody else":          {func(w *world) { w.exec(w.fee, "UPDATE fees SET account_number = '22' WHERE id = 'ft5'") }, []string{feeLaw}},
	"two fees of a transfer": {func(w *world) {
		view := definition(w.t, w.engine, w.fee, "books_fees")
		w.exec(w.fee, `DROP VIEW books_fees; CREATE TABLE keyless AS SELECT * FROM fees; DROP TABLE fees; ALTER TABLE keyless RENAME TO fees;
			INSERT INTO fees SELECT * FROM fees WHERE id = 'ft5'; `+view)
	}, []string{feeLaw}},
	"a charged fee without a movement": {func(w *world) { w.exec(w.fee, "UPDATE fees SET status = 'CHARGED' WHERE id = 'ft5'") }, []string{chargeLaw}},
	"a charged fee of another amount":  {func(w *world) { w.exec(w.fee, "UPDATE fees SET amount = 100 WHERE id = 'ft1'") }, []string{chargeLaw}},
	"a fee charged twice":              {func(w *world) { w.charge("t1", now) }, []string{chargeLaw}},
	"a waived fee that was charged":    {func(w *world) { w.charge("t5", now) }, []string{chargeLaw}},
	"a fee waived for no reason":       {func(w *world) { w.exec(w.fee, "UPDATE fees SET reason = '' WHERE id = 'ft5'") }, []string{chargeLaw}},
	"a fee charged to somebody else":   {movement("UPDATE movements SET account_id = 'b' WHERE kind = 'fee'"), []string{chargeLaw}},
	"a pending fee charged twice": {func(w *world) {
		w.move("b", "D", "fee", "", "t4", 200, now)
		w.move("b", "D", "fee", "", "t4", 200, now)
	}, []string{chargeLaw}},
	"a pending fee charged otherwise": {func(w *world) { w.move("a", "D", "fee", "", "t4", 200, now) }, []string{chargeLaw}},
	"a charge for a failed transfer":  {func(w *world) { w.charge("t3", now) }, []string{chargeLaw}},
	"a balance from nowhere":          {movement("UPDATE accounts SET balance = balance + 1 WHERE id = 'a'"), []string{sumLaw}},
	"a lost movement":                 {movement("DELETE FROM movements WHERE kind = 'deposit'"), []string{sumLaw}},
	"a movement of no transfer":       {func(w *world) { w.move("a", "D", "transfer", "22", "", 5, old) }, []string{orphanLaw, transitLaw}},
	"transit used for something else": {movement("UPDATE movements SET contra = 'transit' WHERE kind = 'deposit'"), []string{transitLaw}},
}

// Check finds each violation under the right law, and no other.
func TestCheckFinds(t *testing.T) { sqldbtest.Each(t, testCheckFinds) }

func testCheckFinds(t *testing.T, engine sqldbtest.Engine) {
	w := newWorld(t, engine)
	for name, test := range breaches {
		t.Run(name, func(t *testing.T) {
			w.reset(t)
			w.ordinary()
			test.plant(w)
			w.want(false, test.laws...)
		})
	}
}

// A hundred accounts have the greatest balance, whose sum does not fit into 64 bits. Then all of it is in transit.
func TestGreatestBalances(t *testing.T) { sqldbtest.Each(t, testGreatestBalances) }

func testGreatestBalances(t *testing.T, engine sqldbtest.Engine) {
	w := newWorld(t, engine)
	const hundred = "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 199) "
	const greatest = 100_000_000_000_000_000 // as account-svc's ledger says
	w.exec(w.account, fmt.Sprintf(hundred+`INSERT INTO customers SELECT 'r' || i, '', 'r' || i, '', '', 0 FROM n;
		INSERT INTO accounts (id, number, balance) SELECT account_id, account_id, %d FROM customers WHERE account_id LIKE 'r%%';
		INSERT INTO movements SELECT 'm' || id, 'm' || id, 'f', id, 1, 'C', balance, 'cash', 'deposit', '', '', '', balance, 0, NULL, NULL
			FROM accounts WHERE balance > 0`, greatest))
	want := func(summary string, laws ...string) {
		t.Helper()
		w.want(false, laws...)
		if _, out := w.check(false); !strings.Contains(out, "\n"+summary+"\n") {
			t.Errorf("no %q in\n%s", summary, out)
		}
	}
	want("100 movements; customers have 100000000000000000.00, cash -100000000000000000.00, transit 0.00, fee-revenue 0.00")
	w.exec(w.account, "UPDATE accounts SET balance = balance - 1 WHERE id = 'r100'")
	want("100 movements; customers have 99999999999999999.99, cash -100000000000000000.00, transit 0.00, fee-revenue 0.00", sumLaw)
	w.exec(w.account, "UPDATE accounts SET balance = balance + 1 WHERE id = 'r100'")

	w.exec(w.transfer, fmt.Sprintf(hundred+`INSERT INTO transfers
		SELECT 'r' || i, '', 'f', 'r' || i, 'r' || i, '22', %d, 'PENDING', NULL, NULL, %[2]d, %[2]d, NULL, 0, 0 FROM n`, greatest, at(now)))
	w.exec(w.account, fmt.Sprintf(`INSERT INTO movements
		SELECT 'd' || id, 'd' || id, 'f', id, 2, 'D', balance, 'transit', 'transfer', '22', id, '', 0, %d, NULL, NULL FROM accounts WHERE balance > 0;
		UPDATE accounts SET balance = 0`, at(now)))
	want("200 movements; customers have 0.00, cash -100000000000000000.00, transit 100000000000000000.00, fee-revenue 0.00")
}

// unfinished is what may be in flight for a while, each by its name.
var unfinished = map[string]struct {
	plant func(w *world, age time.Duration)
	laws  []string // what Check names when it is old
}{
	"pending":                  {func(w *world, age time.Duration) { w.add("x", "PENDING", age) }, []string{stuckLaw}},
	"pending, debited":         {func(w *world, age time.Duration) { w.add("x", "PENDING", age); w.debit("x", age) }, []string{stuckLaw}},
	"debited":                  {func(w *world, age time.Duration) { w.add("x", "DEBITED", age); w.debit("x", age) }, []string{stuckLaw}},
	"pending, refunded by now": {func(w *world, age time.Duration) { w.add("x", "PENDING", age); w.debit("x", age); w.refund("x", age) }, []string{stuckLaw}},
	"pending, credited":        {func(w *world, age time.Duration) { w.add("x", "PENDING", age); w.debit("x", age); w.credit("x", age) }, []string{stuckLaw}},
	"debited, credited by now": {func(w *world, age time.Duration) { w.add("x", "DEBITED", age); w.debit("x", age); w.credit("x", age) }, []string{stuckLaw}},
	"debited, refunded by now": {func(w *world, age time.Duration) { w.add("x", "DEBITED", age); w.debit("x", age); w.refund("x", age) }, []string{stuckLaw}},
	"refunding":                {func(w *world, age time.Duration) { w.add("x", "REFUNDING", age); w.debit("x", age) }, []string{stuckLaw}},
	"refunded":                 {func(w *world, age time.Duration) { w.add("x", "REFUNDING", age); w.debit("x", age); w.refund("x", age) }, []string{stuckLaw}},
	"begun meanwhile":          {func(w *world, age time.Duration) { w.debit("x", age) }, []string{orphanLaw, transitLaw}},
	"done meanwhile":           {func(w *world, age time.Duration) { w.debit("x", age); w.credit("x", age); w.charge("x", age) }, []string{orphanLaw}},
	"without its fee":          {func(w *world, age time.Duration) { w.add("x", "COMPLETED", age); w.debit("x", age); w.credit("x", age) }, []string{feeLaw}},
	"fee charged by now": {func(w *world, age time.Duration) {
		w.add("x", "COMPLETED", old)
		w.debit("x", old)
		w.credit("x", old)
		w.addFee("x", "PENDING", "", age)
		w.charge("x", age)
	}, []string{chargeLaw}},
	"fee recorded and charged by now": {func(w *world, age time.Duration) {
		w.add("x", "COMPLETED", age)
		w.debit("x", age)
		w.credit("x", age)
		w.charge("x", age)
	}, []string{feeLaw, chargeLaw}},
	"fee pending": {func(w *world, age time.Duration) {
		w.add("x", "COMPLETED", age)
		w.debit("x", age)
		w.credit("x", age)
		w.addFee("x", "PENDING", "", age)
	}, []string{pendingLaw}},
	"event of a transfer": {func(w *world, age time.Duration) { w.addEvent(w.transfer, age) }, []string{eventLaw}},
	"event of a fee":      {func(w *world, age time.Duration) { w.addEvent(w.fee, age) }, []string{eventLaw}},
}

// Every law has something that breaks it, or its check would prove nothing.
func TestEveryLawHasABreach(t *testing.T) {
	broken := map[string]bool{restLaw: true} // by everything that is in flight: testInFlight
	for _, b := range breaches {
		for _, law := range b.laws {
			broken[law] = true
		}
	}
	for _, u := range unfinished {
		for _, law := range u.laws {
			broken[law] = true
		}
	}
	for _, law := range books.Laws() {
		if !broken[law] {
			t.Errorf("no breach of %q", law)
		}
		delete(broken, law)
	}
	if len(broken) > 0 {
		t.Errorf("books has no laws %q", slices.Collect(maps.Keys(broken)))
	}
}

// What is unfinished in a running system is in flight. It is no violation while it is young. It violates a law when it is old,
// and another law at rest.
func TestInFlight(t *testing.T) { sqldbtest.Each(t, testInFlight) }

func testInFlight(t *testing.T, engine sqldbtest.Engine) {
	w := newWorld(t, engine)
	for name, test := range unfinished {
		t.Run(name, func(t *testing.T) {
			w.reset(t)
			w.ordinary()
			test.plant(w, now)
			w.want(false)
			w.want(true, restLaw)
			if _, out := w.check(false); strings.Contains(out, "\n0 in flight\n") {
				t.Errorf("nothing is in flight:\n%s", out)
			}
			w.reset(t)
			w.ordinary()
			test.plant(w, old)
			w.want(false, test.laws...)
		})
	}
}

// While transfers run, Check reports no violation, because of the order of its three snapshots.
func TestCheckWhileTransfersRun(t *testing.T) { sqldbtest.Each(t, testCheckWhileTransfersRun) }

func testCheckWhileTransfersRun(t *testing.T, engine sqldbtest.Engine) {
	w := newWorld(t, engine)
	w.move("a", "C", "deposit", "", "", 100_000_000, old)
	stop, stopped := make(chan struct{}), make(chan struct{})
	var ran atomic.Int32
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				w.run(fmt.Sprintf("t%06d", i), i%2 == 1, i%5 == 4)
				ran.Add(1)
			}
		}
	}()
	for checks := 0; checks < 20 || ran.Load() < 100; checks++ {
		w.want(false)
	}
	close(stop)
	<-stopped
	w.want(true)
}

// run takes a transfer through its states as the services do: each change is committed before the next one. If it goes apart, the
// debit is recorded before the credit.
func (w *world) run(id string, apart, refused bool) {
	w.add(id, "PENDING", now)
	w.debit(id, now)
	step := func(set string) { w.exec(w.transfer, "UPDATE transfers SET "+set+" WHERE id = '"+id+"'") }
	if apart {
		step("state = 'DEBITED'")
	}
	if refused {
		step("state = 'REFUNDING', failure_type = 'X', failure_message = 'X'")
		w.refund(id, now)
		step("state = 'FAILED', lease_until = NULL")
		return
	}
	w.credit(id, now)
	step(fmt.Sprintf("state = 'COMPLETED', completed_at = %d, lease_until = NULL", at(now)))
	w.addFee(id, "PENDING", "", now)
	w.charge(id, now)
	w.exec(w.fee, "UPDATE fees SET status = 'CHARGED', charged_at = 0 WHERE transfer_id = '"+id+"'")
}

// If Check cannot read a database, it returns an error that is no ErrViolated.
func TestCheckFailsLoudly(t *testing.T) {
	w := newWorld(t, sqldbtest.SQLite)
	w.exec(w.fee, "DROP TABLE outbox")
	var out bytes.Buffer
	err := books.Check(t.Context(), &out, w.looking, books.Options{})
	if err == nil || errors.Is(err, verify.ErrViolated) || !strings.Contains(err.Error(), "fee-svc") {
		t.Errorf("without a table: %v\n%s", err, &out)
	}
	if f := new(fault.Error); errors.As(err, &f) {
		t.Errorf("%v, want no words for customers", err)
	}
}
