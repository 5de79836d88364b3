package httpapi

import (
	"net/http"
	"sync"
	"time"

	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/web"
)

// maxFiles is how many statements a process writes as files at the same time, one per customer. A file takes up to two walks
// through a year's movements, a connection of the database while it reads a page, and some 0.6 MiB for as long as its client
// takes to fetch it.
const maxFiles = 8

// fileRetry is what Retry-After says to whoever is refused a file.
const fileRetry = 5 * time.Second

var errTooManyFiles = fault.New(fault.RateLimited, fault.TypeRateLimited, "Há arquivos demais em andamento. Tente novamente mais tarde.").After(fileRetry)

// filesUnderWay counts the files that are being written.
type filesUnderWay struct {
	mu       sync.Mutex
	accounts map[string]bool // whose
}

// limit refuses a file while maxFiles are under way, or one of the same customer.
func (f *filesUnderWay) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		account := caller(r).AccountID()
		if !f.begin(account) {
			web.WriteError(w, r, errTooManyFiles)
			return
		}
		defer f.end(account) // also if the handler aborts the connection
		next.ServeHTTP(w, r)
	})
}

func (f *filesUnderWay) begin(account string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.accounts[account] || len(f.accounts) >= maxFiles {
		return false
	}
	f.accounts[account] = true
	return true
}

func (f *filesUnderWay) end(account string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.accounts, account)
}
