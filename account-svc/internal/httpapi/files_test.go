package httpapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/auth"
)

// While clients take long to fetch their files, a process writes one per customer and maxFiles in all, and refuses others.
func TestFilesUnderWay(t *testing.T) {
	fetched, began := make(chan struct{}), make(chan struct{})
	handler := (&filesUnderWay{accounts: map[string]bool{}}).limit(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		began <- struct{}{}
		<-fetched
		panic(http.ErrAbortHandler) // as after a failure halfway
	}))
	ask := func(account string) (w *httptest.ResponseRecorder) {
		defer func() { _ = recover() }()
		claims := &accountapi.Claims{RegisteredClaims: jwt.RegisteredClaims{Subject: account}}
		w = httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(auth.WithClaims(t.Context(), claims), http.MethodGet, "/", nil))
		return w
	}
	refused := func(account string) {
		t.Helper()
		if w := ask(account); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "5" {
			t.Errorf("a file for %s: %d, Retry-After %q", account, w.Code, w.Header().Get("Retry-After"))
		}
	}
	var clients sync.WaitGroup
	for i := range maxFiles - 1 {
		clients.Go(func() { ask(fmt.Sprint(i)) })
		<-began
	}
	refused("0")
	clients.Go(func() { ask("last") })
	<-began
	refused("another")
	close(fetched)
	clients.Wait()
	clients.Go(func() { ask("0") })
	<-began
	clients.Wait()
}
