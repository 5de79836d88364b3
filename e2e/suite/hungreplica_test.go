package suite_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/bankmore/bankmore/e2e/bank"
)

// A replica of fee-svc hangs. No timeout policy bounds a delivery, but the sidecar misses the health probes and ends its
// subscription. So the other replica gets the partitions, and handles all events.
func eventsOfAHungReplica(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Partição", "1000.00"), system.NewCustomer(t, "Bia Partição", "")
	first := system.Apps["fee-svc"]
	second, err := system.Replicate(t.Context(), "fee-svc")
	if err != nil {
		t.Fatal(err)
	}
	defer retire(t, second)
	const paid = 40 // from 16 accounts, so that each replica has some: the events of an account are in one partition
	customers := []bank.Customer{ana}
	for i := range 15 {
		customers = append(customers, system.NewCustomer(t, fmt.Sprintf("Cliente %d", i+1), "1000.00"))
	}
	bank.Eventually(t, 30*time.Second, func() error { return sharedBy(t, 2) })
	if err := first.Service.Pause(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := first.Service.Resume(); err != nil {
			t.Error(err)
		}
		waitOpen(t)
	}()
	for i := range paid {
		customers[i%len(customers)].Pay(t, bia, "1.00")
	}
	bank.Eventually(t, time.Minute, func() error { return sharedBy(t, 1) })
	system.Settle(t) // while the replica hangs
}
