// Package customer keeps customers: registration, login, deactivation.
package customer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/google/uuid"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/fault"
)

// Failures of the customers' domain.
var (
	ErrInvalidCPF     = fault.New(fault.Invalid, "INVALID_DOCUMENT", "CPF inválido.")
	ErrCPFTaken       = fault.New(fault.Refused, "INVALID_DOCUMENT", "CPF já cadastrado.")
	ErrWrongLogin     = fault.New(fault.Unauthenticated, fault.TypeUnauthorized, "CPF ou senha incorretos.")
	ErrWrongPassword  = fault.New(fault.Unauthenticated, fault.TypeUnauthorized, "Senha incorreta.")
	ErrInactive       = accountapi.InactiveAccount.Fault()
	ErrBalanceNotZero = fault.New(fault.Refused, "BALANCE_NOT_ZERO", "Transfira ou saque o saldo antes de encerrar a conta.")
	ErrBusy           = fault.New(fault.RateLimited, fault.TypeRateLimited, "Muitas tentativas. Tente novamente mais tarde.").After(time.Second)
	ErrUnknown        = accountapi.UnknownAccount.Fault()
)

// ErrNumberTaken tells the service to draw another account number. It never reaches a client.
var ErrNumberTaken = errors.New("account number taken")

// Customer owns an account.
type Customer struct {
	AccountID    string
	Number       string
	Name         string
	Active       bool
	Untouched    bool   // there was no movement yet, and the account is not closed
	PasswordHash string // argon2id, in its standard encoded form
}

// Registration is a new customer with a new, empty account.
type Registration struct {
	Customer
	CPFHash      string
	CPFEncrypted string
	CreatedAt    time.Time
}

// Closing says when an account was closed. Closings are ordered by time, and those of the same time by the account's id.
type Closing struct {
	AccountID string
	At        time.Time // exact to the microsecond
}

// Store keeps customers.
type Store interface {
	// Register adds a customer, or returns ErrCPFTaken or ErrNumberTaken and adds nothing.
	Register(ctx context.Context, r Registration) error
	// ByCPF returns the customer with that CPF hash, or ErrUnknown.
	ByCPF(ctx context.Context, cpfHash string) (Customer, error)
	// ByID returns the customer, or ErrUnknown.
	ByID(ctx context.Context, accountID string) (Customer, error)
	// Exists tells whether an account has that number.
	Exists(ctx context.Context, number string) (bool, error)
	// Deactivate closes an account, or returns ErrBalanceNotZero and closes nothing. It decides while it holds the
	// account's lock, so that no movement comes between. It succeeds if the account is closed already, even if a refund
	// has reached the account since.
	Deactivate(ctx context.Context, accountID string, at time.Time) error
	// Closed returns up to limit accounts that are closed now and come after that closing, in order.
	Closed(ctx context.Context, after Closing, limit int) ([]Closing, error)
	// Reopen makes a closed account active again and keeps a record of that, or returns ErrUnknown or ErrNotClosed.
	Reopen(ctx context.Context, r Reopening) (Reopened, error)
}

// Hasher hashes passwords. A hash takes a core and megabytes of memory; Service bounds how many are made at once.
type Hasher interface {
	// Hash returns the hash of a password with a new salt, in argon2id's standard encoded form.
	Hash(password string) (string, error)
	// Matches reports whether the hash was made from the password.
	Matches(password, hash string) (bool, error)
}

// Argon2id is the Hasher with OWASP's first choice of argon2id parameters (Password Storage Cheat Sheet).
type Argon2id struct{}

var argon2idParams = &argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// Hash implements Hasher.
func (Argon2id) Hash(password string) (string, error) {
	return argon2id.CreateHash(password, argon2idParams)
}

// Matches implements Hasher.
func (Argon2id) Matches(password, hash string) (bool, error) {
	return argon2id.ComparePasswordAndHash(password, hash)
}

// Service is the customers' use cases.
type Service struct {
	store   Store
	hasher  Hasher
	keys    CPFKeys
	decoy   string // a hash that no password matches, so that a login with an unknown CPF takes as long as any other
	hashing *hashing
}

// New returns the service. It makes one hash, the decoy.
func New(store Store, hasher Hasher, keys CPFKeys) (*Service, error) {
	decoy, err := hasher.Hash(rand.Text())
	if err != nil {
		return nil, err
	}
	return &Service{store: store, hasher: hasher, keys: keys, decoy: decoy, hashing: newHashing(runtime.GOMAXPROCS(0))}, nil
}

// Register opens an account and returns its number. The name has 2 to 100 characters, without control characters and
// marks of writing direction; the password has 6 to 128 that RFC 8265 (OpaqueString) allows.
func (s *Service) Register(ctx context.Context, cpfText, name, password string) (number string, err error) {
	cpf, err := ParseCPF(cpfText)
	if err != nil {
		return "", err
	}
	if name, err = prepareName(name); err != nil {
		return "", err
	}
	if password, err = preparePassword(password); err != nil {
		return "", err
	}
	r := Registration{
		Customer: Customer{AccountID: uuid.NewString(), Name: name, Active: true},
		CPFHash:  s.keys.hash(cpf), CreatedAt: time.Now(),
	}
	if _, err = s.store.ByCPF(ctx, r.CPFHash); !errors.Is(err, ErrUnknown) {
		if err == nil {
			err = ErrCPFTaken
		}
		return "", err
	}
	if r.CPFEncrypted, err = s.keys.encrypt(cpf, r.AccountID); err != nil {
		return "", err
	}
	if r.PasswordHash, err = s.hash(ctx, password); err != nil {
		return "", err
	}
	for range maxDraws {
		if r.Number, err = drawNumber(); err != nil {
			return "", err
		}
		if err = s.store.Register(ctx, r); !errors.Is(err, ErrNumberTaken) {
			return r.Number, err
		}
	}
	return "", fmt.Errorf("no free account number in %d draws", maxDraws)
}

// Registered returns the number of the account that an earlier Register with the same CPF, name and password has opened,
// if nothing has happened to the account since. Otherwise it returns ErrCPFTaken, and does not tell what differs. Each call
// tries a password, so the caller must limit calls as it limits logins.
func (s *Service) Registered(ctx context.Context, cpfText, name, password string) (number string, err error) {
	if name, err = prepareName(name); err != nil {
		return "", err
	}
	customer, err := s.find(ctx, cpfText)
	if err != nil {
		return "", err
	}
	matches, err := s.matches(ctx, password, customer.PasswordHash)
	switch {
	case err != nil:
		return "", err
	case !matches || !customer.Untouched || customer.Name != name:
		return "", ErrCPFTaken
	default:
		return customer.Number, nil
	}
}

// Login returns the customer whose CPF and password these are. Every failed login, even with a malformed CPF, gets the same
// answer and takes the same time. Only a caller with the right password learns that an account is inactive.
func (s *Service) Login(ctx context.Context, cpfText, password string) (Customer, error) {
	customer, err := s.find(ctx, cpfText)
	if err != nil && !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrInvalidCPF) {
		return Customer{}, err
	}
	hash := customer.PasswordHash
	if err != nil {
		hash = s.decoy
	}
	matches, hashErr := s.matches(ctx, password, hash)
	switch {
	case hashErr != nil:
		return Customer{}, hashErr
	case err != nil || !matches:
		return Customer{}, ErrWrongLogin
	case !customer.Active:
		return Customer{}, ErrInactive
	default:
		return customer, nil
	}
}

func (s *Service) find(ctx context.Context, cpfText string) (Customer, error) {
	cpf, err := ParseCPF(cpfText)
	if err != nil {
		return Customer{}, err
	}
	return s.store.ByCPF(ctx, s.keys.hash(cpf))
}

// Deactivate closes an account for its owner, who proves the password once more. It refuses with ErrBalanceNotZero while
// there is money on the account. Closing a closed account succeeds, since the answer to the first time may have been lost.
func (s *Service) Deactivate(ctx context.Context, accountID, password string) error {
	customer, err := s.store.ByID(ctx, accountID)
	if err != nil {
		return err
	}
	matches, err := s.matches(ctx, password, customer.PasswordHash)
	switch {
	case err != nil:
		return err
	case !matches:
		return ErrWrongPassword
	}
	// Call the store even if the account is closed already: the cache in front of it may have missed the first closing.
	return s.store.Deactivate(ctx, accountID, time.Now())
}

// Exists tells whether an account has that number, active or not.
func (s *Service) Exists(ctx context.Context, number string) (bool, error) {
	if strings.Trim(number, "0123456789") != "" {
		return false, nil // no number, and perhaps text that a database refuses
	}
	return s.store.Exists(ctx, number)
}

// Closed returns up to limit accounts that are closed now and come after that closing, in order.
func (s *Service) Closed(ctx context.Context, after Closing, limit int) ([]Closing, error) {
	return s.store.Closed(ctx, after, limit)
}

func (s *Service) hash(ctx context.Context, password string) (hash string, err error) {
	err = s.hashing.do(ctx, func() (err error) { hash, err = s.hasher.Hash(password); return err })
	return hash, err
}

// matches reports whether the hash was made from the password, in one of its forms.
func (s *Service) matches(ctx context.Context, password, hash string) (ok bool, err error) {
	for _, form := range forms(password) {
		err = s.hashing.do(ctx, func() (err error) { ok, err = s.hasher.Matches(form, hash); return err })
		if ok || err != nil {
			break
		}
	}
	return ok, err
}

// maxDraws bounds the search for a free number. With nine free digits a second draw is already rare.
const maxDraws = 10

// drawNumber returns a random account number: nine digits, the first not zero, and a check digit.
func drawNumber() (string, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(900_000_000))
	if err != nil {
		return "", err
	}
	digits := strconv.FormatInt(100_000_000+n.Int64(), 10)
	return digits + luhn(digits), nil
}

// luhn is the check digit of ISO/IEC 7812-1 annex B for digits.
func luhn(digits string) string {
	sum := 0
	for i, d := range []byte(digits) {
		v := int(d - '0')
		if (len(digits)-i)%2 == 1 {
			v = v*2/10 + v*2%10
		}
		sum += v
	}
	return strconv.Itoa((10 - sum%10) % 10)
}
