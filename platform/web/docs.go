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
		_, _ = w.Write(openAPI)                            // a client that hangs up is no failure of ours
	})
	base := "/swagger/" + name
	pages := files(v5emb.New(title, schema, base+"/"))
	r.Get(base, pages)
	r.Get(base+"/*", pages)
}

// files serves the files of handler. If handler answers with an error, files answers 404 in the one form of errors, not with
// the text of a file server.
func files(handler http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		attempt := &refusable{ResponseWriter: w}
		handler.ServeHTTP(attempt, r)
		if attempt.refused {
			WriteError(w, r, errNotFound)
		}
	}
}

// refusable withholds an answer whose status is an error.
type refusable struct {
	http.ResponseWriter
	refused bool
}

func (w *refusable) WriteHeader(status int) {
	if w.refused = status >= http.StatusBadRequest; !w.refused {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *refusable) Write(p []byte) (int, error) {
	if w.refused {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}
