package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/bankmore/bankmore/platform/web/webtest"
)

func TestRoutesMatchTheOpenAPIDocument(t *testing.T) {
	s := newEdge(t, 200)
	token := s.token(ana, time.Hour)
	webtest.MatchesDocument(t, "../../openapi.yaml", s.handler.(chi.Routes), func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+token)
	})
}

func TestSchemaIsServed(t *testing.T) {
	s := newEdge(t, 200)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/api/schema/fee", nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, body, _ := s.do(r); status != 200 || !strings.HasPrefix(body, "openapi: 3.1.0") {
		t.Errorf("%d %.40s", status, body)
	}
}
