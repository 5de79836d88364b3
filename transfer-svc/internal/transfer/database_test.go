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
	clock  func() time.Time
	rows   []*row // in the order of their creation
	byID   map[string]*row
	events []transfer.Transfer
	onMove func(before, after transfer.Transfer) // called for each creation (before is zero) and each step that takes effect
}

// row is a stored transfer. It has leaseUntil instead of Lease.
type row struct {
	transfer.Transfer
	leaseUntil time.Time // by the database's clock
}

var _ transfer.Store = (*database)(nil)

func newDatabase(onMove func(before, after transfer.Transfer)) *database {
	return &database{byID: map[string]*row{}, onMove: onMove, clock: time.Now}
}

// SetClock implements storetest.Store.
func (d *database) SetClock(clock func() time.Time) { d.clock = clock }

// now is the time as a database keeps it: in UTC and whole microseconds.
func (d *database) now() time.Time { return d.clock().UTC().Truncate(time.Microsecond) }

// read returns a row as a query does.
func (d *database) read(r *row) transfer.Transfer {
	t := r.Transfer
	if t.Lease = 0; !t.State.Final() {
		t.Lease = max(0, r.leaseUntil.Sub(d.now()))
	}
	return t
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
			row.leaseUntil = d.now().Add(r.Pause)
		}
	}
	return done, nil
}

func (d *database) create(t transfer.Transfer) transfer.Transfer {
	if row := d.withKey(t.Origin.AccountID, t.RequestID); row != nil {
		return d.read(row)
	}
	t.CreatedAt, t.UpdatedAt = d.now(), d.now()
	added := &row{t, d.now().Add(t.Lease)}
	d.rows = append(d.rows, added)
	d.byID[t.ID] = added
	d.onMove(transfer.Transfer{}, t)
	return t
}

func (d *database) withKey(accountID, requestID string) *row {
	i := slices.IndexFunc(d.rows, func(t *row) bool {
		return t.Origin.AccountID == accountID && t.RequestID == requestID
	})
	if i < 0 {
		return nil
	}
	return d.rows[i]
}

func (d *database) step(s transfer.Step) (at time.Time) {
	row := d.byID[s.After.ID]
	if row == nil || row.State != s.From {
		return time.Time{}
	}
	if at = d.now(); at.Before(row.UpdatedAt) {
		at = row.UpdatedAt
	}
	before, after := row.Transfer, s.At(at)
	row.State, row.Failure, row.UpdatedAt, row.CompletedAt = after.State, after.Failure, after.UpdatedAt, after.CompletedAt
	if row.State == transfer.Completed {
		d.events = append(d.events, after)
	}
	d.onMove(before, row.Transfer)
	return at
}

// Claim implements transfer.Store.
func (d *database) Claim(_ context.Context, lease time.Duration, limit int) (claimed []transfer.Transfer, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	byLease := slices.Clone(d.rows)
	slices.SortStableFunc(byLease, func(a, b *row) int { return a.leaseUntil.Compare(b.leaseUntil) })
	for _, row := range byLease {
		if len(claimed) < limit && !row.State.Final() && !row.leaseUntil.After(d.now()) {
			row.leaseUntil, row.Claims = d.now().Add(lease), row.Claims+1
			claimed = append(claimed, d.read(row))
		}
	}
	return claimed, nil
}

// Transfer implements transfer.Store.
func (d *database) Transfer(_ context.Context, id string) (transfer.Transfer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if row := d.byID[id]; row != nil {
		return d.read(row), nil
	}
	return transfer.Transfer{}, transfer.ErrNotFound
}

// List implements transfer.Store.
func (d *database) List(_ context.Context, p transfer.Party, before string, limit int) (page []transfer.Transfer, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, row := range d.rows {
		if row.ID < before && row.VisibleTo(p) == nil {
			page = append(page, d.read(row))
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
		b.Count++
		b.Age = max(b.Age, d.now().Sub(row.CreatedAt).Abs())
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
