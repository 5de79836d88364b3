package contract_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/bankmore/bankmore/e2e/contract"
)

const document = `
openapi: 3.1.0
info: {title: things, version: "1"}
paths:
  /api/things/{id}:
    get:
      parameters: [{name: id, in: path, required: true, schema: {type: string, pattern: '^\d+$'}}]
      responses:
        "200":
          description: a thing
          content:
            application/json:
              schema: {type: object, additionalProperties: false, required: [name], properties: {name: {type: string}}}
        "202": {description: later}
        "404":
          description: none
          content: {application/json: {schema: {type: object}}}
components:
  schemas:
    Error: {type: object, properties: {message: {type: string}, type: {type: string, enum: [NOT_FOUND]}}}
`

func TestBook(t *testing.T) {
	for _, test := range []struct {
		what, path string
		status     int
		body       string
		bad        bool // the request breaks the contract on purpose
		want       string
	}{
		{"as documented", "/api/things/1", 200, `{"name":"x"}`, false, ""},
		{"with a slash", "/api/things/1/", 200, `{"name":"x"}`, false, ""},
		{"through a sidecar", "/v1.0/invoke/some-app/method/api/things/1", 200, `{"name":"x"}`, false, ""},
		{"missing field", "/api/things/1", 200, `{}`, false, "name"},
		{"additional field", "/api/things/1", 200, `{"name":"x","more":1}`, false, "more"},
		{"missing field of a bad request", "/api/things/x", 200, `{}`, true, "name"},
		{"undocumented status", "/api/things/1", 201, `{"name":"x"}`, false, "201"},
		{"bad request", "/api/things/x", 404, `{}`, false, "id"},
		{"bad request, on purpose", "/api/things/x", 404, `{}`, true, ""},
		{"undocumented path", "/api/other", 404, `{"message":"m","type":"NOT_FOUND"}`, false, ""},
		{"undocumented path with an undocumented type", "/api/other", 404, `{"message":"m","type":"LOST"}`, false, "form"},
		{"undocumented path with another form of error", "/api/other", 404, `not found`, false, "form"},
	} {
		t.Run(test.what, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			}))
			defer server.Close()
			book, err := contract.Read(map[string][]byte{"things": []byte(document)})
			if err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			if test.bad {
				ctx = contract.BadRequest(ctx)
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+test.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := (&http.Client{Transport: book.Transport(http.DefaultTransport)}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			violations := book.Violations()
			if (test.want == "") != (len(violations) == 0) || !strings.Contains(strings.Join(violations, "\n"), test.want) {
				t.Errorf("violations %q, want one about %q", violations, test.want)
			}
			missing := book.Unexercised()
			if !slices.Contains(missing, "GET /api/things/{id} 202") || slices.Contains(missing, "GET /api/things/{id} 200") != (test.status != 200) {
				t.Errorf("unexercised: %q", missing)
			}
		})
	}
}

func TestReadRefusesBadDocuments(t *testing.T) {
	for what, text := range map[string]string{
		"nothing": "", "no document": "a: b", "another version": strings.Replace(document, "3.1.0", "3.0.3", 1), "no title": strings.Replace(document, "title: things, ", "", 1),
	} {
		if _, err := contract.Read(map[string][]byte{"x": []byte(text)}); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
