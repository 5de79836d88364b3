package web

import (
	"net/http"

	"github.com/go-chi/chi/v5"
)

// MountSchema serves a service's OpenAPI document, in YAML, at /api/schema/{name}.
func MountSchema(r chi.Router, name string, openAPI []byte) {
	r.Get("/api/schema/"+name, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml") // RFC 9512
		_, _ = w.Write(openAPI)                            // a client that hangs up is no failure of ours
	})
}
