package fee

import (
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/platform/money"
)

const transferID = "0190f3a1-7b00-7000-8000-000000000001"

func TestNewFee(t *testing.T) {
	now := time.Now()
	transfer := Transfer{ID: transferID, AccountNumber: "18", Amount: 15000}
	for _, test := range []struct {
		amount money.Cents
		status Status
		reason Reason
	}{
		{200, Pending, ReasonNone},
		{1, Pending, ReasonNone},
		{0, Waived, ReasonDisabled},
	} {
		f := newFee(transfer, test.amount, now)
		want := Fee{ID: f.ID, TransferID: transferID, AccountNumber: "18", Amount: test.amount, Status: test.status, Reason: test.reason, CreatedAt: now}
		if f != want || !canonicalID(f.ID) {
			t.Errorf("amount %s: got %+v, want %+v", test.amount, f, want)
		}
	}
}

func TestDescription(t *testing.T) {
	for _, test := range []struct {
		status Status
		reason Reason
		want   string
	}{
		{Pending, ReasonNone, "Tarifa de transferência"},
		{Pending, ReasonInsufficientBalance, "Tarifa de transferência: aguardando saldo"},
		{Charged, ReasonNone, "Tarifa de transferência"},
		{Waived, ReasonDisabled, "Tarifa de transferência dispensada: tarifa desativada"},
		{Waived, ReasonUnknownAccount, "Tarifa de transferência dispensada: conta não encontrada"},
		{Waived, ReasonInactiveAccount, "Tarifa de transferência dispensada: conta inativa"},
		{Waived, "SOMETHING_NEW", "Tarifa de transferência dispensada: SOMETHING_NEW"},
	} {
		if got := (Fee{Status: test.status, Reason: test.reason}).Description(); got != test.want {
			t.Errorf("%s %s: got %q, want %q", test.status, test.reason, got, test.want)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	for name, test := range map[string]struct {
		config Config
		want   []string // named in the error
	}{
		"defaults":        {Config{Amount: 200, RetryMin: 5 * time.Second, RetryMax: time.Hour}, nil},
		"fees off":        {Config{Amount: 0, RetryMin: time.Second, RetryMax: time.Second}, nil},
		"negative":        {Config{Amount: -1, RetryMin: time.Second, RetryMax: time.Second}, []string{"TRANSFER_FEE_AMOUNT"}},
		"no wait":         {Config{RetryMax: time.Second}, []string{"FEE_RETRY_MIN"}},
		"all at once":     {Config{Amount: -1, RetryMin: -1, RetryMax: -2}, []string{"TRANSFER_FEE_AMOUNT", "FEE_RETRY_MIN", "FEE_RETRY_MAX"}},
		"cap below least": {Config{RetryMin: 2, RetryMax: 1}, []string{"FEE_RETRY_MAX"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.config.Validate()
			if (err != nil) != (test.want != nil) {
				t.Fatalf("got %v", err)
			}
			for _, name := range test.want {
				if !strings.Contains(err.Error(), name) {
					t.Errorf("%v does not name %s", err, name)
				}
			}
		})
	}
}
