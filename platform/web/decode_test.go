package web_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/web"
)

type order struct {
	ID     string      `json:"id"`
	Amount money.Cents `json:"amount"`
	Count  int         `json:"count"`
	Inner  struct {
		Name string `json:"name"`
	} `json:"inner"`
}

func post(contentType, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

func TestDecode(t *testing.T) {
	want := order{ID: "á||/😀", Amount: 150, Count: 2}
	want.Inner.Name = "x"
	for _, contentType := range []string{
		"application/json", "application/json; charset=utf-8", `APPLICATION/JSON;charset="UTF-8"`, "application/json ; x=y",
	} {
		var got order
		err := web.Decode(post(contentType, ` {"id":"á||/😀","amount":"1.50","count":2,"inner":{"name":"x"}} `), &got)
		if err != nil {
			t.Errorf("%s: %v", contentType, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", contentType, diff)
		}
	}
}

func TestDecodeRefusesMedia(t *testing.T) {
	for _, contentType := range []string{
		"", "text/plain", "text/json", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
		"application/json; charset=iso-8859-1", "application/json; charset=utf-16", "application/jsonx", "application/", ";",
		"application/json, application/json", "application/json; charset=utf-8; charset=latin1", "*/*",
	} {
		if err := web.Decode(post(contentType, `{}`), new(order)); !errors.Is(err, web.ErrUnsupportedMedia) {
			t.Errorf("%q: %v, want ErrUnsupportedMedia", contentType, err)
		}
	}
}

func TestDecodeRefusesBodies(t *testing.T) {
	const malformed = "JSON malformado."
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	for body, want := range map[string]string{
		"":                                malformed,
		" \n":                             malformed,
		"{":                               malformed,
		"}":                               malformed,
		`{"id"}`:                          malformed,
		`{"id":}`:                         malformed,
		`{"id":"a",}`:                     malformed,
		`{id:"a"}`:                        malformed,
		`{'id':'a'}`:                      malformed,
		`{"id":"a"} // comment`:           malformed,
		`{"id":"a"}{}`:                    malformed,
		`{"id":"a"} x`:                    malformed,
		"\ufeff{}":                        malformed,
		"{\"id\":\"a\nb\"}":               malformed,
		"{\"id\":\"\xff\"}":               malformed,
		"{\"id\":\"\xed\xa0\x80\"}":       malformed, // a surrogate in UTF-8
		`{"id":"\ud800"}`:                 malformed, // half a surrogate pair
		`{"id":"\x41"}`:                   malformed,
		`{"id":"a","id":"a"}`:             malformed, // a repeated member: which one counts?
		`{"id":"a","\u0069d":"b"}`:        malformed, // the same, hidden behind an escape
		`{"inner":{"name":"","name":""}}`: malformed,
		`{"count":NaN}`:                   malformed,
		`{"count":01}`:                    malformed,
		`{"count":+1}`:                    malformed,
		"nope":                            malformed,
		`{"id":` + deep + `}`:             malformed,
		`{"nope":1}`:                      "Campo desconhecido: nope.",
		`{"ID":"a"}`:                      "Campo desconhecido: ID.",
		`{"inner":{"Name":"a"}}`:          "Campo desconhecido: inner/Name.",
		`{"":1}`:                          "Campo desconhecido: .",
		`{"__proto__":{}}`:                "Campo desconhecido: __proto__.",
		`{"id":1}`:                        "Campo com tipo inválido: id.",
		`{"id":["a"]}`:                    "Campo com tipo inválido: id.",
		`{"count":"1"}`:                   "Campo com tipo inválido: count.",
		`{"count":1.5}`:                   "Campo com tipo inválido: count.",
		`{"count":1e400}`:                 "Campo com tipo inválido: count.",
		`{"count":99999999999999999999}`:  "Campo com tipo inválido: count.",
		`{"inner":[]}`:                    "Campo com tipo inválido: inner.",
		`{"inner":{"name":false}}`:        "Campo com tipo inválido: inner/name.",
		`[]`:                              "O corpo deve ser um objeto JSON.",
		`[{}]`:                            "O corpo deve ser um objeto JSON.",
		`"x"`:                             "O corpo deve ser um objeto JSON.",
		`1`:                               "O corpo deve ser um objeto JSON.",
		`true`:                            "O corpo deve ser um objeto JSON.",
	} {
		err := web.Decode(post("application/json", body), new(order))
		if f := fault.From(err); f == nil || f.Kind != fault.Invalid || f.Type != fault.TypeInvalidArgument || f.Message != want {
			t.Errorf("%.60q: %v, want %q", body, err, want)
		}
	}
	if f := fault.From(web.Decode(post("application/json", deep), new(order))); f == nil || f.Type != fault.TypeInvalidArgument {
		t.Errorf("%.60q: %v, want INVALID_ARGUMENT", deep, f)
	}
}

// A body of null has no members: Decode sets nothing, and the handler finds that its required fields are missing.
func TestDecodeNull(t *testing.T) {
	for _, body := range []string{`null`, `{}`, `{"id":null}`, `{"count":null,"inner":null}`} {
		var got order
		if err := web.Decode(post("application/json", body), &got); err != nil || got != (order{}) {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
}

func TestDecodeKeepsTheFaultOfAField(t *testing.T) {
	for _, amount := range []string{`1e400`, `"NaN"`, `0.001`, `1234567890123456`, `null`, `[]`} {
		err := web.Decode(post("application/json", `{"amount":`+amount+`}`), new(order))
		if f := fault.From(err); f != money.ErrInvalid {
			t.Errorf("amount %s: %v, want money.ErrInvalid", amount, err)
		}
	}
}

func TestDecodeBodySize(t *testing.T) {
	sized := func(n int) string { return `{"id":"` + strings.Repeat("x", n-len(`{"id":""}`)) + `"}` }
	if err := web.Decode(post("application/json", sized(web.MaxBodyBytes)), new(order)); err != nil {
		t.Errorf("a body of the limit: %v", err)
	}
	for _, n := range []int{web.MaxBodyBytes + 1, 1 << 20} {
		if err := web.Decode(post("application/json", sized(n)), new(order)); !errors.Is(err, web.ErrTooLarge) {
			t.Errorf("%d bytes: %v, want ErrTooLarge", n, err)
		}
	}
	if err := web.DecodeInternal(post("application/json", sized(1<<20)), new(order), 1<<20); err != nil {
		t.Errorf("DecodeInternal: %v", err)
	}
	if err := web.DecodeInternal(post("application/json", sized(11)), new(order), 10); !errors.Is(err, web.ErrTooLarge) {
		t.Errorf("DecodeInternal: %v, want ErrTooLarge", err)
	}
}

func TestDecodeBrokenBody(t *testing.T) {
	r := post("application/json", "")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"id":`), failing{}))
	err := web.Decode(r, new(order))
	if !errors.Is(err, web.ErrMalformedJSON) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v, want ErrMalformedJSON because of io.ErrUnexpectedEOF", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// For any body, Decode does not panic, and every failure is the client's. A body that Decode accepts is valid JSON, and
// means the same after it was written and read again.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `[]`, `{"id":"a","amount":"1.50","count":2,"inner":{"name":"x"}}`, `{"id":"a","id":"b"}`, `{"ID":"a"}`,
		`{"amount":1e400}`, "{\"id\":\"\xff\"}", `{"id":"\ud800"}`, `{"count":1.5}`, `{"a":[[[[`, ` {"inner":null} `,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var got, again order
		err := web.Decode(post("application/json", body), &got)
		if err != nil {
			if kind := fault.From(err).Kind; kind != fault.Invalid && kind != fault.TooLarge {
				t.Errorf("%q: %v is no failure of the client", body, err)
			}
			if !utf8.ValidString(fault.From(err).Message) {
				t.Errorf("%q: message %q cannot be written as JSON", body, fault.From(err).Message)
			}
			return
		}
		if !utf8.ValidString(body) {
			t.Errorf("%q: accepted invalid UTF-8", body)
		}
		written, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if err := web.Decode(post("application/json", string(written)), &again); err != nil {
			t.Errorf("%q: written as %s, then refused: %v", body, written, err)
		}
		if diff := cmp.Diff(got, again); diff != "" {
			t.Errorf("%q (-first +again):\n%s", body, diff)
		}
	})
}
