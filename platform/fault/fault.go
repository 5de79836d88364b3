// Package fault is the one error type that crosses layers: what kind of failure it is (the edge turns it into a
// status), a stable type for programs, a message for people, and the cause, which stays inside.
package fault

import (
	"context"
	"errors"
	"time"
)

// Kind says what a failure means for the caller. Package web alone maps kinds to statuses.
type Kind int

// The kinds. Refused is a business rule's definitive "no". Of all failures, it alone is remembered for a request's key.
const (
	Internal         Kind = iota // a defect of ours
	Unavailable                  // something we depend on does not answer; the same request may succeed later
	Invalid                      // the input is wrong, and always will be
	Refused                      // the input is right, a business rule refuses it
	Unauthenticated              // no or wrong credentials
	Forbidden                    // known, but not allowed
	NotFound                     // no such thing
	MethodNotAllowed             // the path exists, the method does not
	InProgress                   // the same request is still running
	TooLarge                     // the body exceeds the limit
	UnsupportedMedia             // the body is not JSON
	Conflict                     // an idempotency key was reused with another payload
	RateLimited                  // too many attempts
)

// Types that belong to no domain. Domains declare theirs beside their rules.
const (
	TypeInternal            = "INTERNAL_ERROR"
	TypeInvalidArgument     = "INVALID_ARGUMENT"
	TypeInvalidValue        = "INVALID_VALUE"
	TypeUnauthorized        = "USER_UNAUTHORIZED"
	TypeInvalidToken        = "INVALID_TOKEN"
	TypeNotFound            = "NOT_FOUND"
	TypeMethodNotAllowed    = "METHOD_NOT_ALLOWED"
	TypeTooLarge            = "PAYLOAD_TOO_LARGE"
	TypeUnsupportedMedia    = "UNSUPPORTED_MEDIA_TYPE"
	TypeIdempotencyConflict = "IDEMPOTENCY_CONFLICT"
	TypeRequestInProgress   = "REQUEST_IN_PROGRESS"
	TypeRateLimited         = "RATE_LIMITED"
)

// Failures that a repeated idempotency key meets, in every domain.
var (
	ErrKeyReused  = New(Conflict, TypeIdempotencyConflict, "A mesma chave de idempotência já foi usada com outros dados.")
	ErrInProgress = New(InProgress, TypeRequestInProgress, "A mesma requisição ainda está em andamento.").After(time.Second)
)

// Error is a failure with a meaning. Type and Message reach the client; Err never does.
type Error struct {
	Kind       Kind
	Type       string
	Message    string
	RetryAfter time.Duration // when trying again makes sense; 0 if unknown
	Err        error
}

// New returns a failure without a cause, fit for a package variable.
func New(kind Kind, typ, message string) *Error {
	return &Error{Kind: kind, Type: typ, Message: message}
}

// BadArgument is bad input that no more specific type describes.
func BadArgument(message string) *Error {
	return New(Invalid, TypeInvalidArgument, message)
}

// Away wraps the failure of something we depend on: a database, a sidecar, a broker.
func Away(cause error) *Error {
	return &Error{Kind: Unavailable, Type: TypeInternal, Message: "Serviço temporariamente indisponível.", Err: cause}
}

// Because returns a copy of e with a cause for the log.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.Err = cause
	return &c
}

// After returns a copy of e that tells the caller when to try again.
func (e *Error) After(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Type + ": " + e.Message + ": " + e.Err.Error()
	}
	return e.Type + ": " + e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// Is matches by what the client sees, so that copies made by Because and After still match their origin. If the target has a cause,
// e must have the same one: two failures of kind Unavailable, which look alike to the client, differ by it.
func (e *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.Kind == e.Kind && t.Type == e.Type && t.Message == e.Message && (t.Err == nil || errors.Is(e.Err, t.Err))
}

// From finds the fault in err's chain. Without one, the error of a context that has ended becomes Away, and any other error
// becomes an internal failure, with err as the cause. It returns nil for nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var f *Error
	if errors.As(err, &f) {
		return f
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return Away(err)
	}
	return &Error{Kind: Internal, Type: TypeInternal, Message: "Erro interno.", Err: err}
}
