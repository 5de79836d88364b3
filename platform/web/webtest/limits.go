package webtest

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

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
		var last *httptest.ResponseRecorder
		for i := range 3 {
			if last = ask(method, path, token); i == 0 && last.Code == http.StatusTooManyRequests {
				t.Errorf("%s %s refuses the first request", method, route)
			}
		}
		if last.Code != http.StatusTooManyRequests || last.Header().Get("Retry-After") == "" {
			t.Errorf("%s %s: the third request gets %d, want 429 with Retry-After", method, route, last.Code)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(slices.Compact(limited)) < 2 {
		t.Errorf("only %q want a token", limited)
	}
}
