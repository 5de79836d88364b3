//go:build backends

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// A replica of fee-svc that hangs keeps no events to itself: its sidecar misses the health probes and ends its
// subscription, although no timeout policy bounds a delivery, and the other replica gets the partitions.
func TestEventsOfAHungReplica(t *testing.T) {
	ana, bia := newPerson(t, "Ana Partição", "1000.00"), newPerson(t, "Bia Partição", "")
	first := system.Apps["fee-svc"]
	second, err := system.Replicate(t.Context(), "fee-svc")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(second.Service.Terminate(), second.Sidecar.Terminate()); err != nil {
			t.Error(err)
		}
		for name, app := range system.Apps {
			if app == second {
				delete(system.Apps, name)
			}
		}
	}()
	const paid = 40 // from many accounts, or they would be in one partition
	people := []person{ana}
	for i := range 7 {
		people = append(people, newPerson(t, fmt.Sprintf("Cliente %d", i+1), "1000.00"))
	}
	eventually(t, 30*time.Second, func() error { return sharedBy(t, 2) })
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
		people[i%len(people)].pay(t, bia, "1.00")
	}
	eventually(t, time.Minute, func() error { return sharedBy(t, 1) })
	conn := openBooks(t)
	defer conn.Close()
	eventually(t, time.Minute, func() error {
		waiting, err := lines(context.WithoutCancel(t.Context()), conn, unsettled)
		if err == nil && len(waiting) > 0 {
			err = fmt.Errorf("%d things on their way while a replica hangs, such as: %s", len(waiting), waiting[0])
		}
		return err
	})
}
