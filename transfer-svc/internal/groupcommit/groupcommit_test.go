package groupcommit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/telemetry"
	"github.com/bankmore/bankmore/platform/telemetry/telemetrytest"
	"github.com/bankmore/bankmore/transfer-svc/internal/groupcommit"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// store is a store whose transactions take a second. One that creates a transfer with the request id "bad" fails. Request
// "old" has a transfer already. Steps of the transfer "stale" have no effect.
type store struct {
	transfer.Store
	transactions atomic.Int64
	traced       sync.Map // the trace of each transfer that moved on, by its id
}

// errBad is a failure of one input.
var errBad error = bad{errors.New("refused by the database")}

type bad struct{ error }

func (bad) Extent() batch.Extent { return batch.OneInput }

func (s *store) Commit(_ context.Context, changes transfer.Changes) (done transfer.Committed, err error) {
	s.transactions.Add(1)
	time.Sleep(time.Second)
	for _, t := range changes.Creates {
		switch t.RequestID {
		case "bad":
			return transfer.Committed{}, errBad
		case "old":
			t.ID = "the older one"
		}
		done.Created = append(done.Created, t)
	}
	for _, step := range changes.Steps {
		at := time.Now()
		s.traced.Store(step.After.ID, step.TraceParent)
		if step.After.ID == "stale" {
			at = time.Time{}
		}
		done.Stepped = append(done.Stepped, at)
	}
	return done, nil
}

// While a transaction is under way, changes that arrive wait, and share the next one. Each caller gets its own answers.
func TestDriversShareATransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &store{}
		commits := groupcommit.New(inner)
		defer commits.Close()
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				id := fmt.Sprint(i)
				done, err := commits.Commit(t.Context(), transfer.Changes{
					Creates:  []transfer.Transfer{{ID: id, RequestID: id}, {ID: id, RequestID: "old"}},
					Steps:    []transfer.Step{{After: transfer.Transfer{ID: "stale"}}, {After: transfer.Transfer{ID: id}}},
					Releases: []transfer.Release{{ID: id}},
				})
				if err != nil || len(done.Created) != 2 || done.Created[0].ID != id || done.Created[1].ID != "the older one" ||
					len(done.Stepped) != 2 || !done.Stepped[0].IsZero() || done.Stepped[1].IsZero() {
					t.Errorf("%+v, %v", done, err)
				}
			})
		}
		all.Wait()
		if n := inner.transactions.Load(); n > 4 { // 500 changes, at most 256 in one
			t.Errorf("%d transactions", n)
		}
	})
}

// A change that makes the transaction fail gets the error, and the others take effect.
func TestOneChangeFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		commits := groupcommit.New(&store{})
		defer commits.Close()
		var all sync.WaitGroup
		for _, request := range []string{"bad", "good", "good too"} {
			all.Go(func() {
				_, err := commits.Commit(t.Context(), transfer.Changes{Creates: []transfer.Transfer{{ID: request, RequestID: request}}})
				if errors.Is(err, errBad) != (request == "bad") || (err != nil) != (request == "bad") {
					t.Errorf("%s: %v", request, err)
				}
			})
		}
		all.Wait()
	})
}

// Each step goes on with the trace of its own driver, although the transaction is part of one trace only. The caller's steps stay as
// they were.
func TestStepsGoOnWithTheirTraces(t *testing.T) {
	spans := telemetrytest.Record(t)
	synctest.Test(t, func(t *testing.T) {
		inner := &store{}
		commits := groupcommit.New(inner)
		var all sync.WaitGroup
		want := map[string]string{"nobody's": ""}
		commit := func(ctx context.Context, id string) {
			all.Go(func() {
				steps := []transfer.Step{{After: transfer.Transfer{ID: id}}}
				if _, err := commits.Commit(ctx, transfer.Changes{Steps: steps}); err != nil || steps[0].TraceParent != "" {
					t.Error(err, steps)
				}
			})
			synctest.Wait()
		}
		for _, id := range []string{"1", "2", "3"} {
			ctx, span := spans.Start(id)
			defer span.End()
			want[id] = telemetry.TraceParent(ctx)
			commit(ctx, id)
		}
		commit(t.Context(), "nobody's")
		all.Wait()
		commits.Close()
		for id, trace := range want {
			if got, _ := inner.traced.Load(id); got != trace {
				t.Errorf("%s goes on with %q, want %q", id, got, trace)
			}
		}
		if len(spans.Named("commit transfers")) != 2 {
			t.Errorf("spans %q", spans.Names())
		}
	})
}
