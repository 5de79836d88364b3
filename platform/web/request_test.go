package web_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/web"
)

func TestRequestID(t *testing.T) {
	long := strings.Repeat("é", web.MaxRequestIDRunes)
	for _, test := range []struct{ body, header, want string }{
		{"a", "", "a"},
		{"", "a", "a"},
		{"a", "a", "a"},
		{"a", `"a"`, "a"},
		{"", `"a b"`, "a b"},
		{"", `"a \"quoted\" \\ one"`, `a "quoted" \ one`},
		{`say "a"`, `"say \"a\""`, `say "a"`},
		{"", `un"quoted`, `un"quoted`},
		{"a", `"a";v=2`, "a"},
		{"", `"a;v=2"; x;y="z"`, "a;v=2"},
		{"", `"a, b"`, "a, b"},
		{"", `"Ação 100% %41"`, "Ação 100% %41"},
		{"", `a;v=2`, "a;v=2"},
		{"a||b", "", "a||b"},
		{"/../a?b#c%2F", "", "/../a?b#c%2F"},
		{"Ação àéîõü ß Ω 漢字", "", "Ação àéîõü ß Ω 漢字"},
		{"e\u0301", "", "e\u0301"},
		{"😀👍🏽❤️", "", "😀👍🏽❤️"},
		{"'; DROP TABLE outbox; --", "", "'; DROP TABLE outbox; --"},
		{" a ", "", " a "},
		{long, "", long},
		{"", long, long},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		if test.header != "" {
			r.Header.Set("Idempotency-Key", test.header)
		}
		if got, err := web.RequestID(r, test.body); err != nil || got != test.want {
			t.Errorf("body %.30q, header %.30q: %.30q, %v, want %.30q", test.body, test.header, got, err, test.want)
		}
	}
}

func TestRequestIDRefuses(t *testing.T) {
	const (
		missing   = "Campo obrigatório: request_id."
		different = "request_id e Idempotency-Key são diferentes."
		invisible = "request_id deve ter de 1 a 255 caracteres visíveis."
		malformed = "Idempotency-Key malformado: envie uma só chave, entre aspas."
	)
	for _, test := range []struct{ body, header, want string }{
		{"", "", missing},
		{"", `""`, missing},
		{"a", "b", different},
		{"a", `"b"`, different},
		{"a", `""`, different},
		{"a", "A", different},
		{"", `"unterminated`, malformed},
		{"", `"two" "strings"`, malformed},
		{"", `"two", "strings"`, malformed},
		{"", `"bad \escape"`, malformed},
		{"", `"a";V=2`, malformed},
		{"", "joined,by a proxy", malformed},
		{" ", "", invisible},
		{"\u2003\u00a0", "", invisible},
		{"", `" "`, invisible},
		{"a\nb", "", invisible},
		{"a\x00b", "", invisible},
		{"a\x7fb", "", invisible},
		{"a\u0085b", "", invisible},
		{"a\u200bb", "", invisible}, // zero width space
		{"a\u202eb", "", invisible}, // right-to-left override
		{"a\xffb", "", invisible},
		{"", "a\xe7\xe3o", invisible}, // Latin-1 in a header
		{"", "\"a\xe7\xe3o\"", invisible},
		{strings.Repeat("x", 256), "", invisible},
		{strings.Repeat("😀", 256), "", invisible},
		{"", strings.Repeat("x", 256), invisible},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		if test.header != "" {
			r.Header.Set("Idempotency-Key", test.header)
		}
		got, err := web.RequestID(r, test.body)
		if f := fault.From(err); f == nil || f.Kind != fault.Invalid || f.Type != fault.TypeInvalidArgument || f.Message != test.want || got != "" {
			t.Errorf("body %.30q, header %.30q: %.30q, %v, want %q", test.body, test.header, got, err, test.want)
		}
	}
}

// A request with two Idempotency-Key headers is refused: the service must not choose one.
func TestRequestIDRefusesTwoHeaders(t *testing.T) {
	for _, second := range []string{"a", "b", `"a"`, ""} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Add("Idempotency-Key", "a")
		r.Header.Add("Idempotency-Key", second)
		if got, err := web.RequestID(r, "a"); err == nil {
			t.Errorf("second %q: %q, want INVALID_ARGUMENT", second, got)
		}
	}
}

func TestIsID(t *testing.T) {
	for text, want := range map[string]bool{
		"019ab0f2-5a3e-7c41-9d3b-2f6f0c9e8a11":          true,
		"019AB0F2-5A3E-7C41-9D3B-2F6F0C9E8A11":          false,
		"019ab0f25a3e7c419d3b2f6f0c9e8a11":              false,
		"{019ab0f2-5a3e-7c41-9d3b-2f6f0c9e8a11}":        false,
		"urn:uuid:019ab0f2-5a3e-7c41-9d3b-2f6f0c9e8a11": false,
		"": false, "1": false,
	} {
		if got := web.IsID(text); got != want {
			t.Errorf("IsID(%q) = %t", text, got)
		}
	}
}

// Accepting refuses a parameter that has no effect, as Decode refuses an unknown field.
func TestAccepting(t *testing.T) {
	reached := false
	handler := web.Handler(func(*http.Request) (web.Answer, error) {
		reached = true
		return web.NoContent(), nil
	}).Accepting("limit", "cursor")
	for query, want := range map[string]string{
		"":                  "",
		"limit=1&cursor=YQ": "",
		"Limit=1":           "Parâmetro desconhecido: Limit.",
		"page=2":            "Parâmetro desconhecido: page.",
		"limit=1&limit=1":   "Parâmetro repetido: limit.",
		"=":                 "Parâmetro desconhecido: .",
		"%ff=1":             "Parâmetro desconhecido: ?.",
		"limit=%zz":         "Parâmetros malformados.",
		"limit=1;cursor=YQ": "Parâmetros malformados.",
		"limit=1&%6cimit=1": "Parâmetro repetido: limit.",
	} {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		r.URL.RawQuery, reached = query, false
		handler.ServeHTTP(w, r)
		if want == "" {
			if !reached || w.Code != http.StatusNoContent {
				t.Errorf("%q: %d %s", query, w.Code, w.Body)
			}
		} else if reached || w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"`+want+`"`) {
			t.Errorf("%q: %d %s, want %s", query, w.Code, w.Body, want)
		}
	}
}

func TestVisible(t *testing.T) {
	for text, want := range map[string]bool{
		"ab": true, "12345": true, "Zoé": true, "a b": true, "😀😀😀😀😀": true,
		"a": false, "123456": false, "😀": false, "  ": false, "": false, "a\tb": false, "\xff\xfe": false, "a\u200b": false,
	} {
		if got := web.Visible(text, 2, 5); got != want {
			t.Errorf("Visible(%q, 2, 5) = %t", text, got)
		}
	}
}

func TestMissing(t *testing.T) {
	f := fault.From(web.Missing("name"))
	if f.Kind != fault.Invalid || f.Type != fault.TypeInvalidArgument || f.Message != "Campo obrigatório: name." {
		t.Errorf("got %+v", f)
	}
}

func cursor(position string) string {
	return url.QueryEscape(base64.RawURLEncoding.EncodeToString([]byte(position)))
}

func TestPageFrom(t *testing.T) {
	for query, want := range map[string]web.Page{
		"":                                 {Limit: 20},
		"limit=1":                          {Limit: 1},
		"limit=100":                        {Limit: 100},
		"cursor=" + cursor("12:abc"):       {Limit: 20, After: "12:abc"},
		"limit=5&cursor=" + cursor("a||b"): {Limit: 5, After: "a||b"},
	} {
		got, err := web.PageFrom(httptest.NewRequest(http.MethodGet, "/?"+query, nil))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", query, err, diff)
		}
	}
}

func TestPageFromRefuses(t *testing.T) {
	for _, query := range []string{
		"limit=", "limit=0", "limit=-1", "limit=101", "limit=ten", "limit=1.5", "limit=1e1", "limit=%2B5", "limit=007", "limit=%205", "limit=99999999999999999999",
		"cursor=", "cursor=YR", "cursor=Y%0aQ", "cursor=!", "cursor=a", "cursor=YWJj=", "cursor=a b", "cursor=%00",
		"cursor=" + cursor("\x00"), "cursor=" + cursor("a\x00b"), "cursor=" + cursor("\xff\xfe"), "cursor=" + cursor("a\nb"),
		"cursor=" + cursor(strings.Repeat("x", 1000)),
		"limit=5;cursor=x", "limit=%zz",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.RawQuery = query
		got, err := web.PageFrom(r)
		if f := fault.From(err); f == nil || f.Kind != fault.Invalid || f.Type != fault.TypeInvalidArgument {
			t.Errorf("%q: %+v, %v, want INVALID_ARGUMENT", query, got, err)
		}
	}
}

// Following the cursors visits every item once, in order, whatever the page size.
func TestListAndPageFromTogether(t *testing.T) {
	var all []string
	for i := range 23 {
		all = append(all, fmt.Sprintf("item %02d", i))
	}
	fetch := func(page web.Page) []string { // what a store does: items after the position, one more than the limit
		var found []string
		for _, item := range all {
			if item > page.After && len(found) <= page.Limit {
				found = append(found, item)
			}
		}
		return found
	}
	for _, limit := range []int{1, 2, 22, 23, 24, 100} {
		var visited []string
		for next, pages := "", 0; pages < 50; pages++ {
			page, err := web.PageFrom(httptest.NewRequest(http.MethodGet, fmt.Sprintf("/?limit=%d%s", limit, next), nil))
			if err != nil {
				t.Fatal(err)
			}
			listing := web.List(fetch(page), page.Limit, func(item string) string { return item })
			if n := len(listing.Items); n == 0 || n > limit {
				t.Errorf("limit %d: a page of %d", limit, n)
			}
			visited = append(visited, listing.Items...)
			if listing.NextCursor == nil {
				break
			}
			next = "&cursor=" + *listing.NextCursor
		}
		if diff := cmp.Diff(all, visited); diff != "" {
			t.Errorf("limit %d (-want +got):\n%s", limit, diff)
		}
	}
}

func TestEmptyListing(t *testing.T) {
	got, err := json.Marshal(web.List(nil, 20, func(string) string { return "" }))
	if want := `{"items":[],"next_cursor":null}`; string(got) != want || err != nil {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
}

func TestBadCursorSaysSo(t *testing.T) {
	_, err := web.PageFrom(httptest.NewRequest(http.MethodGet, "/?cursor=!", nil))
	if !errors.Is(err, web.ErrBadCursor) || fault.From(err).Message != "Cursor inválido." {
		t.Errorf("%v, want ErrBadCursor", err)
	}
}
