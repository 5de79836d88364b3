// Package repair gives transfer-svc the transfers back that the ledger has and it has not: what it has forgotten by a
// restore from a backup that is older than the ledger.
package repair

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// portion is how many debits one transaction compares. SQLite finds parameters by name, one by one, so that a statement
// costs the square of their number.
const portion = 100

// ErrPaidTwice says that a customer's request has two transfers, since somebody repeated it after the restore and before
// the repair. Transfers has written which.
var ErrPaidTwice = errors.New("requests were paid twice")

// Transfers adds to transfer-svc's database the transfer of every debit in the ledger since that time that it does not
// have, with the request that its customer made. They are DEBITED and free to be claimed: recovery sends the credit, or
// the refund, once more, and the ledger answers as it had answered, so each ends as it had ended. Transfers that are
// there stay as they are. It returns how many it has added.
//
// A debit from before the ledger kept requests becomes a transfer under a request id that no customer can choose. So
// does one whose request has another transfer: Transfers writes a line to out for each such pair, adds the rest, and
// returns ErrPaidTwice.
//
// It reads through ledger, opened by OpenReadOnly. Neither service may run.
func Transfers(ctx context.Context, out io.Writer, ledger, transfers *sqldb.DB, since time.Time) (added int, err error) {
	tx, err := ledger.Snapshot(ctx)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	rows, err := tx.QueryContext(ctx, `
		SELECT m.transfer_id, coalesce(m.transfer_request_id, ''), coalesce(m.transfer_fingerprint, ''), a.id, a.number,
			m.counterparty, m.amount, m.created_at
		FROM movements m JOIN accounts a ON a.id = m.account_id
		WHERE m.kind = 'transfer' AND m.type = 'D' AND m.created_at >= $1 ORDER BY m.transfer_id`, sqldb.Micros(since))
	if err != nil {
		return 0, fmt.Errorf("reading the ledger: %w", err)
	}
	defer rows.Close()
	r := repair{db: transfers, out: out}
	for rows.Next() {
		var d debit
		if err := rows.Scan(&d.id, &d.requestID, &d.fingerprint, &d.accountID, &d.origin, &d.destination, &d.amount, &d.at); err != nil {
			return r.added, fmt.Errorf("reading the ledger: %w", err)
		}
		if r.debits = append(r.debits, d); len(r.debits) < portion {
			continue
		}
		if err := r.flush(ctx); err != nil {
			return r.added, err
		}
	}
	if err := rows.Err(); err != nil {
		return r.added, fmt.Errorf("reading the ledger: %w", err)
	}
	if err := r.flush(ctx); err != nil {
		return r.added, err
	}
	if r.twice > 0 {
		return r.added, fmt.Errorf("%d %w", r.twice, ErrPaidTwice)
	}
	return r.added, nil
}

// debit is what the ledger tells of a transfer.
type debit struct {
	id                     string // of the transfer
	requestID, fingerprint string // "" if the ledger does not know
	accountID, origin      string
	destination            string
	amount                 money.Cents
	at                     int64 // microseconds
}

type repair struct {
	db           *sqldb.DB
	out          io.Writer
	debits       []debit // to be compared
	added, twice int
}

// flush adds the transfers that are missing, in one transaction.
func (r *repair) flush(ctx context.Context) error {
	if len(r.debits) == 0 {
		return nil
	}
	var added int
	var other map[string]string // by the id of a transfer that is missing: the one that has its request
	err := r.db.InTx(ctx, func(tx *sql.Tx) error {
		added, other = 0, map[string]string{}
		present, err := r.present(ctx, tx)
		if err != nil {
			return err
		}
		for _, d := range r.debits {
			if present[d.id] {
				continue
			}
			if other[d.id], err = add(ctx, tx, d); err != nil {
				return err
			}
			added++
		}
		return nil
	})
	if f := new(fault.Error); errors.As(err, &f) {
		err = f.Err // without the words for customers
	}
	if err != nil {
		return fmt.Errorf("adding transfers: %w", err)
	}
	for _, d := range r.debits {
		if first := other[d.id]; first != "" {
			fmt.Fprintf(r.out, "PAID TWICE request %s of account %s: transfer %s of %s to %s, and transfer %s\n",
				d.requestID, d.origin, d.id, d.amount, d.destination, first)
			r.twice++
		}
	}
	r.added, r.debits = r.added+added, r.debits[:0]
	return nil
}

// present are those of the debits whose transfer is there.
func (r *repair) present(ctx context.Context, tx *sql.Tx) (map[string]bool, error) {
	ids := make([]any, len(r.debits))
	for i, d := range r.debits {
		ids[i] = d.id
	}
	rows, err := tx.QueryContext(ctx, "SELECT id FROM transfers WHERE id IN ("+sqldb.Args(1, len(ids))+")", ids...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	present := map[string]bool{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		present[id] = true
	}
	return present, rows.Err()
}

// NobodysRequest begins the request id of a transfer that no request is to find: it ends with a no-break space, which
// web.RequestID lets nobody choose.
const NobodysRequest = "restored\u00a0"

// add adds the transfer of a debit, and returns the id of the transfer that has its request already, if there is one.
func add(ctx context.Context, tx *sql.Tx, d debit) (other string, err error) {
	requestID, fingerprint := d.requestID, d.fingerprint
	if requestID != "" {
		err := tx.QueryRowContext(ctx, "SELECT id FROM transfers WHERE origin_account_id = $1 AND request_id = $2", d.accountID, requestID).Scan(&other)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return "", err
		}
	}
	if requestID == "" || other != "" {
		requestID, fingerprint = NobodysRequest+d.id, ""
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO transfers (id, request_id, fingerprint, origin_account_id, origin_account_number, destination_account_number,
			amount, state, created_at, updated_at, lease_until, claims)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 'DEBITED', $8, $9, 0, 0)`,
		d.id, requestID, fingerprint, d.accountID, d.origin, d.destination, d.amount, d.at, d.at)
	return other, err
}
