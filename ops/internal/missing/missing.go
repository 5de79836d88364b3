// Package missing names the transfers that a restore from a backup has lost: the topic has their events, but transfer-svc's
// database does not have them.
package missing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/bankmore/bankmore/ops/internal/broker"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/transfer-svc/transferapi"
)

// portion is how many events one query looks up.
const portion = 100

// ErrMissing says that transfers are missing. Transfers has written each of them to its output.
var ErrMissing = errors.New("transfers are missing")

// Transfers reads the topic of completed transfers. It writes a line to out for each transfer that transfer-svc does not have,
// then a summary. It returns ErrMissing if there is such a transfer. If the customer has repeated the request since, with the
// same request id, the transfer is not missing, though its id is another one now.
//
// Transfers cannot name a transfer whose event was never published, or whose event the broker has deleted for its age.
func Transfers(ctx context.Context, out io.Writer, client *kgo.Client, account, transfer *sqldb.DB) error {
	s := search{out: out, account: account, transfer: transfer, named: map[string]bool{}}
	err := broker.Scan(ctx, client, transferapi.TopicCompleted, func(r *kgo.Record) error {
		_, c, err := transferapi.ReadCompleted(r.Value)
		if err != nil { // fee-svc keeps it as a dead letter
			s.unread++
			return nil //nolint:nilerr // it is counted
		}
		s.understood++
		if s.waiting = append(s.waiting, c); len(s.waiting) < portion {
			return nil
		}
		return s.look(ctx)
	})
	if err == nil {
		err = s.look(ctx)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d events of completed transfers, %d transfers are missing; %d events that cannot be understood\n", s.understood, len(s.named), s.unread)
	if len(s.named) > 0 {
		return fmt.Errorf("%d %w", len(s.named), ErrMissing)
	}
	return nil
}

type search struct {
	out               io.Writer
	account, transfer *sqldb.DB
	waiting           []transferapi.Completed
	named             map[string]bool // missing transfers that were written, by id: an event may be in the topic twice
	understood        int             // number of events that could be read
	unread            int             // number of events that could not
}

// look looks up the transfers of the waiting events, and writes those that are missing.
func (s *search) look(ctx context.Context) error {
	if len(s.waiting) == 0 {
		return nil
	}
	var ids, numbers []any
	for _, c := range s.waiting {
		ids = append(ids, c.ID)
		numbers = append(numbers, c.OriginAccountNumber, c.DestinationAccountNumber)
	}
	present, err := pairs(ctx, s.transfer, "SELECT id, '' FROM books_transfers WHERE id IN ("+sqldb.Args(1, len(ids))+")", ids)
	if err != nil {
		return fmt.Errorf("transfer-svc: %w", err)
	}
	accounts, err := pairs(ctx, s.account, "SELECT number, id FROM books_accounts WHERE number IN ("+sqldb.Args(1, len(numbers))+")", numbers)
	if err != nil {
		return fmt.Errorf("account-svc: %w", err)
	}
	for _, c := range s.waiting {
		if _, ok := present[c.ID]; ok || s.named[c.ID] {
			continue
		}
		again, err := pairs(ctx, s.transfer, "SELECT id, '' FROM books_transfers WHERE origin_account_id = $1 AND request_id = $2",
			[]any{accounts[c.OriginAccountNumber], c.RequestID})
		if err != nil {
			return fmt.Errorf("transfer-svc: %w", err)
		}
		if len(again) > 0 {
			continue
		}
		s.named[c.ID] = true
		fmt.Fprintln(s.out, line(c, accounts))
	}
	s.waiting = s.waiting[:0]
	return nil
}

// line returns the line of output for a missing transfer.
func line(c transferapi.Completed, accounts map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "MISSING transfer %s of %s from %s to %s, request %q, completed at %s",
		c.ID, c.Amount, c.OriginAccountNumber, c.DestinationAccountNumber, c.RequestID, c.CompletedAt.Format(time.RFC3339))
	for _, number := range []string{c.OriginAccountNumber, c.DestinationAccountNumber} {
		if accounts[number] == "" {
			fmt.Fprintf(&b, ", and account %s", number)
		}
	}
	return b.String()
}

// pairs runs a query with two text columns, and returns the second by the first.
func pairs(ctx context.Context, db *sqldb.DB, query string, args []any) (map[string]string, error) {
	rows, err := db.Read().QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[string]string{}
	for rows.Next() {
		var key, value string
		if err := rows.Scan(&key, &value); err != nil {
			return nil, err
		}
		found[key] = value
	}
	return found, rows.Err()
}
