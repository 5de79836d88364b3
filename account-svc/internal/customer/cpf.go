package customer

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"regexp"
	"strings"
)

// CPF is a valid Brazilian taxpayer number: 11 digits, of which the last two check the others. It never shows in logs.
type CPF string

var cpfForm = regexp.MustCompile(`^(\d{11}|\d{3}\.\d{3}\.\d{3}-\d{2})$`)

// ParseCPF reads 11 digits, bare or formatted as 000.000.000-00, and checks the check digits (modulus 11, Receita
// Federal, IN RFB 1.548/2015). Numbers of one repeated digit pass the arithmetic but are not issued.
func ParseCPF(s string) (CPF, error) {
	if !cpfForm.MatchString(s) {
		return "", ErrInvalidCPF
	}
	digits := strings.NewReplacer(".", "", "-", "").Replace(s)
	if strings.Count(digits, digits[:1]) == len(digits) ||
		checkDigit(digits[:9]) != digits[9] || checkDigit(digits[:10]) != digits[10] {
		return "", ErrInvalidCPF
	}
	return CPF(digits), nil
}

func checkDigit(digits string) byte {
	sum := 0
	for i, d := range []byte(digits) {
		sum += int(d-'0') * (len(digits) + 1 - i)
	}
	return '0' + byte(sum*10%11%10)
}

// LogValue masks all but the middle of a CPF.
func (c CPF) LogValue() slog.Value { return slog.StringValue("***." + string(c[3:6]) + ".***-**") }

// Key256 is a key of 32 bytes, in base64 in the environment.
type Key256 [32]byte

// UnmarshalText reads the key from its environment variable.
func (k *Key256) UnmarshalText(text []byte) error {
	raw, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil || len(raw) != len(k) {
		return errors.New("want 32 bytes in base64")
	}
	copy(k[:], raw)
	return nil
}

// CPFKeys protect CPFs in the database.
type CPFKeys struct {
	Encryption Key256 `env:"CPF_ENCRYPTION_KEY,required"`
	Hash       Key256 `env:"CPF_HASH_KEY,required"`
}

// hash returns the hash by which the database finds a CPF. It is keyed, since there are few enough CPFs to hash them all.
func (k CPFKeys) hash(cpf CPF) string {
	mac := hmac.New(sha256.New, k.Hash[:])
	mac.Write([]byte(cpf))
	return base64.RawStdEncoding.EncodeToString(mac.Sum(nil))
}

// encrypt seals a CPF with AES-256-GCM, bound to its account. The prefix names the key, for rotation.
func (k CPFKeys) encrypt(cpf CPF, accountID string) (string, error) {
	block, err := aes.NewCipher(k.Encryption[:])
	if err != nil {
		return "", err
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return "", err
	}
	return "1:" + base64.RawStdEncoding.EncodeToString(gcm.Seal(nil, nil, []byte(cpf), []byte(accountID))), nil
}
