// Prober dials addresses, host:port each, and says of each whether somebody listens there.
package main

import (
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

func main() {
	var all sync.WaitGroup
	for _, address := range os.Args[1:] {
		all.Go(func() {
			conn, err := net.DialTimeout("tcp", address, 3*time.Second)
			if err != nil {
				fmt.Printf("%s closed\n", address)
				return
			}
			_ = conn.Close()
			fmt.Printf("%s open\n", address)
		})
	}
	all.Wait()
}
