// Package books checks what no service can check alone: that the three databases agree about the money. It reads the views that
// the services publish for it, whose names begin with books_ (docs/adr/0032), while the system runs or at rest.
package books

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/verify"
)

// Databases are the services' databases, opened for reading.
type Databases struct {
	Account, Transfer, Fee *sqldb.DB
}

// Options say what may be unfinished.
type Options struct {
	Grace  time.Duration // how long something may be in flight
	AtRest bool          // nothing may be in flight
}

// Check reads the books once, in the order of the transfers' ids. It writes each violation of a law to out, then a summary.
// It returns verify.ErrViolated if there is a violation.
//
// Check gives no false alarm while the system runs, because of the order of its three snapshots: first fees, then transfers,
// then movements. fee-svc records a fee after the transfer is completed, and transfer-svc writes a state after the movements
// are in the ledger. So the cause of everything in an earlier snapshot is in the later ones. What only a later snapshot shows
// may have happened between the snapshots: it counts as in flight for up to Options.Grace, and as a violation afterwards.
func Check(ctx context.Context, out io.Writer, dbs Databases, o Options) error {
	a := &audit{
		Options: o, report: verify.NewReport(out), youngSince: sqldb.Micros(time.Now().Add(-o.Grace)),
		transfers: map[string]int{}, fees: map[string]int{}, flying: map[string]int{},
	}
	fees, err := begin(ctx, dbs.Fee, a.selectEvents(), &a.feeEvents.events, &a.feeEvents.old, &a.feeEvents.oldest)
	if err != nil {
		return fmt.Errorf("fee-svc: %w", err)
	}
	defer fees.Rollback() //nolint:errcheck // nothing was written
	transfers, err := begin(ctx, dbs.Transfer, a.selectEvents(), &a.transferEvents.events, &a.transferEvents.old, &a.transferEvents.oldest)
	if err != nil {
		return fmt.Errorf("transfer-svc: %w", err)
	}
	defer transfers.Rollback() //nolint:errcheck // nothing was written
	var balances halves
	movements, err := begin(ctx, dbs.Account, "SELECT "+sumOf("balance")+" FROM books_accounts", &balances.high, &balances.low)
	if err != nil {
		return fmt.Errorf("account-svc: %w", err)
	}
	defer movements.Rollback() //nolint:errcheck // nothing was written

	a.customers = balances.total()
	if err := a.sum(ctx, movements); err != nil {
		return fmt.Errorf("account-svc: %w", err)
	}
	if err := a.merge(ctx, transfers, movements, fees); err != nil {
		return err
	}
	a.judgeTotals()
	a.summarize(out)
	if o.AtRest {
		return a.report.Close(len(laws) + 1)
	}
	return a.report.Close(len(laws))
}

// begin starts a snapshot at the moment of query, which returns one row.
func begin(ctx context.Context, db *sqldb.DB, query string, into ...any) (*sql.Tx, error) {
	tx, err := db.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	if err := tx.QueryRowContext(ctx, query).Scan(into...); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return tx, nil
}

// audit is one check of the books.
type audit struct {
	Options
	report     *verify.Report
	youngSince int64 // microseconds since 1970

	customers                 total
	cash, transit, feeRevenue total // balances of the internal accounts
	movements                 int
	transfers, fees           map[string]int // counts, by state and by status
	transferEvents, feeEvents outbox
	held                      total          // in transit, for transfers that are in flight
	waitingFees               int            // for their account's balance
	flying                    map[string]int // what is in flight, by kind
}

// outbox describes the events of one service that wait to be published.
type outbox struct {
	events, old int   // all, and those older than the grace period
	oldest      int64 // when the oldest was added, in microseconds since 1970
}

func (a *audit) selectEvents() string {
	return fmt.Sprintf("SELECT count(*), count(CASE WHEN created_at < %d THEN 1 END), coalesce(min(created_at), 0) FROM books_events", a.youngSince)
}

// sum adds up the balances of the internal accounts. A credit of a customer is a debit of the contra account, and the
// reverse.
func (a *audit) sum(ctx context.Context, tx *sql.Tx) error {
	var cash, transit, feeRevenue halves
	err := tx.QueryRowContext(ctx, "SELECT count(*), "+
		sumOf("CASE WHEN contra = 'cash' THEN change END")+", "+
		sumOf("CASE WHEN contra = 'transit' THEN change END")+", "+
		sumOf("CASE WHEN contra = 'fee-revenue' THEN change END")+
		" FROM (SELECT contra, CASE type WHEN 'C' THEN -amount ELSE amount END AS change FROM books_movements) m").
		Scan(&a.movements, &cash.high, &cash.low, &transit.high, &transit.low, &feeRevenue.high, &feeRevenue.low)
	a.cash, a.transit, a.feeRevenue = cash.total(), transit.total(), feeRevenue.total()
	return err
}

// merge reads transfers, movements and fees side by side, each sorted by transfer id, and judges one transfer after the other.
func (a *audit) merge(ctx context.Context, transferTx, movementTx, feeTx *sql.Tx) error {
	transfers, err := open(ctx, transferTx, "transfers", selectTransfers, scanTransfer)
	if err != nil {
		return err
	}
	defer transfers.close()
	legs, err := open(ctx, movementTx, "movements", selectLegs, scanLeg)
	if err != nil {
		return err
	}
	defer legs.close()
	fees, err := open(ctx, feeTx, "fees", selectFees, scanFee)
	if err != nil {
		return err
	}
	defer fees.close()
	for {
		c := evidence{}
		if !least(&c.id, transfers.head, legs.head, fees.head) {
			return nil
		}
		err := errors.Join(
			transfers.take(c.id, func(t transfer) { c.transfer, c.transfers = t, c.transfers+1 }),
			legs.take(c.id, c.add),
			fees.take(c.id, func(f fee) { c.fee, c.fees = f, c.fees+1 }),
		)
		if err != nil {
			return err
		}
		a.judge(c)
	}
}

// least sets id to the smallest id at the head of the streams. It returns false if all streams have ended.
func least(id *string, heads ...func() (string, bool)) (found bool) {
	for _, head := range heads {
		if next, ok := head(); ok && (!found || next < *id) {
			*id, found = next, true
		}
	}
	return found
}

// The queries of the three streams. Both engines sort ids byte by byte.
const (
	selectTransfers = `SELECT id, request_id, request_fingerprint, origin_account_number, destination_account_number, amount, state,
			created_at, coalesce(completed_at, 0)
		FROM books_transfers ORDER BY id`
	selectLegs = `SELECT m.transfer_id, m.kind, m.type, a.number, m.counterparty, m.amount, m.created_at, m.request_id, m.request_fingerprint
		FROM books_movements m JOIN books_accounts a ON a.id = m.account_id
		WHERE m.kind IN ('transfer', 'refund', 'fee') ORDER BY m.transfer_id`
	selectFees = `SELECT transfer_id, account_number, amount, status, reason, waits_for_balance, created_at
		FROM books_fees ORDER BY transfer_id`
)

// request is a customer's request: its key, and the fingerprint of its payload. In the ledger only the debits of transfers
// have a request, and debits from before the ledger kept requests have none.
type request struct{ id, fingerprint string }

type transfer struct {
	request
	origin, destination string
	amount              money.Cents
	state               string
	created, completed  int64
}

func scanTransfer(rows *sql.Rows) (id string, t transfer, err error) {
	err = rows.Scan(&id, &t.id, &t.fingerprint, &t.origin, &t.destination, &t.amount, &t.state, &t.created, &t.completed)
	return id, t, err
}

type leg struct {
	request
	kind, direction string
	account, other  string
	amount          money.Cents
	created         int64
}

func scanLeg(rows *sql.Rows) (id string, l leg, err error) {
	err = rows.Scan(&id, &l.kind, &l.direction, &l.account, &l.other, &l.amount, &l.created, &l.id, &l.fingerprint)
	return id, l, err
}

type fee struct {
	account        string
	amount         money.Cents
	status, reason string
	waits          bool // for its account's balance
	created        int64
}

func scanFee(rows *sql.Rows) (id string, f fee, err error) {
	err = rows.Scan(&id, &f.account, &f.amount, &f.status, &f.reason, &f.waits, &f.created)
	return id, f, err
}

// stream reads rows one by one, sorted by id.
type stream[R any] struct {
	name string
	rows *sql.Rows
	scan func(*sql.Rows) (id string, row R, err error)
	id   string
	row  R
	more bool
}

func open[R any](ctx context.Context, tx *sql.Tx, name, query string, scan func(*sql.Rows) (string, R, error)) (*stream[R], error) {
	rows, err := tx.QueryContext(ctx, query) //nolint:rowserrcheck // next checks
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s := &stream[R]{name: name, rows: rows, scan: scan}
	if err := s.next(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stream[R]) next() error {
	if s.more = s.rows.Next(); !s.more {
		if err := s.rows.Err(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		return nil
	}
	id, row, err := s.scan(s.rows)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	if id < s.id {
		return fmt.Errorf("%s: %q came after %q: the database does not sort byte by byte", s.name, id, s.id)
	}
	s.id, s.row = id, row
	return nil
}

// head returns the id of the next row, and whether there is one.
func (s *stream[R]) head() (id string, ok bool) { return s.id, s.more }

// take calls to with each row that has that id.
func (s *stream[R]) take(id string, to func(R)) error {
	for s.more && s.id == id {
		to(s.row)
		if err := s.next(); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream[R]) close() { s.rows.Close() }

// summarize writes what the databases hold, also if nothing is wrong.
func (a *audit) summarize(out io.Writer) {
	fmt.Fprintf(out, "%s\n", counts("transfers", a.transfers))
	fmt.Fprintf(out, "%d movements; customers have %s, cash %s, transit %s, fee-revenue %s\n",
		a.movements, a.customers, a.cash, a.transit, a.feeRevenue)
	fmt.Fprintf(out, "%s, of which %d wait for their account's balance\n", counts("fees", a.fees), a.waitingFees)
	fmt.Fprintf(out, "%s\n", counts("in flight", a.flying))
}

// counts returns the text of a total with its parts.
func counts(what string, n map[string]int) string {
	total, parts := 0, []string{}
	for _, name := range slices.Sorted(maps.Keys(n)) {
		total += n[name]
		parts = append(parts, fmt.Sprintf("%d %s", n[name], name))
	}
	if total == 0 {
		return "0 " + what
	}
	return fmt.Sprintf("%d %s: %s", total, what, strings.Join(parts, ", "))
}
