package stack

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
)

// Blocks of ports lie below the ranges from which Linux (32768) and macOS (49152) take ports for outgoing connections,
// so a port stays free while the process that uses it restarts.
const (
	firstPort  = 20000
	lastPort   = 32000
	blockPorts = 64
)

// portBlock is a range of ports for one stack. Its first port is held open as the claim on the block, so that stacks
// which run at the same time, in any number of programs, never share a port.
type portBlock struct {
	claim net.Listener
	next  int
}

func claimPorts() (*portBlock, error) {
	blocks := (lastPort - firstPort) / blockPorts
	for i := range blocks {
		base := firstPort + (os.Getpid()+i)%blocks*blockPorts
		claim, err := net.Listen("tcp", loopback(base))
		if err != nil {
			continue
		}
		if allFree(base+1, base+blockPorts) {
			return &portBlock{claim: claim, next: base + 1}, nil
		}
		claim.Close()
	}
	return nil, fmt.Errorf("no %d free ports in a row between %d and %d", blockPorts, firstPort, lastPort)
}

func allFree(from, to int) bool {
	for port := from; port < to; port++ {
		l, err := net.Listen("tcp", loopback(port))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

func (b *portBlock) take() int {
	b.next++
	return b.next - 1
}

func (b *portBlock) release() error {
	if err := b.claim.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
