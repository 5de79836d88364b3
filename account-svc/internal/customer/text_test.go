package customer

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"github.com/bankmore/bankmore/platform/fault"
)

func TestPrepareName(t *testing.T) {
	for given, want := range map[string]string{
		"Ana Souza":                          "Ana Souza",
		"  Ana Souza ":                       "Ana Souza",
		"Ana\u00a0Souza":                     "Ana Souza", // no-break space
		"Ana\u3000Souza":                     "Ana Souza", // ideographic space
		"\u2003Ana\u202fSouza\u2028":         "Ana Souza", // em space, narrow no-break space, line separator
		"Ana\u00a0 Souza":                    "Ana  Souza",
		"\u0915\u094d\u200d\u0937":           "\u0915\u094d\u200d\u0937",           // Devanagari with a joiner
		"\u0645\u06cc\u200c\u062e\u0648":     "\u0645\u06cc\u200c\u062e\u0648",     // Persian with a non-joiner
		"D'A\u0301vila-\u00c7a\u011fr\u0131": "D'A\u0301vila-\u00c7a\u011fr\u0131", // stays as it was typed
		strings.Repeat("é", 100):             strings.Repeat("é", 100),
	} {
		if got, err := prepareName(given); err != nil || got != want {
			t.Errorf("%+q: %+q, %v, want %+q", given, got, err, want)
		}
	}
	for given, want := range map[string]string{
		"A":                      ErrNameLength.Message,
		"\u00a0\u3000A ":         ErrNameLength.Message,
		"\u2003\u2003\u2003":     ErrNameLength.Message,
		"A\u200d\u200d":          ErrNameLength.Message, // is displayed as one letter
		strings.Repeat("é", 101): ErrNameLength.Message,
		"A\u0007na":              "U+0007",
		"Ana\n":                  "U+000A",
		"Ana\tSouza":             "U+0009",
		"Ana\u0085Souza":         "U+0085",
		"\u202eanA":              "U+202E", // right-to-left override
		"Ana\u2066Souza\u2069":   "U+2066", // an isolate
		"Ana\u200fSouza":         "U+200F", // right-to-left mark
	} {
		_, err := prepareName(given)
		if f := fault.From(err); err == nil || f.Type != fault.TypeInvalidArgument || !strings.Contains(f.Message, want) {
			t.Errorf("%+q: %v, want %s", given, err, want)
		}
	}
}

func TestPreparePassword(t *testing.T) {
	for given, want := range map[string]string{
		"senha123":                        "senha123",
		"sen\u0301ha12":                   "se\u0144ha12", // NFD becomes NFC
		"sen\u00a0ha\u300012":             "sen ha 12",
		" senha 12 ":                      " senha 12 ", // spaces count, also at the ends
		"Senha\u2126!":                    "Senha\u03a9!",
		strings.Repeat("é", 128):          strings.Repeat("é", 128),
		"\u0627\u0644\u0633\u0631 \u0634": "\u0627\u0644\u0633\u0631 \u0634",
	} {
		if got, err := preparePassword(given); err != nil || got != want {
			t.Errorf("%+q: %+q, %v, want %+q", given, got, err, want)
		}
	}
	for given, want := range map[string]error{
		"":                                ErrPasswordLength,
		"12345":                           ErrPasswordLength,
		"e\u0301e\u0301e\u0301":           ErrPasswordLength, // three characters, however they were typed
		strings.Repeat("x", 129):          ErrPasswordLength,
		"senha\t123":                      ErrPasswordControl,
		"senha\x00123":                    ErrPasswordControl,
		"senha\u200b123":                  ErrPasswordUnsupported, // a zero width space
		"senha\ue000123":                  ErrPasswordUnsupported, // private use
		"senha\U0001f468\u200d\U0001f469": ErrPasswordUnsupported,
	} {
		if _, err := preparePassword(given); !errors.Is(err, want) {
			t.Errorf("%+q: %v, want %v", given, err, want)
		}
	}
}

// Preparing a prepared password does not change it, so it has one form and costs one hash. The NFD and the NFC form of a
// typed password are the same password.
func TestPreparedPasswordsAreStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		characters := rapid.RuneFrom(nil, unicode.Latin, unicode.Mn, unicode.Zs, unicode.Hangul, unicode.Devanagari)
		typed := rapid.StringOfN(characters, 6, 20, -1).Draw(t, "password")
		prepared, err := preparePassword(typed)
		if err != nil {
			return
		}
		if all := forms(prepared); len(all) != 1 || all[0] != prepared {
			t.Errorf("%+q is hashed as %+q, which has the forms %+q", typed, prepared, all)
		}
		for _, form := range []norm.Form{norm.NFC, norm.NFD} {
			if again := forms(form.String(typed))[0]; again != prepared {
				t.Errorf("%+q is hashed as %+q, and typed as %+q compared as %+q", typed, prepared, form.String(typed), again)
			}
		}
	})
}

// A password matches however its characters are composed. A password whose hash was made from the typed bytes, before
// passwords were prepared, still matches.
func TestPasswordsMatchInEveryForm(t *testing.T) {
	s, err := New(nil, Argon2id{}, CPFKeys{})
	if err != nil {
		t.Fatal(err)
	}
	const composed, decomposed, wide = "s\u00e9nha 123", "se\u0301nha 123", "s\u00e9nha\u3000123"
	const emoji = "senha\U0001f468\u200d\U0001f469" // a new account may no longer have such a password
	for _, test := range []struct {
		hashed, typed string
		want          bool
	}{
		{composed, composed, true},
		{composed, decomposed, true},
		{composed, wide, true},
		{decomposed, decomposed, true}, // an account from before passwords were prepared
		{wide, wide, true},             // the same
		{emoji, emoji, true},           // the same
		{composed, "senha 123", false},
		{emoji, "senha\U0001f468\U0001f469", false},
	} {
		hash, err := s.hash(t.Context(), test.hashed)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.matches(t.Context(), test.typed, hash); err != nil || got != test.want {
			t.Errorf("%+q typed for %+q: %t, %v", test.typed, test.hashed, got, err)
		}
	}
}
