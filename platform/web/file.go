package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"

	"github.com/bankmore/bankmore/platform/fault"
)

// FileLengthHeader repeats the Content-Length of a file. A sidecar of Dapr 1.18 drops Content-Length, and it ends an answer in
// chunks as if it were whole although the app broke it off: only a length shows what is missing. The ingress makes a
// Content-Length of this header again.
const FileLengthHeader = "X-Content-Length"

// MaxFileBytes bounds a file. A connection with 12 Mbit/s fetches it in the 45 s that a server gives to an answer.
const MaxFileBytes = 64 << 20

// fileBuffer is how much of a file is in memory, at most.
const fileBuffer = 256 << 10

// ErrFileTooLarge is the failure of a file of more than MaxFileBytes.
var ErrFileTooLarge = fault.BadArgument("O arquivo teria mais de 64 MiB: peça um período menor.")

// File is a success that clients save as a file.
type File struct {
	MediaType string // with its parameters
	Name      string // that clients give the file
	Header    map[string]string
	// Write writes the file. It may be called twice, and then writes the same bytes both times.
	Write func(ctx context.Context, w io.Writer) error
}

// FileHandler answers a request with a file, or fails. The file need not fit in memory. One of more than 256 KiB is written
// twice: first to find its length and whether it can be written at all, then to the client. So every failure that shows the first
// time is an ordinary answer. After a failure that shows later, the connection ends before the length that the headers announce
// is reached.
type FileHandler func(r *http.Request) (File, error)

// Accepting is Handler.Accepting.
func (h FileHandler) Accepting(names ...string) FileHandler {
	return func(r *http.Request) (File, error) {
		if err := accepts(r, names); err != nil {
			return File{}, err
		}
		return h(r)
	}
}

// ServeHTTP makes a FileHandler an http.Handler.
func (h FileHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	file, err := h(r)
	if err != nil {
		WriteError(w, r, err)
		return
	}
	var first measure
	if err := file.Write(r.Context(), &first); err != nil {
		WriteError(w, r, err)
		return
	}
	for name, value := range file.Header {
		w.Header().Set(name, value)
	}
	length := strconv.FormatInt(first.length, 10)
	w.Header().Set("Content-Type", file.MediaType)
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": file.Name}))
	w.Header().Set("Content-Length", length)
	w.Header().Set(FileLengthHeader, length)
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	if err := first.send(r.Context(), w, file); err != nil {
		level := slog.LevelError
		if r.Context().Err() != nil { // the client has gone
			level = slog.LevelInfo
		}
		slog.Log(r.Context(), level, "request failed halfway through its answer", "route", route(r), "error", err)
		panic(http.ErrAbortHandler)
	}
}

// measure is a writer that finds the length of a file. It keeps the file while that fits in fileBuffer.
type measure struct {
	length int64
	start  bytes.Buffer
}

// Write implements io.Writer. It fails once the file is larger than MaxFileBytes.
func (m *measure) Write(p []byte) (int, error) {
	m.length += int64(len(p))
	switch {
	case m.length > MaxFileBytes:
		return 0, ErrFileTooLarge
	case m.length <= fileBuffer:
		return m.start.Write(p)
	default:
		m.start = bytes.Buffer{} // it is written again anyway
		return len(p), nil
	}
}

var errOtherLength = errors.New("the file had another length when it was written again")

// send writes the file to w. It fails unless that is all of it.
func (m *measure) send(ctx context.Context, w io.Writer, file File) error {
	if m.length <= fileBuffer {
		_, err := w.Write(m.start.Bytes())
		return err
	}
	second := counter{w: w}
	if err := file.Write(ctx, &second); err != nil {
		return err
	}
	if second.length != m.length {
		return fmt.Errorf("%w: %d bytes and then %d", errOtherLength, m.length, second.length)
	}
	return nil
}

// counter counts what it writes to w.
type counter struct {
	w      io.Writer
	length int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.length += int64(n)
	return n, err
}
