package metered

import (
	"context"
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
)

// plain is a Hasher whose hashes are the passwords.
type plain struct{}

func (plain) Hash(password string) (string, error)        { return password, nil }
func (plain) Matches(password, hash string) (bool, error) { return password == hash, nil }

func TestEachHashCounts(t *testing.T) {
	before := testutil.ToFloat64(hashes)
	h := NewHasher(plain{})
	hash, err := h.Hash("senha123")
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := h.Matches("senha123", hash); !ok || err != nil {
		t.Errorf("%t, %v", ok, err)
	}
	if ok, err := h.Matches("errada", hash); ok || err != nil {
		t.Errorf("%t, %v", ok, err)
	}
	if n := testutil.ToFloat64(hashes) - before; n != 3 {
		t.Errorf("%v hashes count, want 3", n)
	}
}

// decided is a ledger that gives these answers.
type decided struct {
	ledger.Ledger
	results []ledger.Result
	err     error
}

func (d decided) Apply(context.Context, []ledger.Command) ([]ledger.Result, error) {
	return d.results, d.err
}

// Each movement that a batch adds to the ledger counts once, and so does each refusal. A pair counts as two. Commands that were
// decided before, commands without an answer, and transactions that failed do not count.
func TestDecisionsAreCounted(t *testing.T) {
	refusal := accountapi.InsufficientBalance
	credit := ledger.Command{Type: ledger.Credit, Kind: ledger.Transfer, Amount: 1050}
	debit := ledger.Command{Type: ledger.Debit, Kind: ledger.Transfer, Amount: 1050, Then: &credit}
	deposit := ledger.Command{Type: ledger.Credit, Kind: ledger.Deposit, Amount: 100}
	for name, test := range map[string]struct {
		command ledger.Command
		inner   decided
		// how many movements of transfers and deposits are added and refused, and the sum
		debits, credits, deposits, refusals, reais float64
	}{
		"a pair":               {debit, decided{results: []ledger.Result{{Then: &ledger.Result{}}}}, 1, 1, 0, 0, 21},
		"half a pair":          {debit, decided{results: []ledger.Result{{}}}, 1, 0, 0, 0, 10.5},
		"the other half":       {debit, decided{results: []ledger.Result{{Replayed: true, Then: &ledger.Result{}}}}, 0, 1, 0, 0, 10.5},
		"a refused half":       {debit, decided{results: []ledger.Result{{Then: &ledger.Result{Refusal: refusal}}}}, 1, 0, 0, 1, 10.5},
		"refused":              {debit, decided{results: []ledger.Result{{Refusal: refusal}}}, 0, 0, 0, 1, 0},
		"refused before":       {debit, decided{results: []ledger.Result{{Refusal: refusal, Replayed: true}}}, 0, 0, 0, 0, 0},
		"malformed":            {debit, decided{results: []ledger.Result{{Err: ledger.ErrMalformed}}}, 0, 0, 0, 0, 0},
		"a deposit":            {deposit, decided{results: []ledger.Result{{}}}, 0, 0, 1, 0, 1},
		"a failed transaction": {deposit, decided{err: errors.New("away")}, 0, 0, 0, 0, 0},
	} {
		counted := func() [5]float64 {
			return [5]float64{
				testutil.ToFloat64(movements.WithLabelValues("transfer", "D")), testutil.ToFloat64(movements.WithLabelValues("transfer", "C")),
				testutil.ToFloat64(movements.WithLabelValues("deposit", "C")), testutil.ToFloat64(refusals.WithLabelValues("transfer")),
				testutil.ToFloat64(amounts.WithLabelValues("transfer", "D")) + testutil.ToFloat64(amounts.WithLabelValues("transfer", "C")) +
					testutil.ToFloat64(amounts.WithLabelValues("deposit", "C")),
			}
		}
		before := counted()
		_, _ = NewLedger(test.inner).Apply(t.Context(), []ledger.Command{test.command})
		got := counted()
		for i := range got {
			got[i] -= before[i]
		}
		if want := [5]float64{test.debits, test.credits, test.deposits, test.refusals, test.reais}; got != want {
			t.Errorf("%s: counted %v, want %v", name, got, want)
		}
	}
}
