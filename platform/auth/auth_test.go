package auth_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/web"
)

const (
	secretA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	secretB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

type claims struct {
	jwt.RegisteredClaims
	Role string `json:"role"`
}

// tokens returns Tokens with the keyring that text describes.
func tokens(t *testing.T, text string) *auth.Tokens {
	t.Helper()
	config := auth.Config{Issuer: "issuer", Audience: "audience", TTL: time.Hour}
	if err := config.Keys.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return auth.New(config)
}

func TestSignedTokenIsVerified(t *testing.T) {
	ring := tokens(t, secretA)
	token, err := ring.Sign(&claims{RegisteredClaims: ring.Registered("subject", time.Now()), Role: "teller"})
	if err != nil {
		t.Fatal(err)
	}
	var got claims
	if err := ring.Verify(token, &got); err != nil || got.Subject != "subject" || got.Role != "teller" {
		t.Errorf("%+v, %v", got, err)
	}
	if lifetime := got.ExpiresAt.Sub(got.IssuedAt.Time); lifetime != time.Hour {
		t.Errorf("the token lives %v, want an hour", lifetime)
	}
}

// forge signs any claims with any method and header.
func forge(t *testing.T, method jwt.SigningMethod, key any, kid any, change func(jwt.MapClaims)) string {
	t.Helper()
	now := time.Now()
	c := jwt.MapClaims{
		"iss": "issuer", "aud": "audience", "sub": "subject", "role": "teller",
		"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	if change != nil {
		change(c)
	}
	token := jwt.NewWithClaims(method, c)
	if kid != nil {
		token.Header["kid"] = kid
	}
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// with returns a change that sets one claim; nil removes it.
func with(name string, value any) func(jwt.MapClaims) {
	return func(c jwt.MapClaims) {
		if value == nil {
			delete(c, name)
			return
		}
		c[name] = value
	}
}

// badTokens returns tokens that a keyring of secretA must refuse.
func badTokens(t *testing.T) map[string]string {
	hs256, key, now := jwt.SigningMethodHS256, []byte(secretA), time.Now()
	good := forge(t, hs256, key, "default", nil)
	header, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	raw := base64.RawURLEncoding
	return map[string]string{
		"alg none":               forge(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "default", nil),
		"alg none, kept signed":  raw.EncodeToString([]byte(`{"alg":"none","typ":"JWT","kid":"default"}`)) + "." + rest,
		"alg in other case":      raw.EncodeToString([]byte(`{"alg":"hs256","typ":"JWT","kid":"default"}`)) + "." + rest,
		"HS384":                  forge(t, jwt.SigningMethodHS384, key, "default", nil),
		"HS512":                  forge(t, jwt.SigningMethodHS512, key, "default", nil),
		"another secret":         forge(t, hs256, []byte(secretB), "default", nil),
		"empty secret":           forge(t, hs256, []byte{}, "default", nil),
		"unknown kid":            forge(t, hs256, key, "other", nil),
		"no kid":                 forge(t, hs256, key, nil, nil),
		"empty kid":              forge(t, hs256, key, "", nil),
		"kid that is no text":    forge(t, hs256, key, 7, nil),
		"expired":                forge(t, hs256, key, "default", with("exp", now.Add(-time.Minute).Unix())),
		"no expiry":              forge(t, hs256, key, "default", with("exp", nil)),
		"expiry that is no time": forge(t, hs256, key, "default", with("exp", "tomorrow")),
		"another issuer":         forge(t, hs256, key, "default", with("iss", "somebody")),
		"no issuer":              forge(t, hs256, key, "default", with("iss", nil)),
		"another audience":       forge(t, hs256, key, "default", with("aud", "somebody")),
		"no audience":            forge(t, hs256, key, "default", with("aud", nil)),
		"issued in the future":   forge(t, hs256, key, "default", with("iat", now.Add(time.Hour).Unix())),
		"valid in the future":    forge(t, hs256, key, "default", with("nbf", now.Add(time.Hour).Unix())),
		"changed payload":        header + "." + raw.EncodeToString([]byte(`{"sub":"admin"}`)) + "." + signature,
		"signature cut off":      header + "." + payload + ".",
		"two parts":              header + "." + payload,
		"four parts":             good + ".x",
		"no base64":              "!.!.!",
		"garbage":                "garbage",
		"very long":              strings.Repeat("x", 1<<16),
	}
}

func TestVerifyRefuses(t *testing.T) {
	ring := tokens(t, secretA)
	if err := ring.Verify(forge(t, jwt.SigningMethodHS256, []byte(secretA), "default", nil), new(claims)); err != nil {
		t.Fatalf("the token that the forged ones start from: %v", err)
	}
	for name, token := range badTokens(t) {
		if err := ring.Verify(token, new(claims)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// The clocks of replicas may differ by a minute. Verify accepts a token from a replica whose clock is ahead, and no expired
// token.
func TestClocksMayDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring, now := tokens(t, secretA), time.Now()
		for _, test := range []struct {
			claim string
			in    time.Duration
			ok    bool
		}{
			{"iat", 59 * time.Second, true},
			{"iat", 62 * time.Second, false},
			{"nbf", 59 * time.Second, true},
			{"nbf", 62 * time.Second, false},
			{"exp", time.Second, true},
			{"exp", 0, false},
			{"exp", -time.Second, false},
		} {
			token := forge(t, jwt.SigningMethodHS256, []byte(secretA), "default", with(test.claim, now.Add(test.in).Unix()))
			if err := ring.Verify(token, new(claims)); (err == nil) != test.ok {
				t.Errorf("%s in %s: %v", test.claim, test.in, err)
			}
		}
	})
}

// A token has one spelling. The 43 characters of a signature hold 258 bits, and a signature has 256.
func TestSignatureHasOneForm(t *testing.T) {
	ring := tokens(t, secretA)
	good := forge(t, jwt.SigningMethodHS256, []byte(secretA), "default", nil)
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, last := range alphabet {
		token := good[:len(good)-1] + string(last)
		if err := ring.Verify(token, new(claims)); (err == nil) != (token == good) {
			t.Errorf("%c in the place of %s: %v", last, good[len(good)-1:], err)
		}
	}
}

func TestKeyRotation(t *testing.T) {
	old, both, renewed := tokens(t, "a:"+secretA), tokens(t, "b:"+secretB+",a:"+secretA), tokens(t, "b:"+secretB)
	sign := func(ring *auth.Tokens) string {
		token, err := ring.Sign(ring.Registered("subject", time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for name, test := range map[string]struct {
		token string
		by    *auth.Tokens
		ok    bool
	}{
		"old token, both keys":     {sign(old), both, true},
		"new token, both keys":     {sign(both), both, true},
		"first key signs":          {sign(both), renewed, true},
		"old token, old key gone":  {sign(old), renewed, false},
		"new token, not yet known": {sign(both), old, false},
	} {
		if err := test.by.Verify(test.token, new(claims)); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyring(t *testing.T) {
	for _, text := range []string{secretA, "a:" + secretA, "a:" + secretA + ",b:" + secretB, "a:" + secretA + ":with:colons"} {
		if err := new(auth.Keyring).UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		"":                                "key 1 is shorter than 32 bytes",
		secretA[1:]:                       "key 1 is shorter than 32 bytes",
		"a:" + secretA[1:]:                "key 1 is shorter than 32 bytes",
		"a:" + secretA + ",":              "key 2 is shorter than 32 bytes",
		"a:" + secretA + ",b:short":       "key 2 is shorter than 32 bytes",
		"a:" + secretA + ",a:" + secretB:  `key id "a" occurs twice`,
		secretA + "," + secretB:           `key id "default" occurs twice`,
		":" + secretA:                     "key 1: an id has 1 to 32 of A-Z a-z 0-9 _ -, a secret has no colon",
		"a:" + secretA + ", b:" + secretB: "key 2: an id has 1 to 32 of A-Z a-z 0-9 _ -, a secret has no colon",
	} {
		err := new(auth.Keyring).UnmarshalText([]byte(text))
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "aaaa") || strings.Contains(err.Error(), "bbbb")) {
			t.Errorf("%q: the error tells the secret: %v", text, err)
		}
	}
}

func TestFailedKeyringKeepsTheOldOne(t *testing.T) {
	config := auth.Config{Issuer: "issuer", Audience: "audience", TTL: time.Hour}
	if err := config.Keys.UnmarshalText([]byte(secretA)); err != nil {
		t.Fatal(err)
	}
	if err := config.Keys.UnmarshalText([]byte("short")); err == nil {
		t.Fatal("a short key was accepted")
	}
	if err := auth.New(config).Verify(forge(t, jwt.SigningMethodHS256, []byte(secretA), "default", nil), new(claims)); err != nil {
		t.Errorf("after a failed load: %v", err)
	}
}

// answer returns the answer of a guarded route to a request with these headers.
func answer(t *testing.T, guard func(http.Handler) http.Handler, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	router := web.NewRouter()
	router.With(guard).Method(http.MethodGet, "/x", web.Handler(func(r *http.Request) (web.Answer, error) {
		role := ""
		if r.Header.Get("Authorization") != "" {
			role = auth.Claims[claims](r.Context()).Role
		}
		return web.JSON(http.StatusOK, role)
	}))
	r := httptest.NewRequest(http.MethodGet, "/x", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	router.ServeHTTP(w, r)
	return w
}

const (
	unauthorized = `{"message":"Autenticação necessária.","type":"USER_UNAUTHORIZED"}`
	invalidToken = `{"message":"Token inválido ou expirado.","type":"INVALID_TOKEN"}`
)

func TestRequireToken(t *testing.T) {
	guard := auth.RequireToken[claims](tokens(t, secretA))
	good := forge(t, jwt.SigningMethodHS256, []byte(secretA), "default", nil)
	for header, want := range map[string]struct {
		status int
		body   string
	}{
		"Bearer " + good:       {200, `"teller"`},
		"bearer " + good:       {200, `"teller"`},
		"BEARER  " + good:      {200, `"teller"`},
		"":                     {401, unauthorized},
		"Bearer":               {401, unauthorized},
		"Bearer ":              {401, unauthorized},
		good:                   {401, unauthorized},
		"Basic dXNlcjpwYXNz":   {401, unauthorized},
		"Token " + good:        {401, unauthorized},
		"Bearer" + good:        {401, unauthorized},
		"Bearer " + good + "x": {403, invalidToken},
		"Bearer x " + good:     {403, invalidToken},
		"Bearer \"" + good:     {403, invalidToken},
	} {
		var headers []string
		if header != "" {
			headers = []string{"Authorization", header}
		}
		w := answer(t, guard, headers...)
		if w.Code != want.status || w.Body.String() != want.body {
			t.Errorf("%.20q: %d %s, want %d %s", header, w.Code, w.Body, want.status, want.body)
		}
		if got := w.Header().Get("WWW-Authenticate"); (got == "Bearer") != (want.status == 401) {
			t.Errorf("%.20q: WWW-Authenticate %q with status %d", header, got, w.Code)
		}
	}
	for name, token := range badTokens(t) {
		if w := answer(t, guard, "Authorization", "Bearer "+token); w.Code != 403 || w.Body.String() != invalidToken {
			t.Errorf("%s: %d %s, want 403 %s", name, w.Code, w.Body, invalidToken)
		}
	}
}

func TestRequireClaims(t *testing.T) {
	ring := tokens(t, secretA)
	closed := fault.New(fault.Refused, "CLOSED", "Fechado.")
	guard := func(next http.Handler) http.Handler {
		check := auth.RequireClaims(func(c *claims) error {
			if c.Role == "teller" {
				return nil
			}
			return closed
		})
		return auth.RequireToken[claims](ring)(check(next))
	}
	for role, want := range map[string]string{"teller": `200 "teller"`, "thief": `400 {"message":"Fechado.","type":"CLOSED"}`} {
		token := forge(t, jwt.SigningMethodHS256, []byte(secretA), "default", with("role", role))
		w := answer(t, guard, "Authorization", "Bearer "+token)
		if got := fmt.Sprint(w.Code, " ", w.Body); got != want {
			t.Errorf("%s: %s, want %s", role, got, want)
		}
	}
}

func TestOldestIssue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring, now := tokens(t, secretA), time.Now()
		ahead, err := ring.Sign(ring.Registered("subject", now.Add(time.Minute))) // by a clock that is a minute ahead
		if err != nil {
			t.Fatal(err)
		}
		for left := 61 * time.Minute; left > 0; left -= 30 * time.Second {
			if err := ring.Verify(ahead, new(claims)); err == nil && ring.OldestIssue(time.Now()).After(now) {
				t.Errorf("a token is valid that was issued at %s, before %s", now, ring.OldestIssue(time.Now()))
			}
			time.Sleep(30 * time.Second)
		}
		if err := ring.Verify(ahead, new(claims)); err == nil {
			t.Error("the token is still valid")
		}
	})
}

// A handler that reads claims on a route without RequireToken must panic, not go on without a caller.
func TestClaimsWithoutGuardPanic(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	auth.Claims[claims](t.Context())
}

func TestWithClaims(t *testing.T) {
	type other struct{ jwt.RegisteredClaims }
	ctx := auth.WithClaims(t.Context(), &claims{Role: "teller"})
	ctx = auth.WithClaims(ctx, &other{})
	if got := auth.Claims[claims](ctx).Role; got != "teller" {
		t.Errorf("role %q: claims of another type hide them", got)
	}
}

func TestRequireAppToken(t *testing.T) {
	for _, test := range []struct {
		name, configured string
		headers          []string
		status           int
	}{
		{"right", "token", []string{auth.AppTokenHeader, "token"}, 200},
		{"right, header in other case", "token", []string{"DAPR-API-TOKEN", "token"}, 200},
		{"wrong", "token", []string{auth.AppTokenHeader, "other"}, 403},
		{"prefix", "token", []string{auth.AppTokenHeader, "toke"}, 403},
		{"longer", "token", []string{auth.AppTokenHeader, "token1"}, 403},
		{"empty", "token", []string{auth.AppTokenHeader, ""}, 403},
		{"missing", "token", nil, 403},
		{"right one second", "token", []string{auth.AppTokenHeader, "other", auth.AppTokenHeader, "token"}, 403},
		{"none configured, none sent", "", nil, 200},
		{"none configured, one sent", "", []string{auth.AppTokenHeader, "anything"}, 200},
	} {
		w := answer(t, auth.RequireAppToken(test.configured), test.headers...)
		if w.Code != test.status || test.status == 403 && w.Body.String() != invalidToken {
			t.Errorf("%s: %d %s, want %d", test.name, w.Code, w.Body, test.status)
		}
	}
}

func TestRefusalsMatch(t *testing.T) {
	if errors.Is(auth.ErrNoToken, auth.ErrInvalidToken) {
		t.Error("no token and a bad token are the same failure")
	}
}

// Derived keys differ by purpose and by secret. The key from the signing secret comes first. All replicas derive the same.
func TestDerivedKeys(t *testing.T) {
	ring := func(text string) (k auth.Keyring) {
		if err := k.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		return k
	}
	derive := func(k auth.Keyring, purpose string) [][]byte {
		keys, err := k.Derive(purpose)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	a, b := "a:"+strings.Repeat("a", 32), "b:"+strings.Repeat("b", 32)
	both := derive(ring(b+","+a), "memory")
	again := derive(ring(a+","+b), "memory")
	if len(both) != 2 || len(both[0]) != 32 || !slices.EqualFunc(both, [][]byte{again[1], again[0]}, bytes.Equal) {
		t.Errorf("two secrets in either order give %x and %x", both, again)
	}
	if bytes.Equal(both[0], both[1]) || bytes.Equal(both[0], derive(ring(b), "other")[0]) || !bytes.Equal(both[0], derive(ring(b), "memory")[0]) {
		t.Error("a derived key is not that of its secret and purpose")
	}
}
