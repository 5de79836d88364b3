package portable

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
	"github.com/bankmore/bankmore/transfer-svc/transferapi"
)

// RequestKey is the UNIQUE key of a transfer: the origin's account id and its request id.
type RequestKey struct{ accountID, requestID string }

// KeyOf returns the key of t.
func KeyOf(t transfer.Transfer) RequestKey { return RequestKey{t.Origin.AccountID, t.RequestID} }

// The SQL of a creation. InsertFrom reads rows with NewColumns.
const (
	NewColumns = givenColumns + ", lease"
	NewWidth   = givenWidth + 1
)

// NewValues returns the values of NewColumns.
func NewValues(t transfer.Transfer) []any { return append(given(t), t.Lease.Microseconds()) }

// InsertFrom begins the creation of transfers at the time now of sqldb.DB.Now. The rows follow.
func InsertFrom(now string) string {
	return "INSERT INTO transfers (" + givenColumns + ", created_at, updated_at, lease_until, claims) SELECT " +
		givenColumns + ", " + now + ", " + now + ", " + now + " + lease, 0 FROM "
}

// UnlessPresent ends a creation: it leaves out the transfers whose key is taken.
const UnlessPresent = " ON CONFLICT (origin_account_id, request_id) DO NOTHING"

// Stored returns, for each new transfer, the transfer that is stored under its key. created holds the times of those that
// were created, by id. The others are in present.
func Stored(transfers []transfer.Transfer, created map[string]time.Time, present map[RequestKey]transfer.Transfer) []transfer.Transfer {
	all := make([]transfer.Transfer, len(transfers))
	for i, t := range transfers {
		at, ok := created[t.ID]
		if !ok {
			all[i] = present[KeyOf(t)]
			continue
		}
		t.CreatedAt, t.UpdatedAt = at, at
		all[i] = t
	}
	return all
}

// The SQL of a step. SetStep reads rows with StepColumns, which the statement names step.
const (
	StepColumns = "id, from_state, to_state, failure_type, failure_message"
	StepWidth   = 5
)

// SetStep changes transfers at the time now of sqldb.DB.Now.
func SetStep(now string) string {
	at := "CASE WHEN updated_at > " + now + " THEN updated_at ELSE " + now + " END"
	return `state = step.to_state, failure_type = step.failure_type, failure_message = step.failure_message,
		updated_at = ` + at + `, completed_at = CASE WHEN step.to_state = 'COMPLETED' THEN ` + at + ` END,
		lease_until = CASE WHEN step.to_state IN ('COMPLETED', 'FAILED') THEN NULL ELSE lease_until END`
}

// Moved is a transfer's new state, and when it came there.
type Moved struct {
	State transfer.State
	At    time.Time
}

// StepValues returns the values of StepColumns.
func StepValues(s transfer.Step) []any {
	after := s.After
	return []any{
		after.ID, s.From, after.State, nullText(after.Failure.Type, after.Failure), nullText(after.Failure.Message, after.Failure),
	}
}

// Completion is a completed transfer, and the trace that its event goes on with.
type Completion struct {
	transfer.Transfer
	TraceParent string
}

// Applied returns when each step took effect, or zero if it did not, and the transfers that the steps completed. to holds the
// updated transfers by id; Applied deletes its entries.
func Applied(steps []transfer.Step, to map[string]Moved) (stepped []time.Time, completed []Completion) {
	stepped = make([]time.Time, len(steps))
	for i, s := range steps {
		m := to[s.After.ID]
		if m.State != s.After.State {
			continue
		}
		stepped[i] = m.At
		delete(to, s.After.ID) // if another driver's equal step is in this batch, only the first one counts
		if s.After.State == transfer.Completed {
			completed = append(completed, Completion{s.At(m.At), s.TraceParent})
		}
	}
	return stepped, completed
}

// Events returns the event of each completed transfer. The event's id is the transfer's id, so a transfer has one event.
func Events(completed []Completion) ([]outbox.Message, error) {
	messages := make([]outbox.Message, len(completed))
	for i, t := range completed {
		payload, err := json.Marshal(transferapi.Completed{
			ID: t.ID, RequestID: t.RequestID, OriginAccountNumber: t.Origin.AccountNumber,
			DestinationAccountNumber: t.Destination, Amount: t.Amount, CompletedAt: t.CompletedAt,
		})
		if err != nil {
			return nil, fmt.Errorf("encoding the event: %w", err)
		}
		messages[i] = outbox.Message{
			ID: t.ID, Topic: transferapi.TopicCompleted, PartitionKey: t.Origin.AccountNumber, Payload: payload, TraceParent: t.TraceParent,
		}
	}
	return messages, nil
}

// AnyOverdue tells whether Claim would find a transfer.
func AnyOverdue(now string) string {
	return "SELECT EXISTS (SELECT 1 FROM transfers WHERE lease_until <= " + now + ")"
}

// SelectOverdue finds the transfers that Claim takes, the most overdue first.
func SelectOverdue(now string) string {
	return "SELECT id FROM transfers WHERE lease_until <= " + now + " ORDER BY lease_until LIMIT $1"
}

// Claim implements transfer.Store.
func (s Store) Claim(ctx context.Context, lease time.Duration, limit int) (claimed []transfer.Transfer, err error) {
	// Recovery asks every second and mostly finds nothing. So ask on a read connection first, which waits for no writer.
	var due bool
	err = s.db.Read().QueryRowContext(ctx, AnyOverdue(s.db.Now())).Scan(&due)
	if err != nil || !due {
		return nil, sqldb.Away(err)
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		now := s.db.Now()
		claimed, err = Collect(tx.QueryContext(ctx, "WITH due AS ("+SelectOverdue(now)+s.skipLocked+`)
			UPDATE transfers SET lease_until = `+now+` + $2, claims = claims + 1 WHERE id `+s.db.Among("SELECT id FROM due")+`
			RETURNING `+Columns(now), limit, lease.Microseconds()))
		return err
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}
