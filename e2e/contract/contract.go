// Package contract holds every exchange with the API against the services' own OpenAPI documents.
package contract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	validation "github.com/pb33f/libopenapi-validator/errors"
	"github.com/pb33f/libopenapi-validator/paths"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

// Book is the documents, and what was seen of them.
type Book struct {
	documents []document
	types     map[string]bool // of errors, in any of the documents

	mu         sync.Mutex
	exercised  map[string]bool // "GET /api/account/balance 200"
	violated   map[string]bool
	violations []string
}

type document struct {
	model     *v3.Document
	validator validator.Validator
}

// Read returns a book over documents (YAML or JSON, by name), which must themselves be valid OpenAPI 3.1.
func Read(documents map[string][]byte) (*Book, error) {
	book := &Book{types: map[string]bool{}, exercised: map[string]bool{}, violated: map[string]bool{}}
	for _, name := range slices.Sorted(maps.Keys(documents)) {
		parsed, err := libopenapi.NewDocument(documents[name])
		if err != nil {
			return nil, fmt.Errorf("document %s: %w", name, err)
		}
		if !strings.HasPrefix(parsed.GetVersion(), "3.1") {
			return nil, fmt.Errorf("document %s: version %q is not 3.1", name, parsed.GetVersion())
		}
		model, err := parsed.BuildV3Model()
		if err != nil {
			return nil, fmt.Errorf("document %s: %w", name, err)
		}
		v, errs := validator.NewValidator(parsed, config.WithFormatAssertions())
		if len(errs) > 0 {
			return nil, fmt.Errorf("document %s: %w", name, errors.Join(errs...))
		}
		if ok, errs := v.ValidateDocument(); !ok {
			return nil, fmt.Errorf("document %s: %s", name, describe(errs))
		}
		book.documents = append(book.documents, document{model: &model.Model, validator: v})
		for _, failure := range errorTypes(&model.Model) {
			book.types[failure] = true
		}
	}
	return book, nil
}

// errorTypes lists the values of the property type of a document's schema Error.
func errorTypes(model *v3.Document) (types []string) {
	if model.Components == nil || model.Components.Schemas == nil {
		return nil
	}
	form := model.Components.Schemas.GetOrZero("Error")
	if form == nil {
		return nil
	}
	property := form.Schema().Properties.GetOrZero("type")
	if property == nil {
		return nil
	}
	for _, value := range property.Schema().Enum {
		types = append(types, value.Value)
	}
	return types
}

// Names reports whether one of the documents has this type of error.
func (b *Book) Names(failure string) bool { return b.types[failure] }

type badRequestKey struct{}

// BadRequest returns a context for requests that break the contract on purpose. Their answers must keep it.
func BadRequest(ctx context.Context) context.Context {
	return context.WithValue(ctx, badRequestKey{}, true)
}

// Violations lists how exchanges broke the contract, each way once, with an example.
func (b *Book) Violations() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.violations)
}

// Unexercised lists every documented success that no exchange has had yet.
func (b *Book) Unexercised() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var missing []string
	for _, d := range b.documents {
		for path, item := range d.model.Paths.PathItems.FromOldest() {
			for method, operation := range item.GetOperations().FromOldest() {
				for status := range operation.Responses.Codes.KeysFromOldest() {
					what := strings.ToUpper(method) + " " + path + " " + status
					if strings.HasPrefix(status, "2") && !b.exercised[what] {
						missing = append(missing, what)
					}
				}
			}
		}
	}
	return missing
}

// Transport returns a transport that checks what passes through next.
func (b *Book) Transport(next http.RoundTripper) http.RoundTripper {
	return transport{book: b, next: next}
}

type transport struct {
	book *Book
	next http.RoundTripper
}

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var sent []byte
	if req.Body != nil {
		var err error
		if sent, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(bytes.NewReader(sent))
	}
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	received, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(received))
	t.book.check(req, sent, resp, received)
	return resp, nil
}

// invokePrefix is what a sidecar's URL puts before the path of the app.
var invokePrefix = regexp.MustCompile(`^/v1\.0/invoke/[^/]+/method`)

// check compares one exchange with the documents. Every path has a twin with a trailing slash, which they leave out.
func (b *Book) check(req *http.Request, sent []byte, resp *http.Response, received []byte) {
	canonical := req.Clone(context.WithoutCancel(req.Context()))
	canonical.URL = &url.URL{
		Path:     strings.TrimSuffix(invokePrefix.ReplaceAllString(req.URL.Path, ""), "/"),
		RawQuery: req.URL.RawQuery,
	}
	canonical.Body = io.NopCloser(bytes.NewReader(sent))
	answer := *resp
	answer.Body = io.NopCloser(bytes.NewReader(received))

	for _, d := range b.documents {
		item, _, path := paths.FindPath(canonical, d.model, config.NewValidationOptions())
		if item == nil || item.GetOperations().GetOrZero(strings.ToLower(req.Method)) == nil {
			continue
		}
		var errs []*validation.ValidationError
		if req.Context().Value(badRequestKey{}) == nil {
			_, errs = d.validator.ValidateHttpRequestResponse(canonical, &answer)
		} else {
			_, errs = d.validator.ValidateHttpResponse(canonical, &answer)
		}
		b.note(fmt.Sprintf("%s %s %d", req.Method, path, resp.StatusCode), errs, received)
		return
	}
	b.undocumented(req, resp, received)
}

// undocumented checks an answer where no document says anything: an error must have the one form of errors, with a type
// that one of the documents names.
func (b *Book) undocumented(req *http.Request, resp *http.Response, received []byte) {
	var body struct {
		Message string `json:"message"`
		Type    string `json:"type"`
	}
	if resp.StatusCode < 400 || req.Method == http.MethodHead {
		return
	}
	err := json.Unmarshal(received, &body, json.RejectUnknownMembers(true))
	if err == nil && body.Message != "" && b.Names(body.Type) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.violate(fmt.Sprintf("%s %s %d: not the form of an error", req.Method, req.URL.Path, resp.StatusCode), received)
}

func (b *Book) note(what string, errs []*validation.ValidationError, received []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.exercised[what] = true
	if len(errs) > 0 {
		b.violate(what+": "+describe(errs), received)
	}
}

func (b *Book) violate(how string, received []byte) {
	if !b.violated[how] {
		b.violated[how] = true
		b.violations = append(b.violations, fmt.Sprintf("%s; the answer was %.300s", how, received))
	}
}

func describe(errs []*validation.ValidationError) string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}
