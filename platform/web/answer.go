// Package web is the HTTP edge that every service shares: reading requests strictly, writing answers and errors in one
// form, request ids, logs, metrics, timeouts and draining.
package web

import (
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"

	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/telemetry"
)

// ReplayedHeader marks an answer that repeats an earlier one (draft-ietf-httpapi-idempotency-key-header leaves the
// name open; this is the name in common use).
const ReplayedHeader = "Idempotency-Replayed"

// Answer is what a handler returns: a status and a JSON body. The idempotency memory can store it.
type Answer struct {
	Status   int
	Body     []byte // nil: no body
	Replayed bool   // it repeats the answer to an earlier request with the same key
}

// Definitive reports whether the answer to the same request will always be this one. 202 Accepted is not definitive: what
// was asked for still runs.
func (a Answer) Definitive() bool { return a.Status != http.StatusAccepted }

// JSON returns an answer with v as its body.
func JSON(status int, v any) (Answer, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return Answer{}, fmt.Errorf("encoding the answer: %w", err)
	}
	return Answer{Status: status, Body: body}, nil
}

// NoContent returns 204.
func NoContent() Answer { return Answer{Status: http.StatusNoContent} }

// errorBody is the one form of every error.
type errorBody struct {
	Message string `json:"message"`
	Type    string `json:"type"`
}

// statuses is the only place where kinds become HTTP statuses.
var statuses = map[fault.Kind]int{
	fault.Internal:         http.StatusInternalServerError,
	fault.Unavailable:      http.StatusServiceUnavailable,
	fault.Invalid:          http.StatusBadRequest,
	fault.Refused:          http.StatusBadRequest,
	fault.Unauthenticated:  http.StatusUnauthorized,
	fault.Forbidden:        http.StatusForbidden,
	fault.NotFound:         http.StatusNotFound,
	fault.MethodNotAllowed: http.StatusMethodNotAllowed,
	fault.InProgress:       http.StatusConflict,
	fault.TooLarge:         http.StatusRequestEntityTooLarge,
	fault.UnsupportedMedia: http.StatusUnsupportedMediaType,
	fault.Conflict:         http.StatusUnprocessableEntity,
	fault.RateLimited:      http.StatusTooManyRequests,
}

// Refusal is the answer to a definitive business failure.
func Refusal(f *fault.Error) (Answer, error) {
	return JSON(statuses[f.Kind], errorBody{Message: f.Message, Type: f.Type})
}

// Handler answers a request, or fails. ServeHTTP turns a failure into an answer.
type Handler func(r *http.Request) (Answer, error)

// ServeHTTP makes a Handler an http.Handler.
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := h(r)
	if err != nil {
		WriteError(w, r, err)
		return
	}
	if answer.Replayed {
		w.Header().Set(ReplayedHeader, "true")
	}
	writeBody(w, r, answer)
}

// WriteError answers with err. It logs err as an error if the failure is ours.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.From(err)
	status := statuses[f.Kind]
	message := f.Message
	if status >= http.StatusInternalServerError {
		level := slog.LevelError
		if r.Context().Err() != nil { // the client has gone, so its request was cancelled
			level = slog.LevelInfo
		}
		slog.Log(r.Context(), level, "request failed", "method", r.Method, "route", route(r), "status", status, "error", err)
		message += " Código para o suporte: " + telemetry.RequestID(r.Context())
	} else {
		// The log leaves out the message, which may repeat text of the client: the name of a field or a parameter.
		slog.DebugContext(r.Context(), "request refused", "method", r.Method, "route", route(r), "status", status,
			"type", f.Type, "cause", f.Err)
	}
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
	}
	if f.Kind == fault.Unauthenticated {
		w.Header().Set("WWW-Authenticate", "Bearer") // RFC 9110 section 11.6.1
	}
	answer, err := JSON(status, errorBody{Message: message, Type: f.Type})
	if err != nil {
		slog.ErrorContext(r.Context(), "error body not encodable", "error", err)
	}
	writeBody(w, r, answer)
}

func writeBody(w http.ResponseWriter, r *http.Request, answer Answer) {
	if answer.Body != nil {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(answer.Body)))
	}
	w.WriteHeader(answer.Status)
	if _, err := w.Write(answer.Body); err != nil && answer.Body != nil {
		slog.DebugContext(r.Context(), "client went away", "error", err)
	}
}
