package portable

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
func (s Store) Claim(ctx context.Context, lease time.Duration, limit int) (debtors []fee.Debtor, err error) {
	// A collector asks several times a second and mostly finds nothing. So ask on a read connection first, which waits for no
	// writer.
	var found bool
	err = s.db.Read().QueryRowContext(ctx, SelectDue(s.db.Now())).Scan(&found)
	if err != nil || !found {
		return nil, sqldb.Away(err)
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		debtors = nil
		now := s.db.Now()
		rows, err := tx.QueryContext(ctx, "WITH due AS ("+SelectDebtors(now)+s.dialect.SkipLocked+`)
			UPDATE debtors SET claimed_until = `+now+` + $2 WHERE account_number `+s.db.Among("SELECT account_number FROM due")+`
			RETURNING account_number, claimed_until, waits`, limit, lease.Microseconds())
		if err != nil {
			return fmt.Errorf("claiming debtors: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			var d fee.Debtor
			var until int64
			if err := rows.Scan(&d.AccountNumber, &until, &d.Waits); err != nil {
				return fmt.Errorf("claiming debtors: %w", err)
			}
			d.Until = sqldb.Time(until)
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

func due(now string) string {
	return "SELECT account_number FROM debtors WHERE due_at <= " + now + " AND claimed_until <= " + now + " ORDER BY due_at"
}

// SelectDebtors finds the debtors that Claim takes, the longest due first.
func SelectDebtors(now string) string { return due(now) + " LIMIT $1" }

// SelectDue does not say EXISTS: PostgreSQL would expect to find a row soon and read the table instead of the index.
func SelectDue(now string) string {
	return "SELECT count(*) > 0 FROM (" + due(now) + " LIMIT 1) AS due"
}

// Owing is true of a pending fee. It does not say status = 'PENDING', so that PostgreSQL uses the index fees_owed and not
// fees_due. With statistics from before a backlog, PostgreSQL would take fees_due for empty, and read all of it.
const Owing = "charged_at IS NULL AND status <> 'WAIVED'"

// Owed implements fee.Queue.
func (s Store) Owed(ctx context.Context, accountNumbers []string, each int) (claims []fee.Claim, err error) {
	list, err := s.dialect.List(accountNumbers)
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Read().QueryContext(ctx, s.dialect.SelectOwed, list, each)
	if err != nil {
		return nil, sqldb.Away(err)
	}
	defer rows.Close()
	for rows.Next() {
		var c fee.Claim
		if c.Fee, err = ScanFee(rows, &c.Attempt, &c.Unknowns); err != nil {
			return nil, sqldb.Away(err)
		}
		claims = append(claims, c)
	}
	return claims, sqldb.Away(rows.Err())
}

// OwesNothing is true of a debtor without pending fees. It does not say NOT EXISTS: with old statistics PostgreSQL would turn
// that into a join that reads every pending fee.
const OwesNothing = "(SELECT id FROM fees WHERE fees.account_number = debtors.account_number AND " + Owing + " LIMIT 1) IS NULL"

// The SQL of a release. SetReleased reads rows with ReleaseColumns, which the statement names next.
const (
	ReleaseColumns = "account_number, claimed_until, pause, waits"
	ReleaseWidth   = 4
	Released       = "debtors.account_number = next.account_number AND debtors.claimed_until = next.claimed_until"
)

// SetReleased releases debtors at the time now of sqldb.DB.Now.
func SetReleased(now string) string {
	return "due_at = " + now + " + next.pause, claimed_until = 0, waits = next.waits"
}

// ReleaseValues returns the values of ReleaseColumns.
func ReleaseValues(r fee.Release) []any {
	return []any{r.AccountNumber, sqldb.Micros(r.Until), r.Pause.Microseconds(), r.Waits}
}

// Accounts returns the account numbers of releases.
func Accounts(releases []fee.Release) []string {
	numbers := make([]string, len(releases))
	for i, r := range releases {
		numbers[i] = r.AccountNumber
	}
	return numbers
}

// The SQL of a settlement. SetNext reads rows with NextColumns, which the statement names next. SettledFees does not say
// status = 'PENDING': with old statistics PostgreSQL would use an index of pending fees, and read all of them to settle a few.
const (
	NextColumns     = "id, settled, status, reason, attempt, unknowns"
	NextWidth       = 6
	SettledFees     = "fees.id = next.id AND fees.status NOT IN ('CHARGED', 'WAIVED') AND fees.attempt = next.settled"
	ReturnedColumns = `fees.id, fees.transfer_id, fees.account_number, fees.amount, fees.status, fees.reason, fees.created_at,
		fees.charged_at, fees.traceparent`
)

// SetNext settles fees at the time now of sqldb.DB.Now.
func SetNext(now string) string {
	return `status = next.status, reason = next.reason, attempt = next.attempt, unknowns = next.unknowns,
		charged_at = CASE WHEN next.status = 'CHARGED' THEN ` + now + ` END`
}

// NextValues returns the values of NextColumns.
func NextValues(s fee.Settlement) []any {
	return []any{s.ID, s.Attempt, string(s.Status), string(s.Reason), s.Next, s.Unknowns}
}

// Events returns the event of each settled fee that was charged.
func Events(settled []fee.Fee) (messages []outbox.Message, err error) {
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
		messages = append(messages, outbox.Message{
			ID: f.ID, Topic: feeapi.TopicCharged, PartitionKey: f.AccountNumber, Payload: payload, TraceParent: f.TraceParent,
		})
	}
	return messages, nil
}

// SelectBacklog counts the fees that are not final.
func SelectBacklog(now string) string {
	return `
	SELECT count(CASE WHEN debtors.waits IS NOT TRUE THEN 1 END), count(CASE WHEN debtors.waits THEN 1 END),
		coalesce(max(CASE WHEN debtors.waits IS NOT TRUE THEN abs(` + now + ` - fees.created_at) END), 0)
	FROM fees LEFT JOIN debtors ON debtors.account_number = fees.account_number WHERE fees.status = 'PENDING'`
}

// Backlog implements fee.Queue.
func (s Store) Backlog(ctx context.Context) (b fee.Backlog, err error) {
	var age int64
	row := s.db.Read().QueryRowContext(ctx, SelectBacklog(s.db.Now()))
	if err := row.Scan(&b.ForCollection, &b.ForBalance, &age); err != nil {
		return fee.Backlog{}, sqldb.Away(err)
	}
	b.Age = time.Duration(age) * time.Microsecond
	return b, nil
}

// Settled returns those settlements whose fees were settled, which Settle of each engine returns.
func Settled(settlements []fee.Settlement, settled []fee.Fee) []fee.Settlement {
	changed := make(map[string]bool, len(settled))
	for _, f := range settled {
		changed[f.ID] = true
	}
	return slices.DeleteFunc(slices.Clone(settlements), func(s fee.Settlement) bool { return !changed[s.ID] })
}
