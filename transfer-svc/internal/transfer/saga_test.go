package transfer_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

var (
	began  = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	later  = began.Add(time.Second)
	reason = *accountapi.InactiveAccount
)

func TestNext(t *testing.T) {
	base := transfer.Transfer{ID: "t", Amount: 100, CreatedAt: began, UpdatedAt: began, Lease: time.Second, Claims: 3}
	in := func(state transfer.State, failure accountapi.Refusal) transfer.Transfer {
		tr := base
		tr.State, tr.Failure = state, failure
		if state == transfer.Completed {
			tr.CompletedAt = began
		}
		if state.Final() {
			tr.Lease = 0
		}
		return tr
	}
	moved := func(tr transfer.Transfer) transfer.Transfer {
		tr.UpdatedAt = later
		if tr.State == transfer.Completed {
			tr.CompletedAt = later
		}
		return tr
	}
	none := accountapi.Refusal{}
	pending, debited, refunding := in(transfer.Pending, none), in(transfer.Debited, none), in(transfer.Refunding, reason)
	completed, failed := in(transfer.Completed, none), in(transfer.Failed, reason)
	applied, refused := accountapi.Outcome{}, accountapi.Outcome{Refusal: &reason}
	both, creditRefused := accountapi.Outcome{Then: &applied}, accountapi.Outcome{Then: &refused}
	for _, test := range []struct {
		from   transfer.Transfer
		answer accountapi.Outcome
		want   transfer.Transfer
	}{
		{pending, both, moved(completed)},
		{pending, creditRefused, moved(refunding)},
		{pending, applied, moved(debited)}, // and the credit is left out
		{pending, refused, moved(failed)},
		{debited, applied, moved(completed)},
		{debited, refused, moved(refunding)},
		{refunding, applied, moved(failed)},
		{refunding, refused, refunding},
		{completed, applied, completed},
		{completed, refused, completed},
		{failed, applied, failed},
		{failed, refused, failed},
	} {
		for _, replayed := range []bool{false, true} {
			test.answer.Replayed = replayed
			got := transfer.Next(test.from, test.answer)
			if got.State != test.from.State {
				got = transfer.Step{From: test.from.State, After: got}.At(later)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s after %+v (-want +got):\n%s", test.from.State, test.answer, diff)
			}
		}
	}
}

func TestStates(t *testing.T) {
	for state, want := range map[transfer.State]struct {
		final  bool
		status transfer.State
		leg    transfer.Leg
	}{
		transfer.Pending:   {false, "PENDING", "debit"},
		transfer.Debited:   {false, "PENDING", "credit"},
		transfer.Refunding: {false, "PENDING", "refund"},
		transfer.Completed: {true, "COMPLETED", ""},
		transfer.Failed:    {true, "FAILED", ""},
	} {
		if state.Final() != want.final || state.Status() != want.status || state.Leg() != want.leg {
			t.Errorf("%s: final %t, status %s, leg %q; want %+v", state, state.Final(), state.Status(), state.Leg(), want)
		}
	}
}

func TestMovement(t *testing.T) {
	tr := transfer.Transfer{
		ID: "id", RequestID: "r", Fingerprint: "f", Origin: transfer.Party{AccountID: "a", AccountNumber: "11"}, Destination: "22", Amount: 150,
	}
	credit := accountapi.Movement{
		RequestID: "id:credit", AccountNumber: "22", Type: "C", Kind: "transfer", Amount: 150, TransferID: "id", Counterparty: "11",
	}
	for state, want := range map[transfer.State]accountapi.Movement{
		transfer.Pending: {
			RequestID: "id:debit", AccountNumber: "11", Type: "D", Kind: "transfer", Amount: 150, TransferID: "id", Counterparty: "22",
			TransferRequestID: "r", TransferFingerprint: "f", Then: &credit,
		},
		transfer.Debited: credit,
		transfer.Refunding: {
			RequestID: "id:refund", AccountNumber: "11", Type: "C", Kind: "refund", Amount: 150, TransferID: "id", Counterparty: "22",
		},
	} {
		tr.State = state
		if diff := cmp.Diff(want, tr.Movement()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", state, diff)
		}
	}
}

func TestValidate(t *testing.T) {
	origin := transfer.Party{AccountID: "a", AccountNumber: "11"}
	for _, test := range []struct {
		destination string
		amount      money.Cents
		want        *fault.Error
	}{
		{"22", 1, nil},
		{"0123456789", 999_999_999_999_999, nil},
		{"22", 0, money.ErrInvalid},
		{"22", -1, money.ErrInvalid},
		{"", 1, transfer.ErrUnknownAccount},
		{"12345678901", 1, transfer.ErrUnknownAccount},
		{"2a", 1, transfer.ErrUnknownAccount},
		{" 22", 1, transfer.ErrUnknownAccount},
		{"22\n", 1, transfer.ErrUnknownAccount},
		{"٢٢", 1, transfer.ErrUnknownAccount},
		{"-2", 1, transfer.ErrUnknownAccount},
		{"11", 1, transfer.ErrSameAccount},
	} {
		err := transfer.Command{RequestID: "1", Origin: origin, Destination: test.destination, Amount: test.amount}.Validate()
		if fault.From(err) != test.want {
			t.Errorf("%d cents to %q: %v, want %v", test.amount, test.destination, err, test.want)
		}
	}
}

func TestVisibleTo(t *testing.T) {
	origin, destination := transfer.Party{AccountID: "a", AccountNumber: "11"}, transfer.Party{AccountID: "b", AccountNumber: "22"}
	stranger := transfer.Party{AccountID: "c", AccountNumber: "33"}
	for _, state := range []transfer.State{transfer.Pending, transfer.Debited, transfer.Refunding, transfer.Completed, transfer.Failed} {
		tr := transfer.Transfer{Origin: origin, Destination: destination.AccountNumber, State: state}
		for party, want := range map[transfer.Party]bool{origin: true, destination: state == transfer.Completed, stranger: false} {
			if got := tr.VisibleTo(party) == nil; got != want {
				t.Errorf("%s, party %s: visible %t, want %t", state, party.AccountNumber, got, want)
			}
		}
	}
}
