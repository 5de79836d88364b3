package fee_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bankmore/bankmore/fee-svc/feeapi"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore/storetest"
)

// database is fee-svc's store in memory, for the model test. It reports every change to onChange.
type database struct {
	mu       sync.Mutex
	clock    func() time.Time
	rows     []*row // in the order of their creation
	byID     map[string]*row
	debtors  map[string]*debtor // by account number
	events   []feeapi.Charged
	onChange func(before, after row) // before is zero if the fee is new
}

// row is a fee with its attempt.
type row struct{ fee.Claim }

// debtor is an account that owes fees, and when a collector may claim it. Its claim ends at Debtor.Until.
type debtor struct {
	fee.Debtor
	due time.Time
}

func newDatabase(onChange func(before, after row)) *database {
	return &database{byID: map[string]*row{}, debtors: map[string]*debtor{}, onChange: onChange, clock: time.Now}
}

// SetClock implements storetest.Store.
func (d *database) SetClock(clock func() time.Time) { d.clock = clock }

// now is the time as a database keeps it: in UTC and whole microseconds.
func (d *database) now() time.Time { return d.clock().UTC().Truncate(time.Microsecond) }

// Add implements fee.Store.
func (d *database) Add(ctx context.Context, fees []fee.Fee) (added []bool, _ error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range fees {
		present := d.of(f.TransferID) != nil
		if added = append(added, !present); present {
			continue
		}
		f.CreatedAt = d.now()
		r := &row{fee.Claim{Fee: f, Attempt: 1}}
		d.rows, d.byID[f.ID] = append(d.rows, r), r
		if f.Status == fee.Pending {
			owing := d.debtors[f.AccountNumber]
			if owing == nil {
				owing = &debtor{Debtor: fee.Debtor{AccountNumber: f.AccountNumber}, due: f.CreatedAt}
				d.debtors[f.AccountNumber] = owing
			}
			if f.CreatedAt.Before(owing.due) {
				owing.due = f.CreatedAt
			}
		}
		d.onChange(row{}, *r)
	}
	return added, nil
}

// of returns the fee of a transfer, or nil.
func (d *database) of(transferID string) *row {
	i := slices.IndexFunc(d.rows, func(r *row) bool { return r.TransferID == transferID })
	if i < 0 {
		return nil
	}
	return d.rows[i]
}

// Get implements fee.Store.
func (d *database) Get(_ context.Context, id string) (fee.Fee, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.byID[id]; r != nil {
		return d.shown(r), nil
	}
	return fee.Fee{}, fee.ErrNotFound
}

// List implements fee.Store.
func (d *database) List(_ context.Context, accountNumber, before string, limit int) (page []fee.Fee, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.rows {
		if r.AccountNumber == accountNumber && (before == "" || r.ID < before) {
			page = append(page, d.shown(r))
		}
	}
	slices.SortFunc(page, func(a, b fee.Fee) int { return strings.Compare(b.ID, a.ID) })
	return page[:min(limit, len(page))], nil
}

// shown returns a fee as the customer sees it.
func (d *database) shown(r *row) fee.Fee {
	f := r.Fee
	if owing := d.debtors[f.AccountNumber]; f.Status == fee.Pending && owing != nil && owing.Waits {
		f.Reason = fee.ReasonInsufficientBalance
	}
	return f
}

// sorted returns the debtors in the order of their account numbers.
func (d *database) sorted() []*debtor {
	return slices.SortedFunc(maps.Values(d.debtors), func(a, b *debtor) int { return strings.Compare(a.AccountNumber, b.AccountNumber) })
}

// Claim implements fee.Queue.
func (d *database) Claim(_ context.Context, lease time.Duration, limit int) (claimed []fee.Debtor, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	byDue := d.sorted()
	slices.SortStableFunc(byDue, func(a, b *debtor) int { return a.due.Compare(b.due) })
	for _, owing := range byDue {
		if len(claimed) < limit && !owing.due.After(d.now()) && !owing.Until.After(d.now()) {
			owing.Until = d.now().Add(lease)
			claimed = append(claimed, owing.Debtor)
		}
	}
	slices.SortFunc(claimed, func(a, b fee.Debtor) int { return strings.Compare(a.AccountNumber, b.AccountNumber) })
	return claimed, nil
}

// Owed implements fee.Queue.
func (d *database) Owed(ctx context.Context, accountNumbers []string, each int) (claims []fee.Claim, _ error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	byID := slices.SortedFunc(slices.Values(d.rows), func(a, b *row) int { return strings.Compare(a.ID, b.ID) })
	taken := map[string]int{}
	for _, r := range byID {
		if r.Status == fee.Pending && slices.Contains(accountNumbers, r.AccountNumber) && taken[r.AccountNumber] < each {
			taken[r.AccountNumber]++
			claims = append(claims, r.Claim)
		}
	}
	return claims, nil
}

// Settle implements fee.Queue.
func (d *database) Settle(ctx context.Context, settlements []fee.Settlement, releases []fee.Release) (effective []fee.Settlement, _ error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range settlements {
		if !slices.Contains([]fee.Status{fee.Pending, fee.Charged, fee.Waived}, s.Status) {
			return nil, fmt.Errorf("unknown status %q", s.Status)
		}
	}
	for _, s := range settlements {
		r := d.byID[s.ID]
		if r == nil || r.Status != fee.Pending || r.Attempt != s.Attempt {
			continue
		}
		before := *r
		r.Status, r.Reason, r.Attempt, r.Unknowns = s.Status, s.Reason, s.Next, s.Unknowns
		if r.Status == fee.Charged {
			r.ChargedAt = d.now()
			d.events = append(d.events, feeapi.Charged{
				ID: r.ID, TransferID: r.TransferID, AccountNumber: r.AccountNumber, Amount: r.Amount, ChargedAt: r.ChargedAt,
			})
		}
		d.onChange(before, *r)
		effective = append(effective, s)
	}
	for _, r := range releases {
		d.release(r)
	}
	return effective, nil
}

func (d *database) release(r fee.Release) {
	owing := d.debtors[r.AccountNumber]
	switch {
	case owing == nil:
	case !slices.ContainsFunc(d.rows, func(f *row) bool { return f.AccountNumber == r.AccountNumber && f.Status == fee.Pending }):
		delete(d.debtors, r.AccountNumber)
	case owing.Until.Equal(r.Until):
		owing.due, owing.Until, owing.Waits = d.now().Add(r.Pause), time.Time{}, r.Waits
	}
}

// Backlog implements fee.Queue.
func (d *database) Backlog(context.Context) (b fee.Backlog, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.rows {
		switch {
		case r.Status != fee.Pending:
		case d.debtors[r.AccountNumber].Waits:
			b.ForBalance++
		default:
			b.ForCollection++
			b.Age = max(b.Age, d.now().Sub(r.CreatedAt).Abs())
		}
	}
	return b, nil
}

// Events implements storetest.Store.
func (d *database) Events(*testing.T) []feeapi.Charged {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.SortedFunc(slices.Values(d.events), func(a, b feeapi.Charged) int { return strings.Compare(a.ID, b.ID) })
}

// Verify implements storetest.Store.
func (d *database) Verify(_ context.Context, out io.Writer, _ time.Duration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.rows {
		if (r.Status == fee.Charged) != slices.ContainsFunc(d.events, func(e feeapi.Charged) bool { return e.ID == r.ID }) {
			fmt.Fprintf(out, "fee %s is %s", r.ID, r.Status)
			return errors.New("a fee has an event exactly if it is charged")
		}
	}
	return nil
}

// The model test's database passes the conformance suite of all stores.
func TestDatabaseOfTheModel(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Store { return newDatabase(func(_, _ row) {}) })
}
