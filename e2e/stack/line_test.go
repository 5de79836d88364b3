package stack

import (
	"os/exec"
	"sync"
	"testing"
)

// A line can be cut while programs are being started.
func TestLineIsCutWhileProgramsStart(t *testing.T) {
	ports, err := claimPorts()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ports.release() }()
	line, _, err := lay("cut", loopback(ports.take()), "postgres://127.0.0.1:1/books")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = line.Kill() }()
	var all sync.WaitGroup
	ended := make(chan struct{})
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
					if err := exec.CommandContext(t.Context(), "true").Run(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for range 500 {
		if err := line.Cut(t.Context()); err != nil {
			t.Error(err)
			break
		}
	}
	close(ended)
	all.Wait()
}
