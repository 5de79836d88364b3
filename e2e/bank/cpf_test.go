package bank

import "testing"

func TestCheckDigit(t *testing.T) {
	for _, cpf := range []string{"52998224725", "11144477735", "12345678909"} { // published as valid examples
		var digits []int
		for _, c := range cpf {
			digits = append(digits, int(c-'0'))
		}
		if first, second := checkDigit(digits[:9]), checkDigit(digits[:10]); first != digits[9] || second != digits[10] {
			t.Errorf("%s: check digits %d%d", cpf, first, second)
		}
	}
}

func TestNewCPF(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		cpf := NewCPF()
		if len(cpf) != 11 {
			t.Fatalf("%q has not 11 digits", cpf)
		}
		seen[cpf] = true
	}
	if len(seen) < 990 {
		t.Errorf("only %d of 1000 are different", len(seen))
	}
}
