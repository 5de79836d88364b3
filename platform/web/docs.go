package web

import (
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/swaggest/swgui/v5emb"
)

// MountDocs serves a service's OpenAPI document at /api/schema/{name} and Swagger UI for it at /swagger/{name}/.
func MountDocs(r chi.Router, name, title string, openAPI []byte) {
	schema := "/api/schema/" + name
	r.Get(schema, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml") // RFC 9512
		_, _ = w.Write(openAPI)                            // a client that went away is no failure of ours
	})
	base := "/swagger/" + name
	r.Mount(base, v5emb.New(title, schema, base+"/"))
}
