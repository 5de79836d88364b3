package suite_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/e2e/bank"
)

// alerts are the series that docs/runbook.md refers to. Each is there from the start.
var alerts = map[string][]string{
	"transfer-svc": {
		`bankmore_transfers_unfinished{state="PENDING"}`, `bankmore_transfers_unfinished{state="DEBITED"}`, `bankmore_transfers_unfinished{state="REFUNDING"}`,
		`bankmore_transfers_unfinished_oldest_seconds{state="PENDING"}`, `bankmore_transfers_unfinished_oldest_seconds{state="DEBITED"}`,
		`bankmore_transfers_unfinished_oldest_seconds{state="REFUNDING"}`,
		`bankmore_idempotency_memory_operations_total{operation="recall",result="forged"}`, `bankmore_idempotency_memory_operations_total{operation="recall",result="away"}`,
		`bankmore_idempotency_memory_operations_total{operation="remember",result="away"}`, `bankmore_idempotency_memory_operations_total{operation="recall",result="contradicted"}`,
		`bankmore_transfer_recoveries_total{result="unknown"}`, `bankmore_transfer_leg_answers_total{leg="refund",verdict="refused"}`,
		`bankmore_outbox_waiting`, `bankmore_outbox_oldest_seconds`, `bankmore_worker_failures_total{worker="transfer recovery"}`, `bankmore_worker_failures_total{worker="closed accounts"}`, `bankmore_worker_failures_total{worker="outbox relay"}`,
	},
	"fee-svc": {
		`bankmore_fee_pending{waits_for="collection"}`, `bankmore_fee_pending{waits_for="balance"}`, `bankmore_fee_pending_oldest_seconds`,
		`bankmore_fee_events_total{result="dead_lettered"}`, `bankmore_fee_events_total{result="retried"}`,
		`bankmore_fee_collections_total{outcome="unknown"}`, `bankmore_fee_debtors_asked_total{answer="short"}`, `bankmore_outbox_waiting`, `bankmore_outbox_oldest_seconds`,
		`bankmore_worker_failures_total{worker="fee collector"}`, `bankmore_worker_failures_total{worker="outbox relay"}`,
	},
}

func TestSeriesForAlerts(t *testing.T) {
	for id, series := range alerts {
		text, err := bank.Fetch(t.Context(), system.Apps[id].URL+"/metrics")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range series {
			if !strings.Contains(string(text), "\n"+name) {
				t.Errorf("%s has no %s", id, name)
			}
		}
	}
}

// The gauge of pending fees counts a fee that waits for its account's balance.
func TestGaugesTell(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Medida", "10.00"), system.NewCustomer(t, "Bia Medida", "")
	ana.Pay(t, bia, "10.00")
	bank.Eventually(t, 20*time.Second, func() error {
		if count(t, "fee-svc", `bankmore_fee_pending{waits_for="balance"}`) == 0 {
			return errors.New("no fee is pending")
		}
		return nil
	})
	ana.Deposit(t, "2.00")
	ana.WaitBalance(t, "0.00")
}
