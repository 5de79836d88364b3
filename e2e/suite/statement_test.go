package suite_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
	_ "time/tzdata" // a machine may have no time zones

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/bank"
)

// Paging through a statement yields each movement that was there exactly once and in order, while new ones come in.
func TestStatementPagingUnderInserts(t *testing.T) {
	const before = 60
	ana := system.NewCustomer(t, "Ana Extrato", "")
	for i := range before {
		ana.Deposit(t, fmt.Sprintf("%d.00", i+1))
	}
	old, err := client.All(t.Context(), 100, ana.Statement)
	if err != nil || len(old) != before {
		t.Fatalf("%d movements, %v", len(old), err)
	}
	ctx, stop := context.WithCancel(t.Context())
	inserted := make(chan int)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			if _, err := ana.Move(t.Context(), bank.Key(), client.Credit, "0.01"); err != nil {
				t.Errorf("deposit meanwhile: %v", err)
				break
			}
		}
		inserted <- n
	}()
	for _, limit := range []int{1, 7, 20, 100} {
		seen, err := client.All(t.Context(), limit, ana.Statement)
		if err != nil {
			t.Fatal(err)
		}
		wantOnceInOrder(t, seen)
		if tail := seen[len(seen)-before:]; !slices.Equal(tail, old) {
			t.Errorf("limit %d: the old movements come as %d others", limit, len(tail))
		}
	}
	stop()
	n := <-inserted
	all, err := client.All(t.Context(), 100, ana.Statement)
	if err != nil || len(all) != before+n || n == 0 {
		t.Errorf("%d movements in the end, want %d old and %d new; %v", len(all), before, n, err)
	}
	wantOnceInOrder(t, all)
	system.CheckBooks(t)
}

func wantOnceInOrder(t *testing.T, movements []client.Movement) {
	t.Helper()
	seen := map[string]bool{}
	for i, m := range movements {
		if seen[m.ID] {
			t.Errorf("movement %s comes twice", m.ID)
		}
		seen[m.ID] = true
		if i > 0 && m.CreatedAt.After(movements[i-1].CreatedAt) {
			t.Errorf("movement %s is newer than the one before it", m.ID)
		}
	}
}

// from and to bound the statement: instants exactly, dates as whole days in UTC.
func TestStatementPeriod(t *testing.T) {
	ana := system.NewCustomer(t, "Ana Período", "")
	for i := range 3 {
		ana.Deposit(t, fmt.Sprintf("%d.00", i+1))
		time.Sleep(2 * time.Millisecond)
	}
	page, err := ana.Statement(t.Context(), client.Query{})
	if err != nil || len(page.Items) != 3 {
		t.Fatalf("%+v, %v", page, err)
	}
	instant := func(i int) string { return page.Items[2-i].CreatedAt.Format(time.RFC3339Nano) }
	zone, err := time.LoadLocation("America/Sao_Paulo") // of the bank, unless BANK_TIME_ZONE names another
	if err != nil {
		t.Fatal(err)
	}
	first, last := page.Items[2].CreatedAt.In(zone), page.Items[0].CreatedAt.In(zone)
	for _, test := range []struct {
		what string
		client.Query
		want int
	}{
		{"everything", client.Query{}, 3},
		{"from the second on", client.Query{From: instant(1)}, 2},
		{"up to the second, exclusive", client.Query{To: instant(1)}, 1},
		{"only the second", client.Query{From: instant(1), To: instant(2)}, 1},
		{"the days", client.Query{From: first.Format(time.DateOnly), To: last.Format(time.DateOnly)}, 3},
		{"until yesterday", client.Query{To: first.AddDate(0, 0, -1).Format(time.DateOnly)}, 0},
		{"from tomorrow", client.Query{From: last.AddDate(0, 0, 1).Format(time.DateOnly)}, 0},
		{"in another time zone", client.Query{From: page.Items[1].CreatedAt.In(time.FixedZone("", -3*3600)).Format(time.RFC3339Nano)}, 2},
	} {
		got, err := ana.Statement(t.Context(), test.Query)
		if err != nil || len(got.Items) != test.want {
			t.Errorf("%s: %d movements, want %d; %v", test.what, len(got.Items), test.want, err)
		}
	}
	paged, err := client.All(t.Context(), 1, func(ctx context.Context, q client.Query) (client.Page[client.Movement], error) {
		q.From = instant(1)
		return ana.Statement(ctx, q)
	})
	if err != nil || len(paged) != 2 {
		t.Errorf("paging within a period: %d movements, %v", len(paged), err)
	}
}

// Paging through transfers and through fees yields each once.
func TestTransfersAndFeesPage(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Lista", "100.00"), system.NewCustomer(t, "Bia Lista", "100.00")
	const each = 5
	for range each {
		ana.Pay(t, bia, "1.00")
		bia.Pay(t, ana, "2.00")
	}
	system.Settle(t)
	for _, p := range []bank.Customer{ana, bia} {
		transfers, err := client.All(t.Context(), 3, p.Transfers)
		if err != nil || len(transfers) != 2*each {
			t.Errorf("%s: %d transfers, %v", p.Name, len(transfers), err)
		}
		fees, err := client.All(t.Context(), 2, p.Fees)
		if err != nil || len(fees) != each {
			t.Errorf("%s: %d fees, %v", p.Name, len(fees), err)
		}
		ids := map[string]bool{}
		for _, tr := range transfers {
			ids[tr.ID] = true
		}
		for _, f := range fees {
			ids[f.ID] = true
		}
		if len(ids) != len(transfers)+len(fees) {
			t.Errorf("%s: something comes twice", p.Name)
		}
	}
	system.CheckBooks(t)
}
