package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
	"github.com/bankmore/bankmore/transfer-svc/transferapi"
)

// maxRows bounds the rows of one statement; sqldb.Rows says why.
const maxRows = 32

// Commit implements transfer.Store.
func (s *Store) Commit(ctx context.Context, changes transfer.Changes) (transfer.Committed, error) {
	if s.db.Pipelined() {
		return s.commitPostgres(ctx, changes)
	}
	var done transfer.Committed
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		done = transfer.Committed{}
		for chunk := range slices.Chunk(changes.Creates, maxRows) {
			created, err := create(ctx, tx, chunk)
			if err != nil {
				return fmt.Errorf("creating transfers: %w", err)
			}
			done.Created = append(done.Created, created...)
		}
		for chunk := range slices.Chunk(changes.Steps, maxRows) {
			stepped, err := step(ctx, tx, chunk)
			if err != nil {
				return fmt.Errorf("moving transfers on: %w", err)
			}
			done.Stepped = append(done.Stepped, stepped...)
		}
		return release(ctx, tx, changes.Releases)
	})
	if err != nil {
		return transfer.Committed{}, err
	}
	return done, nil
}

// requestKey is the UNIQUE key of a transfer: the origin's account id and its request id.
type requestKey struct{ accountID, requestID string }

func keyOf(t transfer.Transfer) requestKey { return requestKey{t.Origin.AccountID, t.RequestID} }

// create inserts the transfers whose key is new. For each it returns the transfer that is stored under its key.
func create(ctx context.Context, tx *sql.Tx, transfers []transfer.Transfer) ([]transfer.Transfer, error) {
	args := make([]any, 0, width*len(transfers))
	keys := make([]any, 0, 2*len(transfers))
	for _, t := range transfers {
		args = append(args, values(t)...)
		keys = append(keys, t.Origin.AccountID, t.RequestID)
	}
	const insert, unlessPresent = "INSERT INTO transfers (" + columns + ") VALUES ", " ON CONFLICT (origin_account_id, request_id) DO NOTHING"
	result, err := tx.ExecContext(ctx, insert+sqldb.Rows(len(transfers), width)+unlessPresent, args...)
	if err != nil {
		return nil, err
	}
	if added, err := result.RowsAffected(); err != nil || added == int64(len(transfers)) {
		return transfers, err
	}
	present, err := collect(tx.QueryContext(ctx, "SELECT "+columns+
		" FROM transfers WHERE (origin_account_id, request_id) IN (VALUES "+sqldb.Rows(len(transfers), 2)+")", keys...))
	if err != nil {
		return nil, err
	}
	byKey := make(map[requestKey]transfer.Transfer, len(present))
	for _, t := range present {
		byKey[keyOf(t)] = t
	}
	stored := make([]transfer.Transfer, len(transfers))
	for i, t := range transfers {
		stored[i] = byKey[keyOf(t)]
	}
	return stored, nil
}

// The SQL of a step. setStep reads rows with stepColumns, which the statement names step.
const (
	stepColumns = "id, from_state, to_state, failure_type, failure_message, updated_at, completed_at, final"
	stepWidth   = 8
	setStep     = `state = step.to_state, failure_type = step.failure_type, failure_message = step.failure_message,
		updated_at = step.updated_at, completed_at = step.completed_at,
		lease_until = CASE WHEN step.final THEN NULL ELSE lease_until END`
)

func stepValues(s transfer.Step) []any {
	after := s.After
	return []any{
		after.ID, s.From, after.State, nullText(after.Failure.Type, after.Failure), nullText(after.Failure.Message, after.Failure),
		sqldb.Micros(after.UpdatedAt), nullTime(after.CompletedAt), after.State.Final(),
	}
}

// step makes each step whose transfer is still in the state From, and adds an event for each transfer that it completes.
func step(ctx context.Context, tx *sql.Tx, steps []transfer.Step) ([]bool, error) {
	args := make([]any, 0, stepWidth*len(steps))
	for _, s := range steps {
		args = append(args, stepValues(s)...)
	}
	moved, err := movedTo(tx.QueryContext(ctx, `
		WITH step (`+stepColumns+`) AS (VALUES `+sqldb.Rows(len(steps), stepWidth)+`)
		UPDATE transfers SET `+setStep+` FROM step WHERE transfers.id = step.id AND transfers.state = step.from_state
		RETURNING transfers.id, transfers.state`, args...))
	if err != nil {
		return nil, err
	}
	stepped, completed := applied(steps, moved)
	messages, err := events(completed)
	if err != nil {
		return nil, err
	}
	return stepped, outbox.Add(ctx, tx, time.Now(), messages)
}

// applied reports which steps took effect, and returns the transfers that they completed. moved holds the new states of
// the updated transfers by id; applied deletes its entries.
func applied(steps []transfer.Step, moved map[string]transfer.State) (stepped []bool, completed []transfer.Transfer) {
	stepped = make([]bool, len(steps))
	for i, s := range steps {
		stepped[i] = moved[s.After.ID] == s.After.State
		if !stepped[i] {
			continue
		}
		delete(moved, s.After.ID) // if another driver's equal step is in this batch, only the first one counts
		if s.After.State == transfer.Completed {
			completed = append(completed, s.After)
		}
	}
	return stepped, completed
}

func movedTo(rows *sql.Rows, err error) (map[string]transfer.State, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	moved := map[string]transfer.State{}
	for rows.Next() {
		var id string
		var state transfer.State
		if err := rows.Scan(&id, &state); err != nil {
			return nil, err
		}
		moved[id] = state
	}
	return moved, rows.Err()
}

// events returns the event of each completed transfer. The event's id is the transfer's id, so a transfer has one event.
func events(completed []transfer.Transfer) ([]outbox.Message, error) {
	messages := make([]outbox.Message, len(completed))
	for i, t := range completed {
		payload, err := json.Marshal(transferapi.Completed{
			ID: t.ID, RequestID: t.RequestID, OriginAccountNumber: t.Origin.AccountNumber,
			DestinationAccountNumber: t.Destination, Amount: t.Amount, CompletedAt: t.CompletedAt,
		})
		if err != nil {
			return nil, fmt.Errorf("encoding the event: %w", err)
		}
		messages[i] = outbox.Message{ID: t.ID, Topic: transferapi.TopicCompleted, PartitionKey: t.Origin.AccountNumber, Payload: payload}
	}
	return messages, nil
}

func release(ctx context.Context, tx *sql.Tx, releases []transfer.Release) error {
	for _, r := range releases {
		if _, err := tx.ExecContext(ctx,
			"UPDATE transfers SET lease_until = $1 WHERE id = $2 AND claims = $3 AND lease_until IS NOT NULL",
			sqldb.Micros(r.Until), r.ID, r.Claims); err != nil {
			return fmt.Errorf("releasing leases: %w", err)
		}
	}
	return nil
}

const anyOverdue = "SELECT EXISTS (SELECT 1 FROM transfers WHERE lease_until <= $1)"

// Claim implements transfer.Store.
func (s *Store) Claim(ctx context.Context, now, until time.Time, limit int) (claimed []transfer.Transfer, err error) {
	// Recovery asks every second and mostly finds nothing. So ask on a read connection first, which waits for no writer.
	var due bool
	err = s.db.Read().QueryRowContext(ctx, anyOverdue, sqldb.Micros(now)).Scan(&due)
	if err != nil || !due {
		return nil, sqldb.Away(err)
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		claimed, err = collect(tx.QueryContext(ctx, `
			WITH due AS (SELECT id FROM transfers WHERE lease_until <= $2 ORDER BY lease_until LIMIT $3`+s.db.SkipLocked()+`)
			UPDATE transfers SET lease_until = $1, claims = claims + 1 WHERE id IN (SELECT id FROM due)
			RETURNING `+columns, sqldb.Micros(until), sqldb.Micros(now), limit))
		return err
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// Recall implements transfer.Store.
func (s *Store) Recall(ctx context.Context, now, latest time.Time, limit int) (int, error) {
	return s.db.Exec(ctx, `
		WITH late AS (SELECT id FROM transfers WHERE lease_until > $2 LIMIT $3`+s.db.SkipLocked()+`)
		UPDATE transfers SET lease_until = $1 WHERE id IN (SELECT id FROM late)`, sqldb.Micros(now), sqldb.Micros(latest), limit)
}
