// Package money holds amounts as whole cents of BRL. Decimals exist only at the edges; floats nowhere.
package money

import (
	"regexp"
	"strings"

	"github.com/shopspring/decimal"

	"github.com/bankmore/bankmore/platform/fault"
)

// Cents is an amount in cents, in JSON a string with two decimals ("100.00").
type Cents int64

// MaxDigits bounds the digits of one amount. Decimals count, but zeros at their end do not. The largest amounts are
// 999,999,999,999,999.00 and, with cents, 9,999,999,999,999.99.
const MaxDigits = 15

// ErrInvalid is the answer to any text that is not an amount.
var ErrInvalid = fault.New(fault.Invalid, fault.TypeInvalidValue, "Valor inválido: use um número positivo com até duas casas decimais.")

// The number grammar of JSON (RFC 8259 section 6) without exponents, with at most two decimals.
var grammar = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,2})?$`)

// Parse reads a decimal amount exactly: at most two decimals, at most MaxDigits digits, no exponent, no spaces.
// It accepts zero and negative amounts; callers that must refuse them call Positive.
func Parse(s string) (Cents, error) {
	if !grammar.MatchString(s) {
		return 0, ErrInvalid
	}
	significant := s
	if strings.Contains(s, ".") {
		significant = strings.TrimRight(s, "0") // otherwise String, which adds decimals, would write amounts that Parse refuses
	}
	if digits := len(significant) - strings.Count(significant, "-") - strings.Count(significant, "."); digits > MaxDigits {
		return 0, ErrInvalid
	}
	d, err := decimal.NewFromString(s)
	if err != nil {
		return 0, ErrInvalid.Because(err)
	}
	return Cents(d.Shift(2).IntPart()), nil
}

// Positive returns ErrInvalid unless c is at least one cent.
func (c Cents) Positive() error {
	if c <= 0 {
		return ErrInvalid
	}
	return nil
}

// String formats c with two decimals: "-0.05", "1234.50".
func (c Cents) String() string {
	return decimal.New(int64(c), -2).StringFixed(2)
}

// MarshalText formats c as String does, so that c is a string in JSON.
func (c Cents) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText parses c as Parse does; configuration uses it.
func (c *Cents) UnmarshalText(text []byte) error {
	v, err := Parse(string(text))
	if err != nil {
		return err
	}
	*c = v
	return nil
}

// UnmarshalJSON accepts a JSON number or a JSON string, both read exactly from their text.
func (c *Cents) UnmarshalJSON(raw []byte) error {
	text := string(raw)
	if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		text = text[1 : len(text)-1] // an amount has no escapes: any backslash fails the grammar
	}
	return c.UnmarshalText([]byte(text))
}
