package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/bankmore/bankmore/e2e/client"
	"github.com/bankmore/bankmore/e2e/contract"
)

// send makes a request that may break the contract; its answer must not.
func send(t *testing.T, method, url, body string, header http.Header) client.Answer {
	t.Helper()
	answer, err := api.Send(contract.BadRequest(t.Context()), method, url, []byte(body), header)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return answer
}

// as is the headers of a JSON request of that customer.
func as(p person) http.Header {
	return http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + p.Token}}
}

// sendRaw writes a request to the ingress byte by byte as given, since an HTTP client would tidy the path up.
func sendRaw(t *testing.T, method, path, headers, body string) client.Answer {
	t.Helper()
	door, err := url.Parse(system.URL())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialTimeout("tcp", door.Host, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n%s", method, path, door.Host, len(body), headers, body)
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return client.Answer{Status: resp.StatusCode, Header: resp.Header, Body: answer}
}
