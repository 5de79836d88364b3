package portable

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// Added reports of each fee whether its id is in inserted, which Add of each engine returns.
func Added(fees []fee.Fee, inserted map[string]bool) []bool {
	added := make([]bool, len(fees))
	for i, f := range fees {
		added[i] = inserted[f.ID]
	}
	return added
}

// Indebted returns each account with inserted pending fees once.
func Indebted(fees []fee.Fee, inserted map[string]bool) []string {
	var numbers []string
	for _, f := range fees {
		if inserted[f.ID] && f.Status == fee.Pending {
			numbers = append(numbers, f.AccountNumber)
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

// MakeDebtor is the end of an INSERT that adds a debtor. If the account is a debtor already, it can only become due earlier.
// In both cases the statement locks the row. So no release that does not yet see the new fee can delete the debtor.
const MakeDebtor = `ON CONFLICT (account_number) DO UPDATE SET due_at = excluded.due_at WHERE debtors.due_at > excluded.due_at`

// The SQL of a new fee. InsertFrom reads rows with NewColumns. Only replicas of the version before the table debtors read
// due_at; for them the fee is due at once.
const (
	NewColumns = "id, transfer_id, account_number, amount, status, reason, traceparent"
	NewWidth   = 7
)

// NewValues returns the values of NewColumns.
func NewValues(f fee.Fee) []any {
	return []any{f.ID, f.TransferID, f.AccountNumber, int64(f.Amount), string(f.Status), string(f.Reason), sqldb.NullText(f.TraceParent)}
}

// InsertFrom begins the creation of fees at the time now of sqldb.DB.Now. The rows follow.
func InsertFrom(now string) string {
	return "INSERT INTO fees (" + NewColumns + ", created_at, due_at) SELECT " + NewColumns + ", " + now + ", " + now + " FROM "
}

// UnlessPresent ends a creation: it leaves out the fees whose transfer has one.
const UnlessPresent = " ON CONFLICT (transfer_id) DO NOTHING"

// feeColumns are the columns of a fee as the customer sees it. A pending fee has the reason ReasonInsufficientBalance if its
// debtor waits for balance.
const feeColumns = `id, transfer_id, account_number, amount, status,
	CASE WHEN status = 'PENDING' AND EXISTS (SELECT 1 FROM debtors WHERE debtors.account_number = fees.account_number AND debtors.waits)
		THEN '` + string(fee.ReasonInsufficientBalance) + `' ELSE reason END, created_at, charged_at, traceparent`

// Get implements fee.Store.
func (s Store) Get(ctx context.Context, id string) (fee.Fee, error) {
	f, err := ScanFee(s.db.Read().QueryRowContext(ctx, "SELECT "+feeColumns+" FROM fees WHERE id = $1", id))
	if errors.Is(err, sql.ErrNoRows) {
		return f, fee.ErrNotFound
	}
	return f, sqldb.Away(err)
}

// List implements fee.Store.
func (s Store) List(ctx context.Context, accountNumber, before string, limit int) (fees []fee.Fee, err error) {
	query, args := "SELECT "+feeColumns+" FROM fees WHERE account_number = $1", []any{accountNumber, limit}
	if before != "" {
		query, args = query+" AND id < $3", append(args, before)
	}
	rows, err := s.db.Read().QueryContext(ctx, query+" ORDER BY id DESC LIMIT $2", args...)
	if err != nil {
		return nil, sqldb.Away(err)
	}
	defer rows.Close()
	for rows.Next() {
		f, err := ScanFee(rows)
		if err != nil {
			return nil, sqldb.Away(err)
		}
		fees = append(fees, f)
	}
	return fees, sqldb.Away(rows.Err())
}

// ScanFee reads feeColumns or ReturnedColumns. It reads further columns into more.
func ScanFee(row interface{ Scan(dest ...any) error }, more ...any) (f fee.Fee, err error) {
	var created int64
	var charged sql.NullInt64
	var traceParent sql.NullString
	err = row.Scan(append([]any{
		&f.ID, &f.TransferID, &f.AccountNumber, &f.Amount, &f.Status, &f.Reason, &created, &charged, &traceParent,
	}, more...)...)
	f.TraceParent = traceParent.String
	f.CreatedAt = sqldb.Time(created)
	if charged.Valid {
		f.ChargedAt = sqldb.Time(charged.Int64)
	}
	return f, err
}
