package suite_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bankmore/bankmore/e2e/bank"
)

// count returns the sum of those series of a service whose names begin with series.
func count(t *testing.T, id, series string) (sum int) {
	t.Helper()
	text, err := bank.Fetch(t.Context(), system.Apps[id].URL+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); strings.HasPrefix(line, series) {
			value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += int(value)
		}
	}
	return sum
}

// Events come to fee-svc in portions: one delivery per partition in 300 ms. The payers of this test have 4 partitions at most.
// (docs/adr/0040-what-nobody-waits-for-travels-in-portions.md)
func TestEventsTravelInPortions(t *testing.T) {
	const payers, each = 4, 50
	system.Settle(t)
	const deliveries = `bankmore_http_request_duration_seconds_count{method="POST",route="/events/transfers-completed"`
	eventsBefore, deliveriesBefore := count(t, "fee-svc", `bankmore_fee_events_total{result="accepted"}`), count(t, "fee-svc", deliveries)
	shop, all := system.NewCustomer(t, "Loja Porções", ""), make([]bank.Customer, payers)
	for i := range all {
		all[i] = system.NewCustomer(t, "Ana Porções", "150.00")
	}
	began := time.Now()
	var paying sync.WaitGroup
	for _, payer := range all {
		for range each {
			paying.Go(func() {
				if _, err := payer.Transfer(t.Context(), bank.Key(), shop.Number, "1.00"); err != nil {
					t.Error(err)
				}
			})
		}
	}
	paying.Wait()
	for _, payer := range all {
		payer.WaitBalance(t, "0.00") // each transfer cost 1.00 and a fee of 2.00
	}
	took := time.Since(began)
	events, came := count(t, "fee-svc", `bankmore_fee_events_total{result="accepted"}`)-eventsBefore, count(t, "fee-svc", deliveries)-deliveriesBefore
	t.Logf("%d events in %d deliveries within %s", events, came, took)
	if most := payers * (int(took/(300*time.Millisecond)) + 2); events != payers*each || came > most || came == 0 {
		t.Errorf("%d events in %d deliveries within %s, want %d events in at most %d deliveries", events, came, took, payers*each, most)
	}
}

// The fee of a lone transfer is charged within about a second, although each step on its way gathers: 0.5 s in all at most, and
// the steps themselves.
func TestFeeOfALoneTransferComesSoon(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Sozinha", "100.00"), system.NewCustomer(t, "Bia Sozinha", "")
	soonest := time.Hour
	for n := range 5 {
		system.Settle(t)
		ana.Pay(t, bia, "1.00")
		began := time.Now()
		ana.WaitBalance(t, strconv.Itoa(100-3*(n+1))+".00")
		took := time.Since(began)
		t.Logf("the fee came after %s", took)
		soonest = min(soonest, took)
	}
	if soonest > time.Second {
		t.Errorf("the soonest of five fees came after %s, want a second at most", soonest)
	}
}
