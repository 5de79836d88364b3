package portable

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// republishPortion is how many events one transaction of Republish adds.
const republishPortion = 500

// Republish adds the events of all transfers that were completed at that time or later to the outbox again. The relay
// publishes them. An event that waits in the outbox already stays as it is. Republish returns how many events it has added.
//
// An operator uses it for a fee-svc that has lost fees (docs/runbook.md). Operators read its errors, so they are no faults.
//
// Republish reads all transfers through looking, which must be opened by OpenReadOnly: a long read must not keep writers
// waiting.
func (s Store) Republish(ctx context.Context, looking *sqldb.DB, since time.Time) (added int, err error) {
	rows, err := looking.Read().QueryContext(ctx,
		"SELECT "+Columns(looking.Now())+" FROM transfers WHERE state = 'COMPLETED' AND completed_at >= $1 ORDER BY id", sqldb.Micros(since))
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	portion := make([]Completion, 0, republishPortion)
	for rows.Next() {
		t, err := Scan(rows)
		if err != nil {
			return added, err
		}
		if portion = append(portion, Completion{Transfer: t}); len(portion) < republishPortion {
			continue
		}
		n, err := s.addAgain(ctx, portion)
		if added, portion = added+n, portion[:0]; err != nil {
			return added, err
		}
	}
	if err := rows.Err(); err != nil {
		return added, err
	}
	n, err := s.addAgain(ctx, portion)
	return added + n, err
}

// addAgain adds the events of completed transfers that are not in the outbox, and returns how many.
func (s Store) addAgain(ctx context.Context, completed []Completion) (added int, err error) {
	if len(completed) == 0 {
		return 0, nil
	}
	messages, err := Events(completed)
	if err != nil {
		return 0, err
	}
	ids := make([]any, len(messages))
	for i, m := range messages {
		ids[i] = m.ID
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
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
		return s.outbox.Add(ctx, tx, s.db.Now(), missing)
	})
	if err != nil {
		return 0, sqldb.Cause(err)
	}
	return added, nil
}
