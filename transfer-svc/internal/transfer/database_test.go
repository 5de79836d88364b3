package transfer_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore/storetest"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
	"github.com/bankmore/bankmore/transfer-svc/transferapi"
)

// database is a transfer.Store in memory, for the model test. It reports every change to onMove.
type database struct {
	mu     sync.Mutex
	rows   []*transfer.Transfer // in the order of their creation
	byID   map[string]*transfer.Transfer
	events []transfer.Transfer
	onMove func(before, after transfer.Transfer) // called for each creation (before is zero) and each step that takes effect
}

var _ transfer.Store = (*database)(nil)

func newDatabase(onMove func(before, after transfer.Transfer)) *database {
	return &database{byID: map[string]*transfer.Transfer{}, onMove: onMove}
}

// Commit implements transfer.Store.
func (d *database) Commit(ctx context.Context, changes transfer.Changes) (done transfer.Committed, err error) {
	if err := ctx.Err(); err != nil {
		return done, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, t := range changes.Creates {
		done.Created = append(done.Created, d.create(t))
	}
	for _, s := range changes.Steps {
		done.Stepped = append(done.Stepped, d.step(s))
	}
	for _, r := range changes.Releases {
		if row := d.byID[r.ID]; row != nil && row.Claims == r.Claims && !row.State.Final() {
			row.LeaseUntil = r.Until
		}
	}
	return done, nil
}

func (d *database) create(t transfer.Transfer) transfer.Transfer {
	if row := d.withKey(t.Origin.AccountID, t.RequestID); row != nil {
		return *row
	}
	d.rows = append(d.rows, &t)
	d.byID[t.ID] = &t
	d.onMove(transfer.Transfer{}, t)
	return t
}

func (d *database) withKey(accountID, requestID string) *transfer.Transfer {
	i := slices.IndexFunc(d.rows, func(t *transfer.Transfer) bool {
		return t.Origin.AccountID == accountID && t.RequestID == requestID
	})
	if i < 0 {
		return nil
	}
	return d.rows[i]
}

func (d *database) step(s transfer.Step) bool {
	row := d.byID[s.After.ID]
	if row == nil || row.State != s.From {
		return false
	}
	before, after := *row, s.After
	row.State, row.Failure, row.UpdatedAt, row.CompletedAt = after.State, after.Failure, after.UpdatedAt, after.CompletedAt
	if row.State.Final() {
		row.LeaseUntil = time.Time{}
	}
	if row.State == transfer.Completed {
		d.events = append(d.events, after)
	}
	d.onMove(before, *row)
	return true
}

// Claim implements transfer.Store.
func (d *database) Claim(_ context.Context, now, until time.Time, limit int) (claimed []transfer.Transfer, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	byLease := slices.Clone(d.rows)
	slices.SortStableFunc(byLease, func(a, b *transfer.Transfer) int { return a.LeaseUntil.Compare(b.LeaseUntil) })
	for _, row := range byLease {
		if len(claimed) < limit && !row.State.Final() && !row.LeaseUntil.After(now) {
			row.LeaseUntil, row.Claims = until, row.Claims+1
			claimed = append(claimed, *row)
		}
	}
	return claimed, nil
}

// Recall implements transfer.Store.
func (d *database) Recall(_ context.Context, now, latest time.Time, limit int) (recalled int, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, row := range d.rows {
		if recalled < limit && !row.State.Final() && row.LeaseUntil.After(latest) {
			row.LeaseUntil = now
			recalled++
		}
	}
	return recalled, nil
}

// Transfer implements transfer.Store.
func (d *database) Transfer(_ context.Context, id string) (transfer.Transfer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if row := d.byID[id]; row != nil {
		return *row, nil
	}
	return transfer.Transfer{}, transfer.ErrNotFound
}

// List implements transfer.Store.
func (d *database) List(_ context.Context, p transfer.Party, before string, limit int) (page []transfer.Transfer, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, row := range d.rows {
		if row.ID < before && row.VisibleTo(p) == nil {
			page = append(page, *row)
		}
	}
	slices.SortFunc(page, func(a, b transfer.Transfer) int { return strings.Compare(b.ID, a.ID) })
	return page[:min(limit, len(page))], nil
}

// Backlog implements transfer.Store.
func (d *database) Backlog(context.Context) (map[transfer.State]transfer.Backlog, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	backlog := map[transfer.State]transfer.Backlog{}
	for _, row := range d.rows {
		if row.State.Final() {
			continue
		}
		b := backlog[row.State]
		if b.Count++; b.Count == 1 || row.CreatedAt.Before(b.Oldest) {
			b.Oldest = row.CreatedAt
		}
		backlog[row.State] = b
	}
	return backlog, nil
}

// Events implements storetest.Store.
func (d *database) Events(t *testing.T) map[string]string {
	t.Helper()
	payloads := map[string]string{}
	for _, e := range d.events {
		payload, err := json.Marshal(transferapi.Completed{
			ID: e.ID, RequestID: e.RequestID, OriginAccountNumber: e.Origin.AccountNumber,
			DestinationAccountNumber: e.Destination, Amount: e.Amount, CompletedAt: e.CompletedAt,
		})
		if err != nil {
			t.Fatal(err)
		}
		payloads[e.ID] = string(payload)
	}
	return payloads
}

// The model test's database passes the conformance suite of all stores.
func TestDatabaseOfTheModel(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Store { return newDatabase(func(_, _ transfer.Transfer) {}) })
}
