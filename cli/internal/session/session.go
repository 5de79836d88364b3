// Package session keeps the token of a customer who has logged in: in the system's keyring if there is one, or else in a file
// that only its owner can read.
package session

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/bankmore/bankmore/cli/internal/disk"
)

// Session is a customer who has logged in.
type Session struct {
	URL     string `json:"url"` // of the bank
	Number  string `json:"account_number"`
	Name    string `json:"account_name"`
	Token   string `json:"token,omitempty"` // in a file only if InKeyring is false
	Keyring bool   `json:"in_keyring"`
	Digest  string `json:"token_sha256,omitempty"` // of the token in the keyring: the two must belong together
}

// Errors of Load.
var (
	ErrNone    = errors.New("nobody has logged in")
	ErrKeyring = errors.New("the keyring does not give the token")
)

// Keyring is a store of secrets that the system protects.
type Keyring interface {
	Set(service, user, secret string) error
	Get(service, user string) (string, error)
	Delete(service, user string) error
}

// service is the program's name in the keyring.
const service = "bankmore"

// Store has one session.
type Store struct {
	path, user string
	keyring    Keyring
}

// In returns the store, in the folder of the program's state, of a profile's session at a bank. The keyring may be nil.
func In(folder, url, profile string, keyring Keyring) Store {
	sum := sha256.Sum256([]byte(url))
	return Store{
		path:    filepath.Join(folder, "sessions", profile+"-"+hex.EncodeToString(sum[:8])+".json"),
		user:    profile + " " + url,
		keyring: keyring,
	}
}

// Save keeps a session instead of the one before. It reports whether the keyring has its token.
func (s Store) Save(session Session) (inKeyring bool, err error) {
	session.Keyring = s.keyring != nil && s.keyring.Set(service, s.user, session.Token) == nil
	if session.Keyring {
		session.Token, session.Digest = "", digest(session.Token)
	} else if s.keyring != nil {
		_ = s.keyring.Delete(service, s.user) // the token of the session before, if the keyring has it
	}
	text, err := json.Marshal(session)
	if err != nil {
		return false, err
	}
	return session.Keyring, disk.Write(s.path, append(text, '\n'))
}

// Load returns the session. The error is ErrNone if there is none, and ErrKeyring if the keyring has the token and does not
// give it.
func (s Store) Load() (Session, error) {
	text, err := os.ReadFile(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return Session{}, ErrNone
	}
	if err != nil {
		return Session{}, err
	}
	var session Session
	if err := json.Unmarshal(text, &session); err != nil {
		return Session{}, fmt.Errorf("%s cannot be read: %w", s.path, err)
	}
	if session.Keyring {
		if s.keyring == nil {
			return Session{}, fmt.Errorf("%w: there is no keyring", ErrKeyring)
		}
		if session.Token, err = s.keyring.Get(service, s.user); err != nil {
			return Session{}, fmt.Errorf("%w: %w", ErrKeyring, err)
		}
		// A login that was cut short, or another at the same moment, has left one half of each.
		if digest(session.Token) != session.Digest {
			return Session{}, fmt.Errorf("%w of account %s but another one", ErrKeyring, session.Number)
		}
	}
	return session, nil
}

func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Delete forgets the session. It is no error if there is none.
func (s Store) Delete() error {
	var err error
	if s.keyring != nil {
		if err = s.keyring.Delete(service, s.user); errors.Is(err, keyring.ErrNotFound) {
			err = nil
		}
		if err != nil {
			if kept, loadErr := s.Load(); loadErr != nil || !kept.Keyring {
				err = nil // the keyring does not have it
			}
		}
	}
	return errors.Join(err, disk.Remove(s.path))
}

// System returns the system's keyring, or nil if there is none: a D-Bus session is needed where it is the Secret Service.
// BANKMORE_KEYRING=off does without it.
func System(getenv func(string) string) Keyring {
	if getenv("BANKMORE_KEYRING") == "off" {
		return nil
	}
	if runtime.GOOS != "darwin" && runtime.GOOS != "windows" && getenv("DBUS_SESSION_BUS_ADDRESS") == "" {
		// Without an address, the D-Bus library would start a bus of its own.
		return nil
	}
	return system{}
}

// patience is how long the keyring may take: it may ask its owner to unlock it.
const patience = 30 * time.Second

type system struct{}

func (system) Set(service, user, secret string) error {
	_, err := within(func() (string, error) { return "", keyring.Set(service, user, secret) })
	return err
}

func (system) Get(service, user string) (string, error) {
	return within(func() (string, error) { return keyring.Get(service, user) })
}

func (system) Delete(service, user string) error {
	_, err := within(func() (string, error) { return "", keyring.Delete(service, user) })
	return err
}

func within(call func() (string, error)) (string, error) {
	type answer struct {
		secret string
		err    error
	}
	answers := make(chan answer, 1)
	go func() {
		secret, err := call()
		answers <- answer{secret, err}
	}()
	select {
	case a := <-answers:
		return a.secret, a.err
	case <-time.After(patience):
		return "", errors.New("the keyring does not answer")
	}
}
