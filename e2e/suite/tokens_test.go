package suite_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bankmore/bankmore/e2e/bank"
)

// claimsOf reads the claims of a good token, so that a bad one differs in one claim only.
func claimsOf(t *testing.T, token string) jwt.MapClaims {
	t.Helper()
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func sign(t *testing.T, method jwt.SigningMethod, claims jwt.MapClaims, key any) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = "default" // as account-svc names its key
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// badTokens returns tokens of p that no service may accept. It also returns a good token that is made in the same way, which shows
// that each bad one is refused for its one fault.
func badTokens(t *testing.T, p bank.Customer) (good string, bad map[string]string) {
	t.Helper()
	secret := []byte(system.JWTSecret)
	changed := func(key string, value any) jwt.MapClaims {
		claims := claimsOf(t, p.Token)
		if value == nil {
			delete(claims, key)
		} else {
			claims[key] = value
		}
		return claims
	}
	_, body, _ := strings.Cut(sign(t, jwt.SigningMethodNone, claimsOf(t, p.Token), jwt.UnsafeAllowNoneSignatureType), ".")
	unsigned := func(header string) string { return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + body }
	return sign(t, jwt.SigningMethodHS256, claimsOf(t, p.Token), secret), map[string]string{
		"garbage":         "garbage",
		"three parts":     "a.b.c",
		"alg none":        unsigned(`{"alg":"none","typ":"JWT","kid":"default"}`),
		"alg None":        unsigned(`{"alg":"None","typ":"JWT","kid":"default"}`),
		"other algorithm": sign(t, jwt.SigningMethodHS512, claimsOf(t, p.Token), secret),
		"forged":          sign(t, jwt.SigningMethodHS256, claimsOf(t, p.Token), []byte("not-the-secret-that-the-bank-knows")),
		"empty key":       sign(t, jwt.SigningMethodHS256, claimsOf(t, p.Token), []byte{}),
		"expired":         sign(t, jwt.SigningMethodHS256, changed("exp", time.Now().Add(-time.Minute).Unix()), secret),
		"without expiry":  sign(t, jwt.SigningMethodHS256, changed("exp", nil), secret),
		"other issuer":    sign(t, jwt.SigningMethodHS256, changed("iss", "somebody"), secret),
		"other audience":  sign(t, jwt.SigningMethodHS256, changed("aud", "somewhere"), secret),
		"cut":             p.Token[:len(p.Token)-4],
	}
}
