package outbox

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/bankmore/bankmore/platform/sqldb"
)

// Table is the outbox of a database, to which services add events.
type Table struct{ engine engine }

// Of returns the outbox of db.
func Of(db *sqldb.DB) Table { return Table{engine: engineOf(db)} }

// engine is what the outbox does in the way of one SQL engine: postgres.go and sqlite.go.
type engine struct {
	// inserts returns the statements, with their arguments, that add rows of messageColumns at the time now.
	inserts func(now string, rows [][]any) []insert
	// isOneOf returns the condition that a value is one of ids, which are the only arguments of the statement.
	isOneOf func(ids []string) (condition string, args []any)
	// skipLocked ends a query for rows to be claimed: it passes over rows that another transaction is claiming, where there
	// can be another.
	skipLocked string
}

func engineOf(db *sqldb.DB) engine {
	switch name := db.Engine(); name {
	case sqldb.Postgres:
		return postgres
	case sqldb.SQLite:
		return sqlite
	default:
		panic("outbox has no file for the engine " + name)
	}
}

type insert struct {
	statement string
	args      []any
}

// The SQL of an INSERT. insertFrom reads rows with messageColumns, which the statement names message.
const (
	messageColumns = "id, topic, partition_key, payload, traceparent"
	messageWidth   = 5
)

func insertFrom(now string) string {
	return "INSERT INTO outbox (" + messageColumns + ", created_at, claimed_until) SELECT " + messageColumns + ", " + now + ", 0 FROM "
}

// Add writes messages in tx, at the time now of sqldb.DB.Now. A relay publishes them once tx has committed.
func (t Table) Add(ctx context.Context, tx *sql.Tx, now string, messages []Message) error {
	inserts, err := t.inserts(now, messages)
	if err != nil {
		return err
	}
	for _, insert := range inserts {
		if _, err := tx.ExecContext(ctx, insert.statement, insert.args...); err != nil {
			return fmt.Errorf("outbox: %w", err)
		}
	}
	return nil
}

// Queue is Add for a transaction on PostgreSQL whose statements travel in a batch.
func (t Table) Queue(batch *pgx.Batch, now string, messages []Message) error {
	inserts, err := t.inserts(now, messages)
	if err != nil {
		return err
	}
	for _, insert := range inserts {
		batch.Queue(insert.statement, insert.args...)
	}
	return nil
}

func (t Table) inserts(now string, messages []Message) ([]insert, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	rows := make([][]any, len(messages))
	for i, m := range messages {
		if m.ID == "" {
			id, err := uuid.NewV7()
			if err != nil {
				return nil, fmt.Errorf("outbox: %w", err)
			}
			m.ID = id.String()
		}
		rows[i] = []any{m.ID, m.Topic, m.PartitionKey, string(m.Payload), sqldb.NullText(m.TraceParent)}
	}
	return t.engine.inserts(now, rows), nil
}
