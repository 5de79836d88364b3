package web_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/web"
)

// content returns size bytes, with no two blocks alike.
func content(size int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		b.WriteString(strconv.Itoa(i) + "\n")
	}
	return b.Bytes()[:size]
}

// fileServer serves a file that write writes. write gets the number of the call, from 1 on.
func fileServer(t *testing.T, write func(call int, w io.Writer) error) *httptest.Server {
	t.Helper()
	calls := 0
	r := web.NewRouter()
	r.Method(http.MethodGet, "/file", web.FileHandler(func(*http.Request) (web.File, error) {
		return web.File{MediaType: "text/plain; charset=utf-8", Name: "a b.txt", Write: func(_ context.Context, w io.Writer) error {
			calls++
			return write(calls, w)
		}}, nil
	}).Accepting("a"))
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return server
}

func fetch(t *testing.T, method, url string) (*http.Response, []byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

// A file arrives whole, with its length, whether or not it fits in memory.
func TestFile(t *testing.T) {
	for _, size := range []int{0, 1, 256 << 10, 256<<10 + 1, 3 << 20} {
		want := content(size)
		server := fileServer(t, func(_ int, w io.Writer) error {
			for block := range slices.Chunk(want, 10_000) {
				if _, err := w.Write(block); err != nil {
					return err
				}
			}
			return nil
		})
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			resp, body, err := fetch(t, method, server.URL+"/file")
			if err != nil || resp.StatusCode != http.StatusOK || method == http.MethodGet && !bytes.Equal(body, want) {
				t.Fatalf("%s, %d bytes: status %d, %d bytes, %v", method, size, resp.StatusCode, len(body), err)
			}
			for name, value := range map[string]string{
				"Content-Length": strconv.Itoa(size), web.FileLengthHeader: strconv.Itoa(size), "Content-Type": "text/plain; charset=utf-8",
				"Content-Disposition": `attachment; filename="a b.txt"`, "Cache-Control": "no-store",
			} {
				if got := resp.Header.Get(name); got != value {
					t.Errorf("%s, %d bytes: %s is %q, want %q", method, size, name, got, value)
				}
			}
		}
	}
}

// A failure before the first byte is an ordinary answer: one of the request, one that shows while the file is written for the
// first time, however far that came, and a file that is too large.
func TestFileFails(t *testing.T) {
	refusal := fault.BadArgument("Não.")
	for name, test := range map[string]struct {
		query  string
		size   int
		err    error
		status int
		want   string
	}{
		"at once":     {"", 0, refusal, 400, `{"message":"Não.","type":"INVALID_ARGUMENT"}`},
		"in the end":  {"", 1 << 20, refusal, 400, `{"message":"Não.","type":"INVALID_ARGUMENT"}`},
		"of ours":     {"", 1 << 20, fault.Away(errors.New("database")), 503, `"type":"INTERNAL_ERROR"`},
		"too large":   {"", web.MaxFileBytes + 1, nil, 400, "64 MiB"},
		"the request": {"?b=1", 0, nil, 400, "Parâmetro desconhecido: b."},
		"twice":       {"?a=1&a=2", 0, nil, 400, "Parâmetro repetido: a."},
	} {
		t.Run(name, func(t *testing.T) {
			server := fileServer(t, func(call int, w io.Writer) error {
				block := make([]byte, 64<<10)
				for left := test.size; left > 0; left -= len(block) {
					if _, err := w.Write(block[:min(left, len(block))]); err != nil {
						return err
					}
				}
				if call > 1 {
					t.Error("the file was written again")
				}
				return test.err
			})
			resp, body, err := fetch(t, http.MethodGet, server.URL+"/file"+test.query)
			if err != nil || resp.StatusCode != test.status || !strings.Contains(string(body), test.want) {
				t.Errorf("status %d, %.300s, %v", resp.StatusCode, body, err)
			}
			if kind := resp.Header.Get("Content-Type"); kind != "application/json" {
				t.Errorf("Content-Type %q", kind)
			}
			if resp.Header.Get("Content-Disposition") != "" || resp.Header.Get(web.FileLengthHeader) != "" {
				t.Errorf("an error looks like a file: %v", resp.Header)
			}
		})
	}
}

// A file that breaks off while it is sent never looks whole: the client's read fails.
func TestFileBreaksOff(t *testing.T) {
	whole := content(3 << 20)
	for name, second := range map[string]func(w io.Writer) error{
		"in the middle": func(w io.Writer) error {
			_, err := w.Write(whole[:2<<20])
			return errors.Join(err, errors.New("the database is gone"))
		},
		"before its first byte": func(io.Writer) error { return errors.New("the database is gone") },
		"shorter than before": func(w io.Writer) error {
			_, err := w.Write(whole[:len(whole)-1])
			return err
		},
		"longer than before": func(w io.Writer) error {
			_, err := w.Write(append(whole[:len(whole):len(whole)], '!'))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := fileServer(t, func(call int, w io.Writer) error {
				if call > 1 {
					return second(w)
				}
				_, err := w.Write(whole)
				return err
			})
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/file", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return // not even headers came
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("status %d and %d bytes look whole", resp.StatusCode, len(body))
			}
		})
	}
}
