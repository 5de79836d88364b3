package fee_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bankmore/bankmore/fee-svc/feeapi"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore/storetest"
)

// database is fee-svc's database as the model test needs it: in memory, and with somebody who is told of each change.
type database struct {
	mu       sync.Mutex
	rows     []*row // in the order of their creation
	byID     map[string]*row
	events   []feeapi.Charged
	onChange func(before, after row) // before is zero if the fee is new
}

// row is a fee, with what a collector knows of it.
type row struct {
	fee.Claim
	due time.Time
}

func newDatabase(onChange func(before, after row)) *database {
	return &database{byID: map[string]*row{}, onChange: onChange}
}

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
		r := &row{fee.Claim{Fee: f, Attempt: 1}, f.CreatedAt}
		d.rows, d.byID[f.ID] = append(d.rows, r), r
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
		return r.Fee, nil
	}
	return fee.Fee{}, fee.ErrNotFound
}

// List implements fee.Store.
func (d *database) List(_ context.Context, accountNumber, before string, limit int) (page []fee.Fee, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.rows {
		if r.AccountNumber == accountNumber && (before == "" || r.ID < before) {
			page = append(page, r.Fee)
		}
	}
	slices.SortFunc(page, func(a, b fee.Fee) int { return strings.Compare(b.ID, a.ID) })
	return page[:min(limit, len(page))], nil
}

// Claim implements fee.Queue.
func (d *database) Claim(_ context.Context, now, until time.Time, limit int) (claims []fee.Claim, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	byDue := slices.Clone(d.rows)
	slices.SortStableFunc(byDue, func(a, b *row) int { return a.due.Compare(b.due) })
	for _, r := range byDue {
		if len(claims) < limit && r.Status == fee.Pending && !r.due.After(now) {
			r.due = until
			claims = append(claims, r.Claim)
		}
	}
	slices.SortFunc(claims, func(a, b fee.Claim) int { return strings.Compare(a.ID, b.ID) })
	return claims, nil
}

// Recall implements fee.Queue.
func (d *database) Recall(_ context.Context, now, latest time.Time, limit int) (recalled int, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.rows {
		if recalled < limit && r.Status == fee.Pending && r.due.After(latest) {
			r.due = now
			recalled++
		}
	}
	return recalled, nil
}

// Settle implements fee.Queue.
func (d *database) Settle(ctx context.Context, now time.Time, settlements []fee.Settlement) (effective []fee.Settlement, _ error) {
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
		r.Status, r.Reason, r.Attempt, r.Unknowns, r.due = s.Status, s.Reason, s.Next, s.Unknowns, s.DueAt
		if r.Status == fee.Charged {
			r.ChargedAt = now
			d.events = append(d.events, feeapi.Charged{
				ID: r.ID, TransferID: r.TransferID, AccountNumber: r.AccountNumber, Amount: r.Amount, ChargedAt: now,
			})
		}
		d.onChange(before, *r)
		effective = append(effective, s)
	}
	return effective, nil
}

// Backlog implements fee.Queue.
func (d *database) Backlog(context.Context) (b fee.Backlog, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.rows {
		switch {
		case r.Status != fee.Pending:
		case r.Reason == fee.ReasonInsufficientBalance && r.Unknowns == 0:
			b.ForBalance++
		default:
			if b.ForCollection++; b.ForCollection == 1 || r.CreatedAt.Before(b.Oldest) {
				b.Oldest = r.CreatedAt
			}
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
func (d *database) Verify(_ context.Context, out io.Writer, _, _ time.Time) error {
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

// The model test's database does what every other does.
func TestDatabaseOfTheModel(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Store { return newDatabase(func(_, _ row) {}) })
}
