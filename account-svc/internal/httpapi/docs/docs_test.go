package docs_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/bankmore/bankmore/account-svc/internal/httpapi/docs"
	"github.com/bankmore/bankmore/platform/web"
)

func ask(t *testing.T, method, target, encoding string) *http.Response {
	t.Helper()
	router := web.NewRouter()
	docs.Mount(router, func(next http.Handler) http.Handler { return next })
	r, w := httptest.NewRequestWithContext(t.Context(), method, target, nil), httptest.NewRecorder()
	if encoding != "" {
		r.Header.Set("Accept-Encoding", encoding)
	}
	router.ServeHTTP(w, r)
	return w.Result()
}

func read(t *testing.T, r io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var linked = regexp.MustCompile(`(?:href|src)="([^"]+)"`)

// A browser may not keep the page. The page loads only files that exist here, and a browser may keep those.
func TestPage(t *testing.T) {
	for _, target := range []string{"/swagger", "/swagger/"} {
		page := ask(t, http.MethodGet, target, "")
		if page.StatusCode != 200 || page.Header.Get("Content-Type") != "text/html; charset=utf-8" || page.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", target, page.StatusCode, page.Header)
		}
		csp := page.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'; ") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "//") || strings.Contains(csp, "*") {
			t.Errorf("%s: Content-Security-Policy %q", target, csp)
		}
		files := linked.FindAllStringSubmatch(read(t, page.Body), -1)
		if len(files) < 5 {
			t.Errorf("%s: links to %q", target, files)
		}
		for _, file := range files {
			got := ask(t, http.MethodGet, file[1], "gzip, deflate, br")
			if cache := got.Header.Get("Cache-Control"); got.StatusCode != 200 || cache != "public, max-age=31536000, immutable" {
				t.Errorf("%s: %d, Cache-Control %q", file[1], got.StatusCode, cache)
			}
		}
	}
}

// A file travels compressed, but not to a client that does not know the compression.
func TestFilesAreCompressed(t *testing.T) {
	for _, file := range []string{"swagger-ui-bundle.js", "swagger-ui.css", "bankmore.js"} {
		target := "/swagger/" + file
		small, plain := ask(t, http.MethodGet, target, "gzip"), ask(t, http.MethodGet, target, "")
		if small.Header.Get("Content-Encoding") != "gzip" || plain.Header.Get("Content-Encoding") != "" {
			t.Fatalf("%s: encodings %q and %q", file, small.Header.Get("Content-Encoding"), plain.Header.Get("Content-Encoding"))
		}
		unpacked, err := gzip.NewReader(small.Body)
		if err != nil {
			t.Fatal(err)
		}
		if text := read(t, plain.Body); text == "" || text != read(t, unpacked) {
			t.Errorf("%s: %d bytes, and something else compressed", file, len(text))
		}
		kind := "text/css; charset=utf-8"
		if strings.HasSuffix(file, ".js") {
			kind = "application/javascript"
		}
		if got := small.Header.Get("Content-Type"); got != kind {
			t.Errorf("%s: Content-Type %q", file, got)
		}
	}
}

// A browser keeps no file of another version, and nothing that is missing.
func TestOtherVersionsAreNotKept(t *testing.T) {
	for target, status := range map[string]int{
		"/swagger/bankmore.js": 200, "/swagger/bankmore.js?v=0123456789abcdef": 200, "/swagger/page.html": 404, "/swagger/docs.go": 404,
	} {
		got := ask(t, http.MethodGet, target, "")
		if cache := got.Header.Get("Cache-Control"); got.StatusCode != status || cache != "no-store" {
			t.Errorf("%s: %d, Cache-Control %q", target, got.StatusCode, cache)
		}
	}
	version := linked.FindStringSubmatch(read(t, ask(t, http.MethodGet, "/swagger", "").Body))[1]
	_, version, _ = strings.Cut(version, "?")
	if got := ask(t, http.MethodGet, "/swagger/missing.js?"+version, ""); got.StatusCode != 404 || got.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("a missing file: %d, Cache-Control %q", got.StatusCode, got.Header.Get("Cache-Control"))
	}
}

// Refusals have the form of all errors.
func TestRefusals(t *testing.T) {
	for _, refused := range []struct {
		method, target string
		status         int
		body           string
	}{
		{http.MethodGet, "/swagger/missing", 404, `{"message":"Recurso não encontrado.","type":"NOT_FOUND"}`},
		{http.MethodGet, "/swagger/account", 404, `{"message":"Recurso não encontrado.","type":"NOT_FOUND"}`},
		{http.MethodPost, "/swagger", 405, `{"message":"Método não permitido.","type":"METHOD_NOT_ALLOWED"}`},
		{http.MethodDelete, "/swagger/swagger-ui.css", 405, `{"message":"Método não permitido.","type":"METHOD_NOT_ALLOWED"}`},
	} {
		got := ask(t, refused.method, refused.target, "")
		if body := read(t, got.Body); got.StatusCode != refused.status || body != refused.body || got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %d %v\n%.300s", refused.method, refused.target, got.StatusCode, got.Header, body)
		}
		if allow := got.Header.Get("Allow"); got.StatusCode == 405 && allow != "GET, HEAD" {
			t.Errorf("%s %s: Allow %q", refused.method, refused.target, allow)
		}
	}
}
