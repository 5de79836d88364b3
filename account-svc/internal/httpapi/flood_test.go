package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/httpapi"
)

// from returns the headers of a request that the sidecar delivers from the ingress, which saw the address source.
func from(source string) http.Header {
	return http.Header{"X-Real-Ip": {source}, "Dapr-Caller-App-Id": {"ingress"}, "Dapr-Api-Token": {appToken}}
}

func login(cpf, password string) string {
	return fmt.Sprintf(`{"cpf":%q,"password":%q}`, cpf, password)
}

// A source that fetches the documentation in a loop is refused, with a time to wait. Another source gets its page all the while.
func TestDocumentationIsLimitedPerSource(t *testing.T) {
	a := newAPI(t)
	get := func(source string) int {
		rec := a.do(request{method: "GET", path: "/swagger/swagger-ui.css", header: from(source)})
		if rec.Code == http.StatusTooManyRequests && (rec.Header().Get("Retry-After") != "1" || rec.Header().Get("Cache-Control") != "no-store") {
			t.Errorf("refused with %v", rec.Header())
		}
		return rec.Code
	}
	counts := map[int]int{}
	for range 200 {
		counts[get("203.0.113.1")]++
	}
	if counts[200] < 40 || counts[200] > 80 || counts[200]+counts[429] != 200 {
		t.Errorf("answers by status: %v", counts)
	}
	if got := get("203.0.113.2"); got != 200 {
		t.Errorf("another source gets %d", got)
	}
}

// Strangers send 128 requests a second without end (malformed CPFs, wrong passwords, registrations), more than the cores can
// hash. Meanwhile customers at other addresses log in. All limits are raised, so that none helps.
func TestCustomersLogInDuringAFlood(t *testing.T) {
	const none = 1_000_000
	a := newLimitedAPI(t, httpapi.LimitsConfig{PerCustomer: none, FailuresPerSource: none, RegistrationsPerSource: none})
	a.register(anaCPF, "Ana")
	ended := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		ticks := time.NewTicker(time.Second / 128)
		defer ticks.Stop()
		for n := 0; ; n++ {
			select {
			case <-ticks.C:
			case <-ended:
				return
			}
			r := request{method: "POST", path: "/api/account/login", body: login("x", "senha"), header: from(fmt.Sprint("203.0.113.", n%4))}
			switch n % 4 {
			case 1:
				r.body = login(anaCPF, "errada")
			case 2:
				r.body = login(biaCPF, "errada")
			case 3:
				r.path, r.body = "/api/account/register", fmt.Sprintf(`{"cpf":%q,"name":"Eva","password":%q}`, anaCPF, password)
			}
			all.Go(func() { a.do(r) })
		}
	})
	defer all.Wait()
	defer close(ended)
	time.Sleep(time.Second) // by then more requests wait than the cores can serve in a second
	in, worst := 0, time.Duration(0)
	const logins = 10
	for n := range logins {
		began := time.Now()
		rec := a.do(request{method: "POST", path: "/api/account/login", body: login(anaCPF, password), header: from(fmt.Sprint("198.51.100.", n))})
		worst = max(worst, time.Since(began))
		if rec.Code == http.StatusOK {
			in++
		}
		time.Sleep(200 * time.Millisecond)
	}
	// Usually all of them get in; on a machine that stands still for two seconds one may get ErrBusy. When requests were
	// served in the order of their arrival, one in ten got in. TestFloodDelaysNoHonestVisitor shows that the wait is bounded.
	t.Logf("%d of %d logins within %s", in, logins, worst)
	if in < logins-2 {
		t.Errorf("%d of %d logins while strangers ask for more than can be served", in, logins)
	}
}

// The limits refuse clients by the source that the ingress saw, and by nothing else.
func TestLimitsBySource(t *testing.T) {
	a := newLimitedAPI(t, httpapi.LimitsConfig{PerCustomer: 5, FailuresPerSource: 3, RegistrationsPerSource: 2})
	post := func(path, body string, header http.Header) int {
		rec := a.do(request{method: "POST", path: "/api/account/" + path, body: body, header: header})
		if rec.Code == http.StatusTooManyRequests && rec.Header().Get("Retry-After") == "" {
			t.Errorf("no Retry-After: %s", rec.Body)
		}
		return rec.Code
	}
	registration := func(cpf string) string { return fmt.Sprintf(`{"cpf":%q,"name":"Eva","password":%q}`, cpf, password) }
	home, bot, other := from("198.51.100.1"), from("203.0.113.1"), from("203.0.113.2")
	for _, step := range []struct {
		what, path, body string
		header           http.Header
		want             int
	}{
		{"a registration", "register", registration(anaCPF), home, 201},
		{"another one", "register", registration("x"), home, 400},
		{"a third one", "register", registration(biaCPF), home, 429},
		{"from elsewhere", "register", registration(biaCPF), from("198.51.100.2"), 201},
		{"a malformed CPF", "login", login("x", password), bot, 401},
		{"a wrong password", "login", login(anaCPF, "errada"), bot, 401},
		{"an unknown CPF", "login", login("12345678909", "errada"), bot, 401},
		{"a fourth failure", "login", login("x", password), bot, 429},
		{"the right password there", "login", login(anaCPF, password), bot, 429},
		{"the right password at home", "login", login(anaCPF, password), home, 200},
		{"a guess by a registration", "register", strings.Replace(registration(anaCPF), password, "errada", 1), other, 400},
		{"a malformed CPF there", "login", login("x", password), other, 401},
		{"a second one there", "login", login("x", password), other, 401},
		{"a third one there", "login", login("x", password), other, 429},
		{"a source that nobody saw", "login", login(anaCPF, password), http.Header{"X-Real-Ip": {"203.0.113.1"}}, 200},
	} {
		if got := post(step.path, step.body, step.header); got != step.want {
			t.Errorf("%s: %d, want %d", step.what, got, step.want)
		}
	}
}
