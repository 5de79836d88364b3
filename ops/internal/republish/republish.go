// Package republish has transfer-svc tell again of transfers that were completed, for a fee-svc that has forgotten them.
package republish

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/transfer-svc/transferapi"
)

// portion is how many events one transaction adds.
const portion = 500

// Since puts the events of all transfers that were completed at that time or later into transfer-svc's outbox again,
// whose relay publishes them. An event that waits there stays as it is. It returns how many it has added.
func Since(ctx context.Context, db *sqldb.DB, since time.Time) (added int, err error) {
	for after := ""; ; {
		var messages []outbox.Message
		err := db.InTx(ctx, func(tx *sql.Tx) error {
			if messages, err = completed(ctx, tx, since, after); err != nil {
				return err
			}
			return outbox.Add(ctx, tx, time.Now(), messages)
		})
		if err != nil {
			return added, err
		}
		added += len(messages)
		if len(messages) < portion {
			return added, nil
		}
		after = messages[len(messages)-1].ID
	}
}

// completed returns the events of a portion of transfers, as transfer-svc wrote them.
func completed(ctx context.Context, tx *sql.Tx, since time.Time, after string) ([]outbox.Message, error) {
	rows, err := tx.QueryContext(ctx, `
		SELECT id, request_id, origin_account_number, destination_account_number, amount, completed_at FROM transfers
		WHERE state = 'COMPLETED' AND completed_at >= $1 AND id > $2 AND id NOT IN (SELECT id FROM outbox)
		ORDER BY id LIMIT $3`, sqldb.Micros(since), after, portion)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var messages []outbox.Message
	for rows.Next() {
		var c transferapi.Completed
		var at int64
		if err := rows.Scan(&c.ID, &c.RequestID, &c.OriginAccountNumber, &c.DestinationAccountNumber, &c.Amount, &at); err != nil {
			return nil, err
		}
		c.CompletedAt = sqldb.Time(at)
		payload, err := json.Marshal(c)
		if err != nil {
			return nil, fmt.Errorf("encoding the event: %w", err)
		}
		messages = append(messages, outbox.Message{
			ID: c.ID, Topic: transferapi.TopicCompleted, PartitionKey: c.OriginAccountNumber, Payload: payload,
		})
	}
	return messages, rows.Err()
}
