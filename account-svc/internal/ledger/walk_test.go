package ledger_test

import (
	"context"
	"testing"

	"github.com/bankmore/bankmore/account-svc/internal/ledger"
)

// gapped is a ledger that has lost a movement.
type gapped struct{ ledger.Ledger }

func (gapped) Statement(context.Context, string, ledger.Filter, int) ([]ledger.Movement, error) {
	return []ledger.Movement{{Seq: 1}, {Seq: 3}}, nil
}

// A walk fails rather than leave out a movement.
func TestWalkLeavesNoGap(t *testing.T) {
	visited := 0
	period := ledger.Period{Closing: ledger.Mark{Seq: 3}}
	err := ledger.Walk(t.Context(), gapped{}, "id", period, func(ledger.Movement) error { visited++; return nil })
	if err == nil || visited != 1 {
		t.Errorf("%d movements, %v", visited, err)
	}
}
