package suite_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/e2e/bank"
)

// alerts are the series that docs/runbook.md refers to. Each is there from the start.
var alerts = map[string][]string{
	"transfer-svc": {
		`transfers_unfinished{state="PENDING"}`, `transfers_unfinished{state="DEBITED"}`, `transfers_unfinished{state="REFUNDING"}`,
		`transfers_unfinished_oldest_seconds{state="PENDING"}`, `transfers_unfinished_oldest_seconds{state="DEBITED"}`,
		`transfers_unfinished_oldest_seconds{state="REFUNDING"}`,
		`idempotency_memory_operations_total{operation="recall",result="forged"}`, `idempotency_memory_operations_total{operation="recall",result="away"}`,
		`idempotency_memory_operations_total{operation="remember",result="away"}`, `idempotency_memory_operations_total{operation="recall",result="contradicted"}`,
		`transfer_recoveries_total{result="unknown"}`, `transfer_leg_answers_total{leg="refund",verdict="refused"}`,
		`outbox_waiting`, `outbox_oldest_seconds`, `worker_failures_total{worker="transfer recovery"}`, `worker_failures_total{worker="closed accounts"}`, `worker_failures_total{worker="outbox relay"}`,
	},
	"fee-svc": {
		`fee_pending{waits_for="collection"}`, `fee_pending{waits_for="balance"}`, `fee_pending_oldest_seconds`,
		`fee_events_total{result="dead_lettered"}`, `fee_events_total{result="retried"}`,
		`fee_collections_total{outcome="unknown"}`, `fee_debtors_asked_total{answer="short"}`, `outbox_waiting`, `outbox_oldest_seconds`,
		`worker_failures_total{worker="fee collector"}`, `worker_failures_total{worker="outbox relay"}`,
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
		text, err := bank.Fetch(t.Context(), system.Apps["fee-svc"].URL+"/metrics")
		if err == nil && strings.Contains(string(text), "\nfee_pending{waits_for=\"balance\"} 0\n") {
			err = fmt.Errorf("no fee is pending")
		}
		return err
	})
	ana.Deposit(t, "2.00")
	ana.WaitBalance(t, "0.00")
}
