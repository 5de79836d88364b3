// Package webtest checks what the routers of all services share.
package webtest

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

// document is the part of an OpenAPI document that routes have to match.
type document struct {
	Paths      map[string]map[string]operation `yaml:"paths"`
	Components struct {
		Parameters map[string]parameter `yaml:"parameters"`
	} `yaml:"components"`
}

type operation struct {
	Parameters []parameter `yaml:"parameters"`
}

type parameter struct {
	Name string `yaml:"name"`
	In   string `yaml:"in"`
	Ref  string `yaml:"$ref"` // to one of the document's components
}

// query names the query parameters of o.
func (d document) query(o operation) (names []string) {
	for _, p := range o.Parameters {
		if p.Ref != "" {
			p = d.Components.Parameters[strings.TrimPrefix(p.Ref, "#/components/parameters/")]
		}
		if p.In == "query" {
			names = append(names, p.Name)
		}
	}
	return names
}

// MatchesDocument checks that the clients' routes, those below /api, are the operations of the OpenAPI document in the
// file. It checks that each route accepts the query parameters that the document gives it, and no other. authorize turns a
// request into one of a customer.
func MatchesDocument(t *testing.T, file string, router chi.Routes, authorize func(*http.Request)) {
	t.Helper()
	var d document
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	documented, routed := map[string]bool{}, map[string]bool{}
	for path, operations := range d.Paths {
		for method, operation := range operations {
			documented[strings.ToUpper(method)+" "+path] = true
			acceptsDocumented(t, router, strings.ToUpper(method), path, d.query(operation), authorize)
		}
	}
	err = chi.Walk(router, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if strings.HasPrefix(route, "/api/") && !strings.HasPrefix(route, "/api/schema/") {
			routed[method+" "+strings.TrimSuffix(route, "/")] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(routed))); diff != "" {
		t.Errorf("documented (-) and routed (+) differ:\n%s", diff)
	}
}

var pathParameter = regexp.MustCompile(`\{[a-z_]+\}`)

func acceptsDocumented(t *testing.T, router chi.Routes, method, path string, names []string, authorize func(*http.Request)) {
	t.Helper()
	for _, name := range append([]string{"undocumented"}, names...) {
		r := httptest.NewRequestWithContext(t.Context(), method, pathParameter.ReplaceAllString(path, "1")+"?"+name+"=", nil)
		authorize(r)
		w := httptest.NewRecorder()
		router.(http.Handler).ServeHTTP(w, r)
		refused := w.Code == http.StatusBadRequest && strings.Contains(w.Body.String(), "Parâmetro desconhecido: "+name)
		if refused != (name == "undocumented") {
			t.Errorf("%s %s with the parameter %s: %d %s", method, path, name, w.Code, w.Body)
		}
	}
}
