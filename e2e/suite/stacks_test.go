package suite_test

import (
	"testing"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/stack"
)

// Two systems on one machine, with the same app ids, never call each other's apps. (With mDNS, Dapr's default, they do.)
func stacksDoNotMix(t *testing.T) {
	other, err := stack.Start(t.Context(), stack.Options{Bin: system.Bin})
	if other != nil {
		t.Cleanup(func() {
			if err := other.Stop(false); err != nil {
				t.Error(err)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	leavesNoTrace(t, func() {
		c := client.New(client.Ingress(other.URL()), system.Transport)
		ana, bia := system.NewCustomerThrough(t, c, "Ana Lá", "1000.00"), system.NewCustomerThrough(t, c, "Bia Lá", "")
		for range 20 {
			ana.Pay(t, bia, "10.00")
		}
		ana.WaitBalance(t, "760.00")
	})
}
