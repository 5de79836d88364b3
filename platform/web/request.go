package web

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

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
func Decode(r *http.Request, v any) error { return DecodeLimit(r, v, MaxBodyBytes) }

// DecodeLimit is Decode with another limit, in bytes.
func DecodeLimit(r *http.Request, v any, limit int64) error {
	return decode(r, v, limit, json.RejectUnknownMembers(true))
}

// DecodeInternal is DecodeLimit for the calls of other services. It ignores unknown members: a caller of a newer version
// may send more than this version knows.
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
			return fault.BadArgument(fmt.Sprintf("Campo desconhecido: %.64s.", field)).Because(err)
		}
		return fault.BadArgument("Campo com tipo inválido: " + field + ".").Because(err)
	default:
		return ErrMalformedJSON.Because(err)
	}
}

// Missing is the failure of a required field that is absent or empty.
func Missing(field string) error { return fault.BadArgument("Campo obrigatório: " + field + ".") }

// RequestID is the idempotency key of a request: 1 to MaxRequestIDRunes visible characters, from the body's request_id
// or from the Idempotency-Key header (bare, or a quoted string as in RFC 8941). Both present and different is an error.
func RequestID(r *http.Request, fromBody string) (string, error) {
	id := fromBody
	if header := r.Header.Get("Idempotency-Key"); header != "" {
		if unquoted, ok := unquote(header); ok {
			header = unquoted
		}
		if id != "" && id != header {
			return "", fault.BadArgument("request_id e Idempotency-Key são diferentes.")
		}
		id = header
	}
	if id == "" {
		return "", Missing("request_id")
	}
	if !Visible(id, 1, MaxRequestIDRunes) {
		return "", fault.BadArgument("request_id deve ter de 1 a 255 caracteres visíveis.")
	}
	return id, nil
}

// unquote reads an RFC 8941 string: printable ASCII in quotes, where \ escapes only itself and the quote.
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return "", false
	}
	inner := s[1 : len(s)-1]
	rest := strings.NewReplacer(`\\`, "", `\"`, "").Replace(inner)
	if strings.ContainsAny(rest, `\"`) {
		return "", false
	}
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(inner), true
}

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

// PageFrom reads cursor and limit (1 to MaxPageSize, default DefaultPageSize) from the query.
func PageFrom(r *http.Request) (Page, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return Page{}, fault.BadArgument("Parâmetros malformados.").Because(err)
	}
	page := Page{Limit: DefaultPageSize}
	if query.Has("limit") {
		limit, err := strconv.Atoi(query.Get("limit"))
		if err != nil || limit < 1 || limit > MaxPageSize {
			return Page{}, fault.BadArgument("limit deve ser um número de 1 a 100.")
		}
		page.Limit = limit
	}
	if cursor := query.Get("cursor"); cursor != "" {
		after, err := base64.RawURLEncoding.DecodeString(cursor)
		if err != nil || !Visible(string(after), 1, MaxRequestIDRunes) { // a database may choke on other text
			return Page{}, ErrBadCursor
		}
		page.After = string(after)
	}
	return page, nil
}

// Listing is one page of a list in an answer. NextCursor is null on the last page.
type Listing[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

// List cuts items, fetched with one more than the limit, to a page. Position gives an item's place for the cursor.
func List[T any](items []T, limit int, position func(T) string) Listing[T] {
	if len(items) <= limit {
		return Listing[T]{Items: append([]T{}, items...)}
	}
	items = items[:limit]
	cursor := base64.RawURLEncoding.EncodeToString([]byte(position(items[limit-1])))
	return Listing[T]{Items: items, NextCursor: &cursor}
}
