package webtest

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
)

// RoutesAreLimited checks that each route under /api/ that takes a token refuses a customer who is over its limit. The router
// has limits of one request per second, and so admits two at once. Without a token a route answers 401, and those that do not are
// open.
func RoutesAreLimited(t *testing.T, router *chi.Mux, token string) {
	t.Helper()
	ask := func(method, path, token string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader("{}"))
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		router.ServeHTTP(w, r)
		return w
	}
	var limited []string
	err := chi.Walk(router, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		path := strings.TrimSuffix(pathParameter.ReplaceAllString(route, "1"), "/")
		if !strings.HasPrefix(path, "/api/") || ask(method, path, "").Code != http.StatusUnauthorized {
			return nil
		}
		limited = append(limited, method+" "+route)
		// On a slow machine the limit admits more than two, since it admits another one each second.
		began, admitted := time.Now(), 0
		for ; float64(admitted) <= 2+time.Since(began).Seconds(); admitted++ {
			last := ask(method, path, token)
			if last.Code != http.StatusTooManyRequests {
				continue
			}
			if admitted == 0 || last.Header().Get("Retry-After") == "" {
				t.Errorf("%s %s refuses a request after %d, with the header %v; want the first admitted, and Retry-After", method, route, admitted, last.Header())
			}
			return nil
		}
		t.Errorf("%s %s admits %d requests within %s", method, route, admitted, time.Since(began))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(slices.Compact(limited)) < 2 {
		t.Errorf("only %q want a token", limited)
	}
}
