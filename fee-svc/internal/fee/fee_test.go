package fee

import (
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/web"
)

const transferID = "0190f3a1-7b00-7000-8000-000000000001"

func TestNewFee(t *testing.T) {
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
		f := newFee(transfer, test.amount)
		want := Fee{ID: f.ID, TransferID: transferID, AccountNumber: "18", Amount: test.amount, Status: test.status, Reason: test.reason}
		if f != want || !web.IsID(f.ID) {
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
		"defaults":     {Config{Amount: 200, BalanceInterval: 30 * time.Second}, nil},
		"fees off":     {Config{Amount: 0, BalanceInterval: time.Second}, nil},
		"longest wait": {Config{Amount: 200, BalanceInterval: 40 * time.Second}, nil},
		"negative":     {Config{Amount: -1, BalanceInterval: time.Second}, []string{"TRANSFER_FEE_AMOUNT"}},
		"no wait":      {Config{}, []string{"FEE_BALANCE_INTERVAL"}},
		"too long":     {Config{BalanceInterval: 41 * time.Second}, []string{"FEE_BALANCE_INTERVAL"}},
		"all at once":  {Config{Amount: -1, BalanceInterval: -1}, []string{"TRANSFER_FEE_AMOUNT", "FEE_BALANCE_INTERVAL"}},
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
