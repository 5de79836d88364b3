package money_test

import (
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/platform/money"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]money.Cents{
		"0":                0,
		"-0":               0,
		"0.00":             0,
		"0.01":             1,
		"0.1":              10,
		"1":                100,
		"1.5":              150,
		"100.00":           10000,
		"-1":               -100,
		"-0.05":            -5,
		"1234.50":          123450,
		"0.29":             29,  // 28.999999999999996 in floats
		"1.15":             115, // 114.99999999999999 in floats
		"90071992547409.9": 9007199254740990,
		"9007199254740.93": 900719925474093,
		"999999999999999":  99999999999999900,
		"9999999999999.99": 999999999999999,
		// Parse reads what String writes. Otherwise no other service could read an amount that this one has accepted.
		"999999999999999.00": 99999999999999900,
		"12345678901234.50":  1234567890123450,
	} {
		if got, err := money.Parse(text); err != nil || got != want {
			t.Errorf("Parse(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
}

var refused = []string{
	"", " ", "-", ".", "+", "--1", "1-", "-.5",
	"1e400", "1e2", "1E2", "1e-2", "0x10", "0b1", "1_000", "1,00", "1.000,00", "1,000.00",
	"NaN", "nan", "Inf", "-Inf", "Infinity", "null", "true",
	"0.001", "1.000", "0.000", "1.999",
	"1234567890123456", "12345678901234.56", "999999999999999.01", "123456789012345.10", "0.01234567890123456",
	"+5", "05", "00", "-01", "00.1", " 5", "5 ", "5\n", "\t5", "5\x00", "1 000",
	".5", "5.", "1..2", "1.2.3",
	"１", "٣", "１.００", "1٫5", "−1", "1\u00a0", "R$ 1", "$1", "1/2",
	strings.Repeat("9", 1<<20), "0." + strings.Repeat("0", 1<<20), "1e999999999",
}

func TestParseRefuses(t *testing.T) {
	for _, text := range refused {
		if got, err := money.Parse(text); !errors.Is(err, money.ErrInvalid) || got != 0 {
			t.Errorf("Parse(%.40q) = %d, %v, want ErrInvalid", text, got, err)
		}
	}
}

func TestPositive(t *testing.T) {
	for cents, ok := range map[money.Cents]bool{math.MinInt64: false, -1: false, 0: false, 1: true, math.MaxInt64: true} {
		if err := cents.Positive(); ok != (err == nil) || !ok && !errors.Is(err, money.ErrInvalid) {
			t.Errorf("%d.Positive() = %v", cents, err)
		}
	}
}

func TestString(t *testing.T) {
	for cents, want := range map[money.Cents]string{
		0: "0.00", 1: "0.01", -5: "-0.05", 10: "0.10", 100: "1.00", 123450: "1234.50", -100: "-1.00",
		math.MaxInt64: "92233720368547758.07", math.MinInt64: "-92233720368547758.08",
	} {
		if got := cents.String(); got != want {
			t.Errorf("String of %d = %q, want %q", int64(cents), got, want)
		}
	}
}

type payload struct {
	Amount money.Cents `json:"amount"`
}

func TestJSON(t *testing.T) {
	for body, want := range map[string]money.Cents{
		`{"amount":150}`:                150_00,
		`{"amount":150.5}`:              150_50,
		`{"amount":0.29}`:               29,
		`{"amount":"150.00"}`:           150_00,
		`{"amount":999999999999999}`:    99999999999999900,
		`{"amount":"9999999999999.99"}`: 999999999999999,
		`{"amount":-1}`:                 -100,
		`{"amount": 1 }`:                100,
	} {
		var got payload
		if err := json.Unmarshal([]byte(body), &got); err != nil || got.Amount != want {
			t.Errorf("%s = %d, %v, want %d", body, got.Amount, err, want)
		}
	}
	for _, body := range []string{
		`{"amount":1e400}`, `{"amount":1e2}`, `{"amount":1E2}`, `{"amount":0.001}`, `{"amount":1234567890123456}`,
		`{"amount":"NaN"}`, `{"amount":"1e2"}`, `{"amount":" 1"}`, `{"amount":""}`, `{"amount":"\""}`, `{"amount":"\u0031\n"}`,
		`{"amount":null}`, `{"amount":true}`, `{"amount":[1]}`, `{"amount":{"cents":1}}`, `{"amount":"\"1\""}`,
	} {
		var got payload
		if err := json.Unmarshal([]byte(body), &got); !errors.Is(err, money.ErrInvalid) || got.Amount != 0 {
			t.Errorf("%s = %d, %v, want ErrInvalid", body, got.Amount, err)
		}
	}
}

func TestJSONIsAString(t *testing.T) {
	got, err := json.Marshal(payload{Amount: 100_00})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"amount":"100.00"}`, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// exact returns the value of text in cents, computed independently with math/big.
func exact(text string) (*big.Int, bool) {
	value, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, false
	}
	value.Mul(value, big.NewRat(100, 1))
	return value.Num(), value.IsInt()
}

func FuzzParse(f *testing.F) {
	for _, seed := range refused {
		if len(seed) < 100 {
			f.Add(seed)
		}
	}
	for _, seed := range []string{"0", "-0", "1", "0.01", "-0.05", "100.00", "999999999999999", "9999999999999.99"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cents, err := money.Parse(text)
		if err != nil {
			if cents != 0 {
				t.Errorf("Parse(%q) = %d with an error", text, cents)
			}
			return
		}
		if want, ok := exact(text); !ok || want.Cmp(big.NewInt(int64(cents))) != 0 {
			t.Errorf("Parse(%q) = %d, math/big says %v", text, cents, want)
		}
		if len(text) > len("-999999999999999.00") || strings.ContainsAny(text, "eE+_xX ") {
			t.Errorf("Parse(%q) accepted what is no plain decimal", text)
		}
		if want, _ := exact(cents.String()); want == nil || want.Cmp(big.NewInt(int64(cents))) != 0 {
			t.Errorf("%d formats as %q", int64(cents), cents)
		}
		if again, err := money.Parse(cents.String()); err != nil || again != cents {
			t.Errorf("%q does not round-trip: %d, %v", text, again, err)
		}
		body := []byte(`{"amount":"` + text + `"}`)
		var fromString, fromNumber payload
		if err := json.Unmarshal(body, &fromString); err != nil || fromString.Amount != cents {
			t.Errorf("%s = %d, %v", body, fromString.Amount, err)
		}
		if err := json.Unmarshal([]byte(`{"amount":`+text+`}`), &fromNumber); err != nil || fromNumber.Amount != cents {
			t.Errorf("as a number, %s = %d, %v", text, fromNumber.Amount, err)
		}
	})
}

func FuzzString(f *testing.F) {
	for _, seed := range []int64{0, 1, -1, 99, 100, -5, math.MaxInt64, math.MinInt64} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cents int64) {
		text := money.Cents(cents).String()
		if value, ok := exact(text); !ok || value.Cmp(big.NewInt(cents)) != 0 {
			t.Errorf("%d formats as %q", cents, text)
		}
		if whole, decimals, _ := strings.Cut(text, "."); whole == "" || len(decimals) != 2 {
			t.Errorf("%d formats as %q, want two decimals", cents, text)
		}
	})
}
