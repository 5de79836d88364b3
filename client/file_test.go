package client_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/bankmore/bankmore/client"
)

// A file is whole, or the client returns an error: that of the server, or one that says that the file broke off, although a
// sidecar has ended it properly.
func TestStatementFile(t *testing.T) {
	var length, asked string
	session := sessionAt(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.RawQuery + " " + r.Header.Get("Authorization")
		if length == "" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"message":"Não.","type":"INVALID_ARGUMENT"}`)
			return
		}
		w.Header().Set("X-Content-Length", length)
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "a;b")
	})
	get := func() (string, error) {
		var file strings.Builder
		err := session.StatementFile(t.Context(), &file, client.CSV, "2026-11-01", "2026-11-30", "point")
		return file.String(), err
	}
	var failure *client.Failure
	if file, err := get(); !errors.As(err, &failure) || failure.Type != "INVALID_ARGUMENT" || file != "" {
		t.Errorf("refused: %q, %v", file, err)
	}
	length = "3"
	if file, err := get(); err != nil || file != "a;b" {
		t.Errorf("whole: %q, %v", file, err)
	}
	if want := "format=csv&from=2026-11-01&to=2026-11-30&decimal=point Bearer the-token"; asked != want {
		t.Errorf("asked for %s, want %s", asked, want)
	}
	length = "4"
	if file, err := get(); !errors.Is(err, client.ErrBrokenOff) {
		t.Errorf("broken off: %q, %v", file, err)
	}
}
