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
func (s *Store) Claim(ctx context.Context, now, until time.Time, limit int) (debtors []fee.Debtor, err error) {
	// A collector asks several times a second and mostly finds nothing. So ask on a read connection first, which waits for no
	// writer.
	var due bool
	err = s.db.Read().QueryRowContext(ctx, selectDue, sqldb.Micros(now)).Scan(&due)
	if err != nil || !due {
		return nil, sqldb.Away(err)
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		debtors = nil
		rows, err := tx.QueryContext(ctx, "WITH due AS ("+selectDebtors+s.db.SkipLocked()+`)
			UPDATE debtors SET claimed_until = $3 WHERE account_number IN (SELECT account_number FROM due)
			RETURNING account_number, waits`, sqldb.Micros(now), limit, sqldb.Micros(until))
		if err != nil {
			return fmt.Errorf("claiming debtors: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			var d fee.Debtor
			if err := rows.Scan(&d.AccountNumber, &d.Waits); err != nil {
				return fmt.Errorf("claiming debtors: %w", err)
			}
			debtors = append(debtors, d)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(debtors, func(a, b fee.Debtor) int { return strings.Compare(a.AccountNumber, b.AccountNumber) }) // RETURNING keeps no order
	return debtors, nil
}

const (
	selectDebtors = `SELECT account_number FROM debtors WHERE due_at <= $1 AND claimed_until <= $1
		ORDER BY due_at, account_number LIMIT $2`
	// With EXISTS, PostgreSQL would expect to find a row soon and read the table instead of the index.
	selectDue = `SELECT count(*) > 0 FROM (SELECT account_number FROM debtors WHERE due_at <= $1 AND claimed_until <= $1
		ORDER BY due_at, account_number LIMIT 1) AS due`
)

// owing is true of a pending fee. It does not say status = 'PENDING', so that PostgreSQL uses the index fees_owed and not
// fees_due. With statistics from before a backlog, PostgreSQL would take fees_due for empty, and read all of it.
const owing = "charged_at IS NULL AND status <> 'WAIVED'"

// selectOwed takes the accounts as one parameter in JSON.
const selectOwed = "SELECT " + returnedColumns + `, fees.attempt, fees.unknowns
	FROM (SELECT value AS number FROM json_each($1)) AS debtor JOIN fees ON fees.id IN (
		SELECT id FROM fees AS own WHERE own.account_number = debtor.number AND ` + owing + ` ORDER BY own.id LIMIT $2)
	ORDER BY fees.id`

// Owed implements fee.Queue.
func (s *Store) Owed(ctx context.Context, accountNumbers []string, each int) (claims []fee.Claim, err error) {
	query, accounts := selectOwedPostgres, any(accountNumbers)
	if !s.db.Pipelined() {
		query = selectOwed
		if accounts, err = list(accountNumbers); err != nil {
			return nil, err
		}
	}
	rows, err := s.db.Read().QueryContext(ctx, query, accounts, each)
	if err != nil {
		return nil, sqldb.Away(err)
	}
	defer rows.Close()
	for rows.Next() {
		var c fee.Claim
		if c.Fee, err = scanFee(rows, &c.Attempt, &c.Unknowns); err != nil {
			return nil, sqldb.Away(err)
		}
		claims = append(claims, c)
	}
	return claims, sqldb.Away(rows.Err())
}

// list returns texts as one parameter for SQLite's json_each.
func list(texts []string) (string, error) {
	text, err := json.Marshal(texts)
	return string(text), err
}

// Recall implements fee.Queue.
func (s *Store) Recall(ctx context.Context, now, latest time.Time, limit int) (int, error) {
	late, err := s.db.Exec(ctx, `
		WITH late AS (SELECT account_number FROM debtors WHERE due_at > $2 OR claimed_until > $2 LIMIT $3`+s.db.SkipLocked()+`)
		UPDATE debtors SET due_at = CASE WHEN due_at > $2 THEN $1 ELSE due_at END,
			claimed_until = CASE WHEN claimed_until > $2 THEN 0 ELSE claimed_until END
		WHERE account_number IN (SELECT account_number FROM late)`, sqldb.Micros(now), sqldb.Micros(latest), limit)
	if err != nil {
		return 0, fmt.Errorf("recalling debtors: %w", err)
	}
	// A replica of the version before this table adds fees without their debtors.
	found, err := s.db.Exec(ctx, `
		INSERT INTO debtors (account_number, due_at)
		SELECT DISTINCT account_number, CAST($1 AS BIGINT) FROM fees
		WHERE `+owing+` AND NOT EXISTS (SELECT 1 FROM debtors WHERE debtors.account_number = fees.account_number)
		LIMIT $2 ON CONFLICT (account_number) DO NOTHING`, sqldb.Micros(now), limit)
	if err != nil {
		return 0, fmt.Errorf("finding debtors: %w", err)
	}
	return late + found, nil
}

// Settle implements fee.Queue.
func (s *Store) Settle(ctx context.Context, now time.Time, settlements []fee.Settlement, releases []fee.Release) ([]fee.Settlement, error) {
	settle := s.settleSQLite
	if s.db.Pipelined() {
		settle = s.settlePostgres
	}
	settled, err := settle(ctx, now, settlements, releases)
	if err != nil {
		return nil, fmt.Errorf("settling fees: %w", err)
	}
	changed := make(map[string]bool, len(settled))
	for _, f := range settled {
		changed[f.ID] = true
	}
	return slices.DeleteFunc(slices.Clone(settlements), func(s fee.Settlement) bool { return !changed[s.ID] }), nil
}

func (s *Store) settleSQLite(ctx context.Context, now time.Time, settlements []fee.Settlement, releases []fee.Release) (settled []fee.Fee, err error) {
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		settled = nil
		for chunk := range slices.Chunk(settlements, maxRows) {
			fees, err := settle(ctx, tx, now, chunk)
			if err != nil {
				return err
			}
			settled = append(settled, fees...)
		}
		if err := release(ctx, tx, releases); err != nil {
			return err
		}
		messages, err := events(settled)
		if err != nil {
			return err
		}
		return outbox.Add(ctx, tx, now, messages)
	})
	return settled, err
}

// owesNothing is true of a debtor without pending fees. It does not say NOT EXISTS: with old statistics PostgreSQL would turn
// that into a join that reads every pending fee.
const owesNothing = "(SELECT id FROM fees WHERE fees.account_number = debtors.account_number AND " + owing + " LIMIT 1) IS NULL"

// The SQL of a release. setReleased reads rows with releaseColumns, which the statement names next.
const (
	releaseColumns = "account_number, claimed_until, due_at, waits"
	releaseWidth   = 4
	setReleased    = "due_at = next.due_at, claimed_until = 0, waits = next.waits"
	released       = "debtors.account_number = next.account_number AND debtors.claimed_until = next.claimed_until"
)

func releaseValues(r fee.Release) []any {
	return []any{r.AccountNumber, sqldb.Micros(r.Until), sqldb.Micros(r.DueAt), r.Waits}
}

// accounts returns the account numbers of releases.
func accounts(releases []fee.Release) []string {
	numbers := make([]string, len(releases))
	for i, r := range releases {
		numbers[i] = r.AccountNumber
	}
	return numbers
}

// release deletes the debtors that owe nothing, and sets the due times of the others.
func release(ctx context.Context, tx *sql.Tx, releases []fee.Release) error {
	numbers, err := list(accounts(releases))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM debtors WHERE account_number IN (SELECT value FROM json_each($1)) AND "+owesNothing, numbers)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(releases, maxRows) {
		args := make([]any, 0, releaseWidth*len(chunk))
		for _, r := range chunk {
			args = append(args, releaseValues(r)...)
		}
		_, err := tx.ExecContext(ctx, "WITH next ("+releaseColumns+") AS (VALUES "+sqldb.Rows(len(chunk), releaseWidth)+`)
			UPDATE debtors SET `+setReleased+" FROM next WHERE "+released, args...)
		if err != nil {
			return err
		}
	}
	return nil
}

// The SQL of a settlement. setNext reads rows with nextColumns, which the statement names next. settledFees does not say
// status = 'PENDING': with old statistics PostgreSQL would use an index of pending fees, and read all of them to settle a few.
const (
	nextColumns = "id, settled, status, reason, attempt, unknowns, charged_at"
	nextWidth   = 7
	setNext     = `status = next.status, reason = next.reason, attempt = next.attempt, unknowns = next.unknowns,
		charged_at = next.charged_at`
	settledFees     = "fees.id = next.id AND fees.status NOT IN ('CHARGED', 'WAIVED') AND fees.attempt = next.settled"
	returnedColumns = `fees.id, fees.transfer_id, fees.account_number, fees.amount, fees.status, fees.reason, fees.created_at,
		fees.charged_at`
)

func nextValues(s fee.Settlement, now time.Time) []any {
	charged := sql.NullInt64{Int64: sqldb.Micros(now), Valid: s.Status == fee.Charged}
	return []any{s.ID, s.Attempt, string(s.Status), string(s.Reason), s.Next, s.Unknowns, charged}
}

// settle updates the fees that are still pending at their settlement's attempt, and returns them as they are afterwards. It
// does not ask whether the collector's claim has ended: what the ledger has decided under a key stays true.
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

// events returns the event of each settled fee that was charged.
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
	SELECT count(CASE WHEN debtors.waits IS NOT TRUE THEN 1 END), count(CASE WHEN debtors.waits THEN 1 END),
		coalesce(min(CASE WHEN debtors.waits IS NOT TRUE THEN fees.created_at END), 0)
	FROM fees LEFT JOIN debtors ON debtors.account_number = fees.account_number WHERE fees.status = 'PENDING'`

// Backlog implements fee.Queue.
func (s *Store) Backlog(ctx context.Context) (b fee.Backlog, err error) {
	var oldest int64
	row := s.db.Read().QueryRowContext(ctx, selectBacklog)
	if err := row.Scan(&b.ForCollection, &b.ForBalance, &oldest); err != nil {
		return fee.Backlog{}, sqldb.Away(err)
	}
	if b.ForCollection > 0 {
		b.Oldest = sqldb.Time(oldest)
	}
	return b, nil
}
