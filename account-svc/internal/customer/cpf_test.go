package customer

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestParseCPF(t *testing.T) {
	for text, want := range map[string]CPF{
		"52998224725":     "52998224725",
		"529.982.247-25":  "52998224725",
		"11144477735":     "11144477735",
		"52998224724":     "", // last check digit wrong
		"52998224715":     "", // first check digit wrong
		"11111111111":     "", // passes the arithmetic, is never issued
		"00000000000":     "",
		"5299822472":      "", // 10 digits
		"529982247255":    "", // 12 digits
		"529.982.247/25":  "",
		"529.98224725":    "", // half formatted
		" 52998224725":    "",
		"52998224725\n":   "",
		"５２９９８２２４７２５":     "", // full-width digits
		"":                "",
		"529.982.247-2a":  "",
		"abcdefghijk":     "",
		"529 982 247 25":  "",
		"-52998224725":    "",
		"529.982.247-255": "",
	} {
		got, err := ParseCPF(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("ParseCPF(%q) = %q, %v; want %q", text, string(got), err, string(want))
		}
		if err != nil && !errors.Is(err, ErrInvalidCPF) {
			t.Errorf("ParseCPF(%q): error %v is not ErrInvalidCPF", text, err)
		}
	}
}

func FuzzParseCPF(f *testing.F) {
	f.Add("529.982.247-25")
	f.Add("52998224725")
	f.Add("11111111111")
	f.Fuzz(func(t *testing.T, text string) {
		cpf, err := ParseCPF(text)
		if err != nil {
			return
		}
		again, err := ParseCPF(string(cpf))
		if err != nil || again != cpf || len(cpf) != 11 {
			t.Errorf("ParseCPF(%q) = %q, which parses to %q, %v", text, string(cpf), string(again), err)
		}
		if strings.NewReplacer(".", "", "-", "").Replace(text) != string(cpf) {
			t.Errorf("ParseCPF(%q) = %q has other digits", text, string(cpf))
		}
	})
}

func TestCPFIsMaskedInLogs(t *testing.T) {
	var out strings.Builder
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "cpf", CPF("52998224725"))
	if strings.Contains(out.String(), "529982") || !strings.Contains(out.String(), "982") {
		t.Errorf("logged %q", out.String())
	}
}

func TestCPFKeys(t *testing.T) {
	var keys, other CPFKeys
	if err := keys.Encryption.UnmarshalText([]byte("bG9jYWwtZGV2ZWxvcG1lbnQtb25seS1lbmMta2V5ISE=")); err != nil {
		t.Fatal(err)
	}
	if err := keys.Hash.UnmarshalText([]byte("c2hvcnQ=")); err == nil {
		t.Error("a key of 5 bytes was accepted")
	}
	other.Hash[0] = 1
	if keys.hash("52998224725") == other.hash("52998224725") {
		t.Error("the lookup hash does not depend on its key")
	}
	first, err := keys.encrypt("52998224725", "id-1")
	if err != nil {
		t.Fatal(err)
	}
	second, err := keys.encrypt("52998224725", "id-1")
	if err != nil {
		t.Fatal(err)
	}
	if first == second || strings.Contains(first, "52998224725") {
		t.Errorf("encryption repeats itself or shows the CPF: %q %q", first, second)
	}
	for _, sealed := range []string{first, second} {
		if cpf, err := open(t, keys.Encryption, sealed, "id-1"); err != nil || cpf != "52998224725" {
			t.Errorf("decrypted %q, %v", cpf, err)
		}
	}
	if _, err := open(t, keys.Encryption, first, "id-2"); err == nil {
		t.Error("the CPF opens for another account")
	}
	if _, err := open(t, other.Encryption, first, "id-1"); err == nil {
		t.Error("the CPF opens with another key")
	}
}

// open decrypts what encrypt wrote. The service itself never does so.
func open(t *testing.T, key Key256, sealed, accountID string) (string, error) {
	t.Helper()
	text, ok := strings.CutPrefix(sealed, "1:")
	if !ok {
		t.Fatalf("no key id: %q", sealed)
	}
	raw, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := gcm.Open(nil, raw[:gcm.NonceSize()], raw[gcm.NonceSize():], []byte(accountID))
	return string(plain), err
}

func TestLuhn(t *testing.T) {
	for digits, want := range map[string]string{"7992739871": "3", "453201511283036": "6", "0": "0", "1": "8"} {
		if got := luhn(digits); got != want {
			t.Errorf("luhn(%s) = %s, want %s", digits, got, want)
		}
	}
}

func TestDrawNumber(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		number, err := drawNumber()
		if err != nil {
			t.Fatal(err)
		}
		if len(number) != 10 || number[0] == '0' || luhn(number[:9]) != number[9:] {
			t.Fatalf("drew %q", number)
		}
		seen[number] = true
	}
	if len(seen) < 990 {
		t.Errorf("only %d of 1000 numbers differ", len(seen))
	}
}
