package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore/portable"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// Commit implements transfer.Store.
func (s *Store) Commit(ctx context.Context, changes transfer.Changes) (transfer.Committed, error) {
	var done transfer.Committed
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		done = transfer.Committed{}
		for chunk := range slices.Chunk(changes.Creates, sqldb.SQLiteMaxRows) {
			created, err := create(ctx, tx, s.db.Now(), chunk)
			if err != nil {
				return fmt.Errorf("creating transfers: %w", err)
			}
			done.Created = append(done.Created, created...)
		}
		for chunk := range slices.Chunk(changes.Steps, sqldb.SQLiteMaxRows) {
			stepped, err := s.step(ctx, tx, s.db.Now(), chunk)
			if err != nil {
				return fmt.Errorf("moving transfers on: %w", err)
			}
			done.Stepped = append(done.Stepped, stepped...)
		}
		return release(ctx, tx, s.db.Now(), changes.Releases)
	})
	if err != nil {
		return transfer.Committed{}, err
	}
	return done, nil
}

// create inserts the transfers whose key is new. For each it returns the transfer that is stored under its key.
func create(ctx context.Context, tx *sql.Tx, now string, transfers []transfer.Transfer) ([]transfer.Transfer, error) {
	args := make([]any, 0, portable.NewWidth*len(transfers))
	keys := make([]any, 0, 2*len(transfers))
	for _, t := range transfers {
		args = append(args, portable.NewValues(t)...)
		keys = append(keys, t.Origin.AccountID, t.RequestID)
	}
	// Without a WHERE, SQLite would read ON CONFLICT as the condition of a join.
	created, err := times(tx.QueryContext(ctx, "WITH new ("+portable.NewColumns+") AS (VALUES "+sqldb.SQLiteRows(len(transfers), portable.NewWidth)+") "+
		portable.InsertFrom(now)+"new WHERE TRUE"+portable.UnlessPresent+" RETURNING id, created_at", args...))
	if err != nil {
		return nil, err
	}
	if len(created) == len(transfers) {
		return portable.Stored(transfers, created, nil), nil
	}
	present, err := portable.Collect(tx.QueryContext(ctx, "SELECT "+portable.Columns(now)+ //nolint:rowserrcheck // Collect checks it
		" FROM transfers WHERE (origin_account_id, request_id) IN (VALUES "+sqldb.SQLiteRows(len(transfers), 2)+")", keys...))
	if err != nil {
		return nil, err
	}
	byKey := make(map[portable.RequestKey]transfer.Transfer, len(present))
	for _, t := range present {
		byKey[portable.KeyOf(t)] = t
	}
	return portable.Stored(transfers, created, byKey), nil
}

// times reads rows of an id and a time.
func times(rows *sql.Rows, err error) (map[string]time.Time, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	at := map[string]time.Time{}
	for rows.Next() {
		var id string
		var micros int64
		if err := rows.Scan(&id, &micros); err != nil {
			return nil, err
		}
		at[id] = sqldb.Time(micros)
	}
	return at, rows.Err()
}

// step makes each step whose transfer is still in the state From, and adds an event for each transfer that it completes.
func (s *Store) step(ctx context.Context, tx *sql.Tx, now string, steps []transfer.Step) ([]time.Time, error) {
	args := make([]any, 0, portable.StepWidth*len(steps))
	for _, s := range steps {
		args = append(args, portable.StepValues(s)...)
	}
	to, err := movedTo(tx.QueryContext(ctx, `
		WITH step (`+portable.StepColumns+`) AS (VALUES `+sqldb.SQLiteRows(len(steps), portable.StepWidth)+`)
		UPDATE transfers SET `+portable.SetStep(now)+` FROM step WHERE transfers.id = step.id AND transfers.state = step.from_state
		RETURNING transfers.id, transfers.state, transfers.updated_at`, args...))
	if err != nil {
		return nil, err
	}
	stepped, completed := portable.Applied(steps, to)
	messages, err := portable.Events(completed)
	if err != nil {
		return nil, err
	}
	return stepped, s.outbox.Add(ctx, tx, now, messages)
}

func movedTo(rows *sql.Rows, err error) (map[string]portable.Moved, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	to := map[string]portable.Moved{}
	for rows.Next() {
		var id string
		var state transfer.State
		var at int64
		if err := rows.Scan(&id, &state, &at); err != nil {
			return nil, err
		}
		to[id] = portable.Moved{State: state, At: sqldb.Time(at)}
	}
	return to, rows.Err()
}

func release(ctx context.Context, tx *sql.Tx, now string, releases []transfer.Release) error {
	for _, r := range releases {
		if _, err := tx.ExecContext(ctx,
			"UPDATE transfers SET lease_until = "+now+" + $1 WHERE id = $2 AND claims = $3 AND lease_until IS NOT NULL",
			r.Pause.Microseconds(), r.ID, r.Claims); err != nil {
			return fmt.Errorf("releasing leases: %w", err)
		}
	}
	return nil
}
