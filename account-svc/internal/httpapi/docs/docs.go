// Package docs serves Swagger UI for the OpenAPI documents of the whole API. Every client needs account-svc first, to register
// and to log in; so account-svc serves the page.
package docs

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"

	"github.com/go-chi/chi/v5"
	swaggerui "github.com/swaggest/swgui/v5/static"
	"github.com/vearutop/statigz"
)

// base is the path of the page. Its files are below it.
const base = "/swagger"

// policy lets the page load files from its own origin and call its own origin, and nothing else. The style sheet of Swagger UI
// holds its icons as data: URLs. Swagger UI sets styles through the DOM only, so style-src needs no 'unsafe-inline' either.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// files are ours: the page's script and what it adds to Swagger UI's style.
//
//go:embed *.js *.css
var files embed.FS

//go:embed page.html
var page string

// Mount serves the page at /swagger, and the files that the page loads below that path.
//
// The page asks for each file with ?v= and a hash of all files. A browser may keep such an answer for a year. It must not keep
// the answer to another hash: during a rolling update, one replica's page may get another replica's files.
//
// Anybody may ask for the page and the files, so limit stands before them.
func Mount(r *chi.Mux, limit func(http.Handler) http.Handler) {
	version := hash(files, swaggerui.FS)
	var html bytes.Buffer
	if err := template.Must(template.New("page").Parse(page)).Execute(&html, version); err != nil {
		panic(err) // the template is embedded and takes one string
	}
	limited := r.With(limit)
	limited.Get(base, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		_, _ = w.Write(html.Bytes()) // a client that hangs up is no failure of ours
	})

	missing := statigz.OnNotFound(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		r.NotFoundHandler()(w, req)
	})
	theirs := statigz.FileServer(swaggerui.FS, missing)
	ours := statigz.FileServer(files, statigz.EncodeOnInit)
	both := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if ours.Found(req) {
			ours.ServeHTTP(w, req)
		} else {
			theirs.ServeHTTP(w, req)
		}
	})
	below := http.StripPrefix(base, both)
	limited.Get(base+"/*", func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Query().Get("v") == version {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		below.ServeHTTP(w, req)
	})
}

// hash is one hash of the names and contents of all files of the file systems.
func hash(systems ...fs.FS) string {
	sum := sha256.New()
	for _, system := range systems {
		err := fs.WalkDir(system, ".", func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := fs.ReadFile(system, path)
			fmt.Fprintf(sum, "%s %d\n%s", path, len(content), content)
			return err
		})
		if err != nil {
			panic(err) // both are embedded
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}
