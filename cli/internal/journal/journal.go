// Package journal keeps, on disk, the idempotency key of each payment whose outcome is not known yet. A key is there before
// its request is sent, and goes away once the payer has seen the outcome. So the same command after a lost answer sends the
// same key, and the same command after a known outcome sends a new one. ADR 0054 says why.
package journal

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/bankmore/bankmore/cli/internal/disk"
)

// RepeatWithin is how long after a try the same command counts as a repetition, if the outcome is not known.
const RepeatWithin = 15 * time.Minute

// Payment is what a command moves. Two commands are the same if every field is.
type Payment struct {
	URL         string `json:"url"`     // of the bank
	Account     string `json:"account"` // of the payer
	Kind        string `json:"kind"`    // transfer, deposit or withdrawal
	Destination string `json:"destination_account_number,omitempty"`
	Amount      string `json:"amount"` // like 150.00
}

// Entry is a payment whose outcome is not known.
type Entry struct {
	Payment

	Key   string    `json:"key"`
	Begun time.Time `json:"begun_at"`
	Tried time.Time `json:"tried_at"` // last
}

const keyPrefix = "cli-"

// ID is what people name the entry by.
func (e Entry) ID() string {
	return strings.ToLower(strings.TrimPrefix(e.Key, keyPrefix))[:8]
}

// UndecidedError says that the same payment was last tried so long ago that the command may be its repetition, or another
// payment. Nothing has been sent.
type UndecidedError struct{ Entry }

func (e *UndecidedError) Error() string {
	return fmt.Sprintf("the outcome of payment %s, begun at %s, is not known", e.ID(), e.Begun.Format(time.RFC3339))
}

// ErrUnknown is the error for an ID that no entry has.
var ErrUnknown = errors.New("no such payment")

// Journal is a folder of entries.
type Journal struct{ dir string }

// In returns the journal in the folder of the program's state. The folder need not exist.
func In(folder string) Journal { return Journal{filepath.Join(folder, "payments")} }

// Attempt is a payment that this process has to itself: the same command of another process waits until it ends.
type Attempt struct {
	Entry

	Repeated bool // an earlier command may have sent it

	path string
	lock *flock.Flock
}

// ahead is how far in the future a try may be: clocks are set back a little now and then.
const ahead = time.Minute

// Begin returns an attempt with a key that is on the disk. The key is new, or that of the same payment if its outcome is not
// known and it was tried less than RepeatWithin ago. If it was tried earlier, or more than a minute in the future, the error is an
// UndecidedError. The caller must call End. Begin asks for the time once no other process has the payment.
func (j Journal) Begin(ctx context.Context, p Payment, clock func() time.Time) (*Attempt, error) {
	attempt, err := j.acquire(ctx, p)
	if err != nil {
		return nil, err
	}
	now := clock()
	entry, err := read(attempt.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		attempt.Entry = Entry{Payment: p, Key: keyPrefix + rand.Text(), Begun: now.UTC(), Tried: now.UTC()}
		err = attempt.write()
	case err != nil:
	case entry.Payment != p:
		err = fmt.Errorf("%s holds another payment than its name says", attempt.path)
	default:
		attempt.Entry, attempt.Repeated = entry, true
		if age := now.Sub(entry.Tried); age < -ahead || age >= RepeatWithin {
			err = &UndecidedError{entry}
			break
		}
		attempt.Tried = now.UTC()
		err = attempt.write()
	}
	if err != nil {
		attempt.End()
		return nil, err
	}
	return attempt, nil
}

// Resume returns an attempt to repeat the payment with an ID, whenever it was begun. The caller must call End.
func (j Journal) Resume(ctx context.Context, id string) (*Attempt, error) {
	entries, err := j.Entries()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.ID() == strings.ToLower(id) })
	if i < 0 {
		return nil, ErrUnknown
	}
	attempt, err := j.acquire(ctx, entries[i].Payment)
	if err != nil {
		return nil, err
	}
	attempt.Repeated = true
	// Another process may have ended it meanwhile.
	if attempt.Entry, err = read(attempt.path); errors.Is(err, os.ErrNotExist) || err == nil && attempt.Key != entries[i].Key {
		err = ErrUnknown
	}
	if err != nil {
		attempt.End()
		return nil, err
	}
	return attempt, nil
}

// acquire waits until no other process has an attempt at this payment, or ctx ends.
func (j Journal) acquire(ctx context.Context, p Payment) (*Attempt, error) {
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return nil, err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	name := hex.EncodeToString(sum[:])
	// Lock files are never removed, since another process may hold the one that is removed. So they are few: payments share
	// them by the first two digits.
	lock := flock.New(filepath.Join(j.dir, "lock-"+name[:2]), flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 50*time.Millisecond); err != nil {
		return nil, err
	}
	return &Attempt{path: filepath.Join(j.dir, name+".json"), lock: lock}, nil
}

func (a *Attempt) write() error {
	text, err := json.Marshal(a.Entry)
	if err != nil {
		return err
	}
	return disk.Write(a.path, append(text, '\n'))
}

// Unknown notes that the outcome is not known now. The time within which the same command is a repetition begins anew.
func (a *Attempt) Unknown(now time.Time) error {
	a.Tried = now.UTC()
	return a.write()
}

// Settle forgets the key: the payer has seen the outcome, or nothing was sent.
func (a *Attempt) Settle() error { return disk.Remove(a.path) }

// End lets other processes try the same payment. Unless it was settled, its key stays.
func (a *Attempt) End() { _ = a.lock.Unlock() }

// Entries returns the payments whose outcome is not known, oldest first.
func (j Journal) Entries() ([]Entry, error) {
	paths, err := filepath.Glob(filepath.Join(j.dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, path := range paths {
		entry, err := read(path)
		if errors.Is(err, os.ErrNotExist) { // settled meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return a.Begun.Compare(b.Begun) })
	return entries, nil
}

func read(path string) (Entry, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Entry{}, err
	}
	var entry Entry
	if err := json.Unmarshal(text, &entry); err != nil {
		return Entry{}, fmt.Errorf("%s cannot be read: %w", path, err)
	}
	if len(entry.Key) < len(keyPrefix)+8 || entry.Begun.IsZero() || entry.Tried.IsZero() {
		return Entry{}, fmt.Errorf("%s cannot be read: it has no key or no time", path)
	}
	return entry, nil
}
