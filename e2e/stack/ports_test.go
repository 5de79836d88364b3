package stack

import "testing"

func TestPortBlocksDoNotOverlap(t *testing.T) {
	seen := map[int]bool{}
	for range 3 {
		block, err := claimPorts()
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := block.release(); err != nil {
				t.Error(err)
			}
		}()
		for range blockPorts - 1 {
			port := block.take()
			if seen[port] {
				t.Fatalf("port %d was given twice", port)
			}
			seen[port] = true
		}
	}
}
