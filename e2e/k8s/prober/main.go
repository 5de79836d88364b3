// Prober dials addresses, host:port each, and says of each whether somebody listens there.
package main

import (
	"fmt"
	"net"
	"os"
	"time"
)

func main() {
	for _, address := range os.Args[1:] {
		conn, err := net.DialTimeout("tcp", address, 3*time.Second)
		if err != nil {
			fmt.Println(address, "closed")
			continue
		}
		fmt.Println(address, "open", conn.Close() == nil)
	}
}
