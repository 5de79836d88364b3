package fault_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/bankmore/bankmore/platform/fault"
)

var errRule = fault.New(fault.Refused, "RULE", "Não.")

func TestCopiesMatchTheirOrigin(t *testing.T) {
	copied := errRule.Because(io.EOF).After(time.Minute)
	wrapped := fmt.Errorf("store: %w", copied)
	if !errors.Is(wrapped, errRule) {
		t.Error("a copy does not match its origin")
	}
	if !errors.Is(wrapped, io.EOF) {
		t.Error("the cause is lost")
	}
	if other := fault.Away(io.ErrClosedPipe); errors.Is(other, fault.Away(io.EOF)) || !errors.Is(fmt.Errorf("batch: %w", other), fault.Away(io.ErrClosedPipe)) {
		t.Error("sentinels that the client cannot tell apart are not told apart by their causes")
	}
	if errRule.Err != nil || errRule.RetryAfter != 0 {
		t.Error("the origin was changed by making copies of it")
	}
	if copied.RetryAfter != time.Minute || copied.Message != errRule.Message {
		t.Errorf("copy = %+v", copied)
	}
}

func TestDifferentFaultsDoNotMatch(t *testing.T) {
	for _, other := range []error{
		fault.New(fault.Refused, "OTHER", "Não."),
		fault.New(fault.Invalid, "RULE", "Não."),
		io.EOF,
	} {
		if errors.Is(errRule, other) || errors.Is(other, errRule) {
			t.Errorf("%v matches %v", other, errRule)
		}
	}
}

func TestFrom(t *testing.T) {
	if got := fault.From(nil); got != nil {
		t.Errorf("From(nil) = %v", got)
	}
	if got := fault.From(fmt.Errorf("handler: %w", errRule)); got != errRule {
		t.Errorf("From(wrapped) = %v, want the fault itself", got)
	}
	got := fault.From(io.EOF)
	if got.Kind != fault.Internal || got.Type != fault.TypeInternal || !errors.Is(got, io.EOF) {
		t.Errorf("From(io.EOF) = %+v, want an internal failure because of it", got)
	}
	if got.Message == "" || got.Message == io.EOF.Error() {
		t.Errorf("message %q must not be the cause", got.Message)
	}
}

func TestErrorTellsTheCauseToTheLog(t *testing.T) {
	if got, want := errRule.Error(), "RULE: Não."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := fault.Away(io.EOF).Error(), "INTERNAL_ERROR: Serviço temporariamente indisponível.: EOF"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if fault.Away(io.EOF).Kind != fault.Unavailable {
		t.Error("Away is not of kind Unavailable")
	}
}
