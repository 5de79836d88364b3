package httpapi_test

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"gopkg.in/yaml.v3"

	"github.com/bankmore/bankmore/fee-svc/internal/httpapi"
)

// The document and the router name the same operations. Event, health and docs routes are not the clients'.
func TestOpenAPINamesEveryRoute(t *testing.T) {
	raw, err := os.ReadFile("../../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]any `yaml:"paths"`
	}
	if err := yaml.Unmarshal(raw, &document); err != nil {
		t.Fatal(err)
	}
	var documented, routed []string
	for path, operations := range document.Paths {
		for method := range operations {
			documented = append(documented, strings.ToUpper(method)+" "+path)
		}
	}
	router := newService(t, 200).handler.(chi.Routes)
	err = chi.Walk(router, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if strings.HasPrefix(route, "/api/") && !strings.HasPrefix(route, "/api/schema/") {
			routed = append(routed, method+" "+route)
		} else if route != httpapi.CompletedPath && !strings.HasPrefix(route, "/api/schema/") && !strings.HasPrefix(route, "/swagger/") {
			t.Errorf("route of unknown purpose: %s %s", method, route)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(documented)
	slices.Sort(routed)
	if !slices.Equal(documented, routed) || len(routed) == 0 {
		t.Errorf("documented %v\nrouted %v", documented, routed)
	}
}

func TestSchemaIsServed(t *testing.T) {
	s := newService(t, 200)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/api/schema/fee", nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, body, _ := s.do(r); status != 200 || !strings.HasPrefix(body, "openapi: 3.1.0") {
		t.Errorf("%d %.40s", status, body)
	}
}
