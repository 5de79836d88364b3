// Package amount reads and shows amounts of BRL. What can be read in two ways is refused, so that a script means the same
// under every locale.
package amount

import (
	"errors"
	"regexp"
	"strings"

	"github.com/bankmore/bankmore/cli/internal/lang"
)

// Reasons why a text is no amount.
var (
	ErrForm      = errors.New("not an amount")
	ErrAmbiguous = errors.New("thousands or decimals")
	ErrZero      = errors.New("zero")
	ErrTooLarge  = errors.New("more than 15 digits")
)

var (
	plain = regexp.MustCompile(`^(0|[1-9][0-9]*)(?:[.,]([0-9]{2}))?$`)
	// Thousands may be grouped if cents follow, since the cents then tell which sign is which.
	pointGroups = regexp.MustCompile(`^[1-9][0-9]{0,2}(?:\.[0-9]{3})+,[0-9]{2}$`)
	commaGroups = regexp.MustCompile(`^[1-9][0-9]{0,2}(?:,[0-9]{3})+\.[0-9]{2}$`)
	// 1.234 is a thousand and more in Portuguese, and a little more than one in English.
	ambiguous = regexp.MustCompile(`^[0-9]{1,3}(?:[.,][0-9]{3})+$`)
)

// maxDigits bounds the digits of one amount, as the API does. Zero cents do not count.
const maxDigits = 15

// Parse reads a positive amount in reais: 1234, 1234.56, 1234,56, 1.234,56 or 1,234.56. It returns the amount with two
// decimals behind a point, like "1234.56", which is how the API takes it. The error is one of this package's.
func Parse(text string) (string, error) {
	switch {
	case pointGroups.MatchString(text):
		text = strings.ReplaceAll(text, ".", "")
	case commaGroups.MatchString(text):
		text = strings.ReplaceAll(text, ",", "")
	case ambiguous.MatchString(text):
		return "", ErrAmbiguous
	}
	parts := plain.FindStringSubmatch(text)
	if parts == nil {
		return "", ErrForm
	}
	reais, cents := parts[1], parts[2]
	if cents == "" {
		cents = "00"
	}
	if reais == "0" && cents == "00" {
		return "", ErrZero
	}
	if len(reais)+len(strings.TrimRight(cents, "0")) > maxDigits {
		return "", ErrTooLarge
	}
	return reais + "." + cents, nil
}

var ofAPI = regexp.MustCompile(`^([0-9]+)\.([0-9]{2})$`)

// Format shows an amount of the API, like "1234.56", as people write it: R$ 1.234,56. Any other text is returned as it is.
func Format(l lang.Language, amount string) string {
	parts := ofAPI.FindStringSubmatch(amount)
	if parts == nil {
		return amount
	}
	reais := parts[1]
	for i := len(reais) - 3; i > 0; i -= 3 {
		reais = reais[:i] + l.Say(".", ",") + reais[i:]
	}
	return "R$ " + reais + l.Say(",", ".") + parts[2]
}
