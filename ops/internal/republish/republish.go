// Package republish lets transfer-svc publish the events of completed transfers again, for a fee-svc that has lost fees.
package republish

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/transfer-svc/transferapi"
)

// portion is how many events one transaction adds.
const portion = 500

// Since adds the events of all transfers that were completed at that time or later to transfer-svc's outbox again. The relay
// publishes them. An event that waits in the outbox already stays as it is. Since returns how many events it has added.
//
// Since reads all transfers through looking, which must be opened by OpenReadOnly: a long read must not keep writers waiting.
// It writes through db.
func Since(ctx context.Context, looking, db *sqldb.DB, since time.Time) (added int, err error) {
	rows, err := looking.Read().QueryContext(ctx, `
		SELECT id, request_id, origin_account_number, destination_account_number, amount, completed_at FROM transfers
		WHERE state = 'COMPLETED' AND completed_at >= $1 ORDER BY id`, sqldb.Micros(since))
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var messages []outbox.Message
	for rows.Next() {
		m, err := completed(rows)
		if err != nil {
			return added, err
		}
		if messages = append(messages, m); len(messages) < portion {
			continue
		}
		n, err := add(ctx, db, messages)
		if added, messages = added+n, messages[:0]; err != nil {
			return added, err
		}
	}
	if err := rows.Err(); err != nil {
		return added, err
	}
	n, err := add(ctx, db, messages)
	return added + n, err
}

// completed returns the event of a transfer, as transfer-svc wrote it.
func completed(rows *sql.Rows) (outbox.Message, error) {
	var c transferapi.Completed
	var at int64
	if err := rows.Scan(&c.ID, &c.RequestID, &c.OriginAccountNumber, &c.DestinationAccountNumber, &c.Amount, &at); err != nil {
		return outbox.Message{}, err
	}
	c.CompletedAt = sqldb.Time(at)
	payload, err := json.Marshal(c)
	if err != nil {
		return outbox.Message{}, fmt.Errorf("encoding the event: %w", err)
	}
	return outbox.Message{ID: c.ID, Topic: transferapi.TopicCompleted, PartitionKey: c.OriginAccountNumber, Payload: payload}, nil
}

// add adds the messages that are not in the outbox, and returns how many.
func add(ctx context.Context, db *sqldb.DB, messages []outbox.Message) (added int, err error) {
	if len(messages) == 0 {
		return 0, nil
	}
	ids := make([]any, len(messages))
	for i, m := range messages {
		ids[i] = m.ID
	}
	err = db.InTx(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT id FROM outbox WHERE id IN ("+sqldb.Args(1, len(ids))+")", ids...)
		if err != nil {
			return err
		}
		defer rows.Close()
		missing := slices.Clone(messages)
		for rows.Next() {
			var waiting string
			if err := rows.Scan(&waiting); err != nil {
				return err
			}
			missing = slices.DeleteFunc(missing, func(m outbox.Message) bool { return m.ID == waiting })
		}
		if err := rows.Err(); err != nil {
			return err
		}
		added = len(missing)
		return outbox.Add(ctx, tx, time.Now(), missing)
	})
	if f := new(fault.Error); errors.As(err, &f) {
		return 0, f.Err // without the message for customers
	}
	return added, err
}
