package web

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dunglas/httpsfv"
	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/bankmore/bankmore/platform/fault"
)

// Limits of a request.
const (
	MaxBodyBytes      = 64 << 10 // of a client's request
	MaxRequestIDRunes = 255
	DefaultPageSize   = 20
	MaxPageSize       = 100
)

// Failures to read a request.
var (
	ErrTooLarge         = fault.New(fault.TooLarge, fault.TypeTooLarge, "Corpo da requisição grande demais.")
	ErrUnsupportedMedia = fault.New(fault.UnsupportedMedia, fault.TypeUnsupportedMedia, "Use Content-Type: application/json.")
	ErrMalformedJSON    = fault.BadArgument("JSON malformado.")
	ErrBadCursor        = fault.BadArgument("Cursor inválido.")
)

// Decode fills v from the JSON body: application/json in UTF-8, at most MaxBodyBytes, no unknown, repeated or
// differently cased members (RFC 7493). A fault that a field's own decoder returns comes back as it is.
func Decode(r *http.Request, v any) error {
	return decode(r, v, MaxBodyBytes, json.RejectUnknownMembers(true))
}

// DecodeInternal is Decode for the calls of other services, with a limit in bytes. It ignores unknown members: a caller of a
// newer version may send more than this version knows.
func DecodeInternal(r *http.Request, v any, limit int64) error { return decode(r, v, limit) }

func decode(r *http.Request, v any, limit int64, options ...json.Options) error {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := params["charset"]
	if err != nil || media != "application/json" || (charset != "" && !strings.EqualFold(charset, "utf-8")) {
		return ErrUnsupportedMedia
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, limit))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return ErrTooLarge
		}
		return ErrMalformedJSON.Because(err)
	}
	return decodeError(json.Unmarshal(body, v, options...))
}

func decodeError(err error) error {
	var f *fault.Error
	var semantic *json.SemanticError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &f):
		return f
	case errors.As(err, &semantic):
		field := strings.TrimPrefix(string(semantic.JSONPointer), "/")
		if errors.Is(err, json.ErrUnknownName) {
			return fault.BadArgument(fmt.Sprintf("Campo desconhecido: %.64s.", field)) // err has the name, too, for the log
		}
		if field == "" { // the body itself
			return fault.BadArgument("O corpo deve ser um objeto JSON.").Because(err)
		}
		return fault.BadArgument("Campo com tipo inválido: " + field + ".").Because(err)
	default:
		return ErrMalformedJSON.Because(err)
	}
}

// Missing is the failure of a required field that is absent or empty.
func Missing(field string) error { return fault.BadArgument("Campo obrigatório: " + field + ".") }

// RequestID is the idempotency key of a request: 1 to MaxRequestIDRunes visible characters, from the body's request_id
// or from the Idempotency-Key header. Both present and different is an error.
func RequestID(r *http.Request, fromBody string) (string, error) {
	id := fromBody
	if headers := r.Header.Values("Idempotency-Key"); len(headers) > 0 {
		key, err := idempotencyKey(headers)
		if err != nil {
			return "", err
		}
		if id != "" && id != key {
			return "", fault.BadArgument("request_id e Idempotency-Key são diferentes.")
		}
		id = key
	}
	if id == "" {
		return "", Missing("request_id")
	}
	if !Visible(id, 1, MaxRequestIDRunes) {
		return "", fault.BadArgument("request_id deve ter de 1 a 255 caracteres visíveis.")
	}
	return id, nil
}

// idempotencyKey reads the one Idempotency-Key header: a structured-field string, whose parameters it ignores (RFC 9651
// section 3.3.3, draft-ietf-httpapi-idempotency-key-header). Many clients leave out the quotes, so a bare value is the key
// as it stands. It refuses a bare value with a comma, which may be two headers that a proxy has joined (RFC 9110 section 5.3).
func idempotencyKey(headers []string) (string, error) {
	malformed := fault.BadArgument("Idempotency-Key malformado: envie uma só chave, entre aspas.")
	switch {
	case len(headers) > 1:
		return "", malformed
	case !strings.HasPrefix(headers[0], `"`) && strings.Contains(headers[0], ","):
		return "", malformed
	case !strings.HasPrefix(headers[0], `"`):
		return headers[0], nil
	}
	// A structured-field string is ASCII. We accept accents as well: they are percent-encoded while the library parses it.
	item, err := httpsfv.UnmarshalItem([]string{notASCII.ReplaceAllStringFunc(headers[0], url.QueryEscape)})
	if err != nil {
		return "", malformed.Because(err)
	}
	encoded, ok := item.Value.(string)
	if !ok {
		return "", malformed
	}
	key, err := url.PathUnescape(encoded)
	if err != nil {
		return "", malformed.Because(err)
	}
	return key, nil
}

var notASCII = regexp.MustCompile(`[%\x80-\x{10FFFF}]`)

// Visible reports whether s has from least to most characters, no control characters, and is not blank.
func Visible(s string, least, most int) bool {
	n := utf8.RuneCountInString(s)
	return n >= least && n <= most && utf8.ValidString(s) && strings.TrimSpace(s) != "" &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Page asks for up to Limit items after the position After ("" for the first page).
type Page struct {
	After string
	Limit int
}

// query parses the query parameters of r.
func query(r *http.Request) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fault.BadArgument("Parâmetros malformados.").Because(err)
	}
	return values, nil
}

// Accepting returns h with a check of the query: a parameter that is not among names, or that occurs twice, is
// INVALID_ARGUMENT.
func (h Handler) Accepting(names ...string) Handler {
	return func(r *http.Request) (Answer, error) {
		if err := accepts(r, names); err != nil {
			return Answer{}, err
		}
		return h(r)
	}
}

// accepts returns an error if the query of r has a parameter that is not among names, or one twice.
func accepts(r *http.Request, names []string) error {
	values, err := query(r)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case !slices.Contains(names, name):
			return fault.BadArgument(fmt.Sprintf("Parâmetro desconhecido: %.64s.", strings.ToValidUTF8(name, "?")))
		case len(values[name]) > 1:
			return fault.BadArgument("Parâmetro repetido: " + name + ".")
		}
	}
	return nil
}

// PageFrom reads cursor and limit (1 to MaxPageSize, default DefaultPageSize) from the query.
func PageFrom(r *http.Request) (Page, error) {
	values, err := query(r)
	if err != nil {
		return Page{}, err
	}
	page := Page{Limit: DefaultPageSize}
	if values.Has("limit") {
		text := values.Get("limit")
		limit, err := strconv.Atoi(text)
		if err != nil || limit < 1 || limit > MaxPageSize || strconv.Itoa(limit) != text {
			return Page{}, fault.BadArgument("limit deve ser um número de 1 a 100.")
		}
		page.Limit = limit
	}
	if values.Has("cursor") {
		text := values.Get("cursor")
		after, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || base64.RawURLEncoding.EncodeToString(after) != text || // a cursor has one spelling
			!Visible(string(after), 1, MaxRequestIDRunes) { // a database may refuse other text
			return Page{}, ErrBadCursor
		}
		page.After = string(after)
	}
	return page, nil
}

// IsID reports whether s is an id: a UUID in its canonical form (RFC 9562 section 4, in lower case). Another spelling of the
// same UUID is no id, so that a resource has one name.
func IsID(s string) bool {
	id, err := uuid.Parse(s)
	return err == nil && id.String() == s
}

// Listing is one page of a list in an answer. NextCursor is null on the last page.
type Listing[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

// List makes a page of up to limit items. The caller fetches limit + 1 items: one more shows that another page follows.
// position returns the text for a cursor after an item.
func List[T any](items []T, limit int, position func(T) string) Listing[T] {
	if len(items) <= limit {
		return Listing[T]{Items: append([]T{}, items...)}
	}
	items = items[:limit]
	cursor := base64.RawURLEncoding.EncodeToString([]byte(position(items[limit-1])))
	return Listing[T]{Items: items, NextCursor: &cursor}
}
