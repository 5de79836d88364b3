package amount_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/bankmore/bankmore/cli/internal/amount"
	"github.com/bankmore/bankmore/cli/internal/lang"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"1": "1.00", "1234": "1234.00", "1234.56": "1234.56", "1234,56": "1234.56", "0.01": "0.01", "0,01": "0.01",
		"1.234,56": "1234.56", "1,234.56": "1234.56", "12.345.678,90": "12345678.90", "1.234,00": "1234.00", "100.00": "100.00",
		"999999999999999": "999999999999999.00", "999.999.999.999.999,00": "999999999999999.00", "9999999999999,99": "9999999999999.99",
	} {
		if got, err := amount.Parse(text); err != nil || got != want {
			t.Errorf("Parse(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]error{
		"1.234": amount.ErrAmbiguous, "1,234": amount.ErrAmbiguous, "12.345.678": amount.ErrAmbiguous, "0.001": amount.ErrAmbiguous,
		"0": amount.ErrZero, "0.00": amount.ErrZero, "0,00": amount.ErrZero,
		"1000000000000000": amount.ErrTooLarge, "99999999999999.99": amount.ErrTooLarge, strings.Repeat("9", 1<<20): amount.ErrTooLarge,
		"": amount.ErrForm, " 1": amount.ErrForm, "1 ": amount.ErrForm, "1\n": amount.ErrForm, "+1": amount.ErrForm, "-1": amount.ErrForm,
		"1.5": amount.ErrForm, "1,5": amount.ErrForm, ".50": amount.ErrForm, "1.": amount.ErrForm, "01": amount.ErrForm, "1e3": amount.ErrForm,
		"1.23,45": amount.ErrForm, "1234.567,89": amount.ErrForm, "1.234.56": amount.ErrForm, "1,234,56": amount.ErrForm,
		"1.2345,67": amount.ErrForm, "0.123,45": amount.ErrForm, "1 234,56": amount.ErrForm, "R$ 1": amount.ErrForm, "1_000": amount.ErrForm,
		"0x10": amount.ErrForm, "NaN": amount.ErrForm, "１": amount.ErrForm, "1٫50": amount.ErrForm,
	} {
		if got, err := amount.Parse(text); !errors.Is(err, want) || got != "" {
			t.Errorf("Parse(%.40q) = %q, %v, want %v", text, got, err, want)
		}
	}
}

func TestFormat(t *testing.T) {
	for text, want := range map[string][2]string{
		"0.05":          {"R$ 0,05", "R$ 0.05"},
		"848.00":        {"R$ 848,00", "R$ 848.00"},
		"1234.56":       {"R$ 1.234,56", "R$ 1,234.56"},
		"123456789.00":  {"R$ 123.456.789,00", "R$ 123,456,789.00"},
		"what is this?": {"what is this?", "what is this?"},
	} {
		for l, want := range map[lang.Language]string{lang.Portuguese: want[0], lang.English: want[1]} {
			if got := amount.Format(l, text); got != want {
				t.Errorf("Format(%q) = %q, want %q", text, got, want)
			}
		}
	}
}
