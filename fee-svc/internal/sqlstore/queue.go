package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/bankmore/bankmore/fee-svc/feeapi"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// Claim implements fee.Queue.
func (s *Store) Claim(ctx context.Context, now, until time.Time, limit int) (claims []fee.Claim, err error) {
	// A collector asks several times a second and mostly in vain: only a reader then, and the writer is left alone.
	var due bool
	err = s.db.Read().QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM fees WHERE status = 'PENDING' AND due_at <= $1)", sqldb.Micros(now)).Scan(&due)
	if err != nil || !due {
		return nil, sqldb.Away(err)
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		claims = nil
		rows, err := tx.QueryContext(ctx, `
			WITH due AS (SELECT id FROM fees WHERE status = 'PENDING' AND due_at <= $2 ORDER BY due_at, id LIMIT $3`+s.db.SkipLocked()+`)
			UPDATE fees SET due_at = $1 WHERE id IN (SELECT id FROM due)
			RETURNING `+feeColumns+`, attempt, unknowns`, sqldb.Micros(until), sqldb.Micros(now), limit)
		if err != nil {
			return fmt.Errorf("claiming fees: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			var c fee.Claim
			if c.Fee, err = scanFee(rows, &c.Attempt, &c.Unknowns); err != nil {
				return fmt.Errorf("claiming fees: %w", err)
			}
			claims = append(claims, c)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(claims, func(a, b fee.Claim) int { return strings.Compare(a.ID, b.ID) }) // RETURNING keeps no order
	return claims, nil
}

// Recall implements fee.Queue.
func (s *Store) Recall(ctx context.Context, now, latest time.Time, limit int) (int, error) {
	return s.db.Exec(ctx, `
		WITH late AS (SELECT id FROM fees WHERE status = 'PENDING' AND due_at > $2 LIMIT $3`+s.db.SkipLocked()+`)
		UPDATE fees SET due_at = $1 WHERE id IN (SELECT id FROM late)`, sqldb.Micros(now), sqldb.Micros(latest), limit)
}

// Settle implements fee.Queue.
func (s *Store) Settle(ctx context.Context, now time.Time, settlements []fee.Settlement) ([]fee.Settlement, error) {
	settle := s.settleSQLite
	if s.db.Pipelined() {
		settle = s.settlePostgres
	}
	settled, err := settle(ctx, now, settlements)
	if err != nil {
		return nil, fmt.Errorf("settling fees: %w", err)
	}
	changed := make(map[string]bool, len(settled))
	for _, f := range settled {
		changed[f.ID] = true
	}
	return slices.DeleteFunc(slices.Clone(settlements), func(s fee.Settlement) bool { return !changed[s.ID] }), nil
}

func (s *Store) settleSQLite(ctx context.Context, now time.Time, settlements []fee.Settlement) (settled []fee.Fee, err error) {
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		settled = nil
		for chunk := range slices.Chunk(settlements, maxRows) {
			fees, err := settle(ctx, tx, now, chunk)
			if err != nil {
				return err
			}
			settled = append(settled, fees...)
		}
		messages, err := events(settled)
		if err != nil {
			return err
		}
		return outbox.Add(ctx, tx, now, messages)
	})
	return settled, err
}

// What a settlement sets, from rows of nextColumns named next. settledFees spells "pending" so that PostgreSQL cannot
// answer it by fees_due: it would for want of statistics, reading every fee that is pending to settle a few.
const (
	nextColumns = "id, settled, status, reason, attempt, unknowns, due_at, charged_at"
	nextWidth   = 8
	setNext     = `status = next.status, reason = next.reason, attempt = next.attempt, unknowns = next.unknowns,
		due_at = next.due_at, charged_at = next.charged_at`
	settledFees     = "fees.id = next.id AND fees.status NOT IN ('CHARGED', 'WAIVED') AND fees.attempt = next.settled"
	returnedColumns = `fees.id, fees.transfer_id, fees.account_number, fees.amount, fees.status, fees.reason, fees.created_at,
		fees.charged_at`
)

func nextValues(s fee.Settlement, now time.Time) []any {
	charged := sql.NullInt64{Int64: sqldb.Micros(now), Valid: s.Status == fee.Charged}
	return []any{s.ID, s.Attempt, string(s.Status), string(s.Reason), s.Next, s.Unknowns, sqldb.Micros(s.DueAt), charged}
}

// settle moves the fees that are still pending at their settlement's attempt, and returns them as they are now. A
// settlement whose lease has run out meanwhile is as good as one in time: what the ledger decided under a key stays
// true, and an outcome that is unknown at worst makes the fee due earlier, with the same key.
func settle(ctx context.Context, tx *sql.Tx, now time.Time, settlements []fee.Settlement) (fees []fee.Fee, err error) {
	args := make([]any, 0, nextWidth*len(settlements))
	for _, s := range settlements {
		args = append(args, nextValues(s, now)...)
	}
	rows, err := tx.QueryContext(ctx, "WITH next ("+nextColumns+") AS (VALUES "+sqldb.Rows(len(settlements), nextWidth)+`)
		UPDATE fees SET `+setNext+" FROM next WHERE "+settledFees+" RETURNING "+returnedColumns, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		f, err := scanFee(rows)
		if err != nil {
			return nil, err
		}
		fees = append(fees, f)
	}
	return fees, rows.Err()
}

// events tell of the charged ones among settled fees.
func events(settled []fee.Fee) (messages []outbox.Message, err error) {
	for _, f := range settled {
		if f.Status != fee.Charged {
			continue
		}
		payload, err := json.Marshal(feeapi.Charged{
			ID: f.ID, TransferID: f.TransferID, AccountNumber: f.AccountNumber, Amount: f.Amount, ChargedAt: f.ChargedAt,
		})
		if err != nil {
			return nil, fmt.Errorf("encoding the event: %w", err)
		}
		messages = append(messages, outbox.Message{ID: f.ID, Topic: feeapi.TopicCharged, PartitionKey: f.AccountNumber, Payload: payload})
	}
	return messages, nil
}

const selectBacklog = `
	SELECT count(CASE WHEN reason <> $1 OR unknowns > 0 THEN 1 END), count(CASE WHEN reason = $1 AND unknowns = 0 THEN 1 END),
		coalesce(min(CASE WHEN reason <> $1 OR unknowns > 0 THEN created_at END), 0)
	FROM fees WHERE status = 'PENDING'`

// Backlog implements fee.Queue.
func (s *Store) Backlog(ctx context.Context) (b fee.Backlog, err error) {
	var oldest int64
	row := s.db.Read().QueryRowContext(ctx, selectBacklog, string(fee.ReasonInsufficientBalance))
	if err := row.Scan(&b.ForCollection, &b.ForBalance, &oldest); err != nil {
		return fee.Backlog{}, sqldb.Away(err)
	}
	if b.ForCollection > 0 {
		b.Oldest = sqldb.Time(oldest)
	}
	return b, nil
}
