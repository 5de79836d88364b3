// Package repair restores transfers that transfer-svc has lost because its database was restored to an earlier moment than
// the ledger.
package repair

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// portion is how many debits one transaction compares. On SQLite the cost of a statement grows with the square of its number
// of parameters, since SQLite searches each by name.
const portion = 100

// ErrPaidTwice says that requests have two transfers each, because a customer repeated a request after the restore and before
// the repair. Transfers has written each pair to its output.
var ErrPaidTwice = errors.New("requests were paid twice")

// Transfers reads every debit of a transfer in the ledger since that time. If transfer-svc does not have the transfer,
// Transfers adds it, with the customer's request. It does not change transfers that exist. It returns how many it has added.
//
// An added transfer is DEBITED, and recovery may claim it at once. Recovery sends the credit, or the refund, again. The ledger
// gives the same answer as before, so the transfer ends as it ended before.
//
// If the ledger has no request for a debit (it is from before the ledger kept requests), the transfer gets a request id that
// no customer can choose. So does a transfer whose request has another transfer by now: Transfers writes a line to out for
// each such pair, adds the other transfers, and then returns ErrPaidTwice.
//
// ledger must be opened by OpenReadOnly. Neither account-svc nor transfer-svc may run.
func Transfers(ctx context.Context, out io.Writer, ledger, transfers *sqldb.DB, since time.Time) (added int, err error) {
	tx, err := ledger.Snapshot(ctx)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	rows, err := tx.QueryContext(ctx, `
		SELECT m.transfer_id, m.request_id, m.request_fingerprint, a.id, a.number, m.counterparty, m.amount, m.created_at
		FROM books_movements m JOIN books_accounts a ON a.id = m.account_id
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

// debit is what the ledger knows of a transfer.
type debit struct {
	id                     string // of the transfer
	requestID, fingerprint string // "" if the ledger does not know
	accountID, origin      string
	destination            string
	amount                 money.Cents
	at                     int64 // microseconds since 1970
}

type repair struct {
	db           *sqldb.DB
	out          io.Writer
	debits       []debit // not yet compared
	added, twice int
}

// flush adds the missing transfers of r.debits in one transaction.
func (r *repair) flush(ctx context.Context) error {
	if len(r.debits) == 0 {
		return nil
	}
	var added int
	var other map[string]string // ids of the transfers that have the requests of missing ones, by the missing one's id
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
	if err != nil {
		return fmt.Errorf("adding transfers: %w", sqldb.Cause(err))
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

// present returns the ids of those debits whose transfer exists.
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

// NobodysRequest is the beginning of a request id that no request can have. It contains a no-break space, which web.RequestID
// refuses.
const NobodysRequest = "restored\u00a0"

// add adds the transfer of a debit. If another transfer has the debit's request already, add returns the id of that one.
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
