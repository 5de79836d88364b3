package customer

import (
	"context"
	"errors"
	"testing"
)

// registry is a store of one customer.
type registry struct {
	Store
	cpfHash  string
	customer Customer
}

func (r registry) ByCPF(_ context.Context, cpfHash string) (Customer, error) {
	if cpfHash != r.cpfHash {
		return Customer{}, ErrUnknown
	}
	return r.customer, nil
}

// counter counts the hashes that its Hasher makes.
type counter struct {
	Hasher
	made int
}

func (c *counter) Hash(password string) (string, error) {
	c.made++
	return c.Hasher.Hash(password)
}

func (c *counter) Matches(password, hash string) (bool, error) {
	c.made++
	return c.Hasher.Matches(password, hash)
}

// Every failed login gets the same answer and costs one hash, whatever the reason. If the typed password is not in its
// prepared form, every login costs two hashes.
func TestFailedLoginsAreAlike(t *testing.T) {
	hasher := &counter{Hasher: Argon2id{}}
	s, err := New(nil, hasher, CPFKeys{})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := s.hash(t.Context(), "senha123")
	if err != nil {
		t.Fatal(err)
	}
	const decomposed, control = "senha\u0301123", "senha\t123" // neither is a prepared form
	for name, test := range map[string]struct {
		cpf, password string
		active        bool
		want          error
		hashes        int
	}{
		"right":                         {"529.982.247-25", "senha123", true, nil, 1},
		"inactive":                      {"52998224725", "senha123", false, ErrInactive, 1},
		"wrong password":                {"52998224725", "errada", true, ErrWrongLogin, 1},
		"wrong password while inactive": {"52998224725", "errada", false, ErrWrongLogin, 1},
		"unknown CPF":                   {"11144477735", "senha123", true, ErrWrongLogin, 1},
		"no CPF at all":                 {"x", "senha123", true, ErrWrongLogin, 1},
		"refused password":              {"52998224725", control, true, ErrWrongLogin, 1},
		"refused password, unknown CPF": {"11144477735", control, true, ErrWrongLogin, 1},
		"decomposed":                    {"52998224725", decomposed, true, ErrWrongLogin, 2},
		"decomposed while inactive":     {"52998224725", decomposed, false, ErrWrongLogin, 2},
		"decomposed, unknown CPF":       {"11144477735", decomposed, true, ErrWrongLogin, 2},
		"decomposed, no CPF at all":     {"x", decomposed, true, ErrWrongLogin, 2},
	} {
		s.store = registry{cpfHash: s.keys.hash("52998224725"), customer: Customer{Active: test.active, PasswordHash: hash}}
		before := hasher.made
		if _, err := s.Login(t.Context(), test.cpf, test.password); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if n := hasher.made - before; n != test.hashes {
			t.Errorf("%s: %d hashes, want %v", name, n, test.hashes)
		}
	}
}

// A registration with a taken CPF costs one hash, as one with a free CPF does. It gets the same answer whether the password
// differs, the name differs, or the account has been used since.
func TestRegistrationsAreAlike(t *testing.T) {
	hasher := &counter{Hasher: Argon2id{}}
	s, err := New(nil, hasher, CPFKeys{})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := s.hash(t.Context(), "senha123")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		name, password string
		untouched      bool
		want           error
	}{
		"the same":              {"Ana", "senha123", true, nil},
		"wrong password":        {"Ana", "errada", true, ErrCPFTaken},
		"other name":            {"Bia", "senha123", true, ErrCPFTaken},
		"touched":               {"Ana", "senha123", false, ErrCPFTaken},
		"touched and wrong":     {"Ana", "errada", false, ErrCPFTaken},
		"other name, and wrong": {"Bia", "errada", true, ErrCPFTaken},
	} {
		s.store = registry{cpfHash: s.keys.hash("52998224725"), customer: Customer{
			Number: "11", Name: "Ana", Active: true, Untouched: test.untouched, PasswordHash: hash,
		}}
		before := hasher.made
		if _, err := s.Register(t.Context(), "52998224725", test.name, "senha123"); !errors.Is(err, ErrCPFTaken) {
			t.Errorf("%s: registered: %v", name, err)
		}
		number, err := s.Registered(t.Context(), "529.982.247-25", test.name, test.password)
		if !errors.Is(err, test.want) || (err == nil) != (number == "11") {
			t.Errorf("%s: %q, %v, want %v", name, number, err, test.want)
		}
		if n := hasher.made - before; n != 1 {
			t.Errorf("%s: %d hashes, want 1", name, n)
		}
	}
}
