// Prober dials addresses, host:port each, and says of each whether somebody listens there.
package main

import (
	"flag"
	"fmt"
	"net"
	"sync"
	"time"
)

func main() {
	after := flag.Duration("after", 0, "how long to wait first")
	flag.Parse()
	time.Sleep(*after)
	var all sync.WaitGroup
	for _, address := range flag.Args() {
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
