// Package auth signs and verifies bearer tokens, and guards routes with them.
package auth

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MinKeyBytes is the least length of an HS256 secret: that of its hash (RFC 7518 section 3.2).
const MinKeyBytes = 32

// keyID is the form of a key's id. Every token shows the id, so a part of a secret must not be taken for one.
var keyID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// clockSkew is how far the clocks of two replicas may differ. Verify accepts a token whose issue or beginning (iat, nbf) is
// up to that far in the future. It accepts no token after its expiry.
const clockSkew = time.Minute

// defaultKeyID names the key of a JWT_SECRET_KEY that is a bare secret.
const defaultKeyID = "default"

// Keyring is the secrets that sign tokens, parsed from "secret" or "id:secret,id:secret". The first signs, all verify:
// to rotate, put a new key first and drop the old one when its last token has expired.
type Keyring struct {
	signing string
	secrets map[string][]byte
}

var _ encoding.TextUnmarshaler = (*Keyring)(nil)

// UnmarshalText reads the keyring from its environment variable.
func (k *Keyring) UnmarshalText(text []byte) error {
	ring := Keyring{secrets: map[string][]byte{}}
	for i, part := range strings.Split(string(text), ",") {
		id, secret, named := strings.Cut(part, ":")
		if !named {
			id, secret = defaultKeyID, part
		}
		switch {
		case !keyID.MatchString(id):
			return fmt.Errorf("key %d: an id has 1 to 32 of A-Z a-z 0-9 _ -, a secret has no colon", i+1)
		case len(secret) < MinKeyBytes:
			return fmt.Errorf("key %d is shorter than %d bytes", i+1, MinKeyBytes)
		case ring.secrets[id] != nil:
			return fmt.Errorf("key id %q occurs twice", id)
		case i == 0:
			ring.signing = id
		}
		ring.secrets[id] = []byte(secret)
	}
	*k = ring
	return nil
}

// Derive returns a key of 32 bytes for another purpose from each secret (HKDF with SHA-256, RFC 5869). The key from the
// signing secret comes first. A key reveals neither its secret nor the keys for other purposes.
func (k Keyring) Derive(purpose string) ([][]byte, error) {
	ids := slices.Sorted(maps.Keys(k.secrets))
	keys := make([][]byte, 0, len(ids))
	for _, id := range ids {
		key, err := hkdf.Key(sha256.New, k.secrets[id], nil, purpose, sha256.Size)
		if err != nil {
			return nil, err
		}
		if id == k.signing {
			keys = slices.Insert(keys, 0, key)
		} else {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// Config holds what tokens are signed and verified with.
type Config struct {
	Keys     Keyring       `env:"JWT_SECRET_KEY,required"`
	Issuer   string        `env:"JWT_ISSUER" envDefault:"bankmore"`
	Audience string        `env:"JWT_AUDIENCE" envDefault:"bankmore-api"`
	TTL      time.Duration `env:"JWT_TTL" envDefault:"1h"`
}

// Validate returns an error for each value out of range.
func (c Config) Validate() error {
	if c.TTL <= 0 {
		return errors.New("JWT_TTL is not positive")
	}
	return nil
}

// Tokens signs and verifies JWTs (RFC 7519) with HS256.
type Tokens struct {
	config Config
	parser *jwt.Parser
}

// New returns Tokens for config.
func New(config Config) *Tokens {
	return &Tokens{config: config, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithIssuer(config.Issuer),
		jwt.WithAudience(config.Audience),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(clockSkew),
		// The last character of a signature holds unused bits. Without this, several spellings of one token would be valid.
		jwt.WithStrictDecoding(),
	)}
}

// OldestIssue returns the earliest time at which a token that is valid at now can have been issued.
func (t *Tokens) OldestIssue(now time.Time) time.Time { return now.Add(-t.config.TTL - clockSkew) }

// Registered returns the standard claims of a token that is issued at now for subject.
func (t *Tokens) Registered(subject string, now time.Time) jwt.RegisteredClaims {
	return jwt.RegisteredClaims{
		Issuer:    t.config.Issuer,
		Subject:   subject,
		Audience:  jwt.ClaimStrings{t.config.Audience},
		IssuedAt:  jwt.NewNumericDate(now),
		ExpiresAt: jwt.NewNumericDate(now.Add(t.config.TTL)),
	}
}

// Sign returns the compact form of claims, signed with the first key.
func (t *Tokens) Sign(claims jwt.Claims) (string, error) {
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims)
	token.Header["kid"] = t.config.Keys.signing
	return token.SignedString(t.config.Keys.secrets[t.config.Keys.signing])
}

// Verify fills claims from a token whose signature, algorithm, issuer, audience and times are right.
func (t *Tokens) Verify(token string, claims jwt.Claims) error {
	_, err := t.parser.ParseWithClaims(token, claims, func(parsed *jwt.Token) (any, error) {
		id, _ := parsed.Header["kid"].(string)
		if secret := t.config.Keys.secrets[id]; secret != nil {
			return secret, nil
		}
		return nil, errors.New("unknown key id")
	})
	if err != nil {
		return err
	}
	expiry, err := claims.GetExpirationTime() // the parser has required one, but allows for clockSkew after it
	if err == nil && !time.Now().Before(expiry.Time) {
		err = jwt.ErrTokenExpired
	}
	return err
}
