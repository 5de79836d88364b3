package bank

import (
	"math/rand/v2"
)

// NewCPF is a random valid CPF, digits only.
func NewCPF() string {
	for {
		digits := make([]int, 9, 11)
		for i := range digits {
			digits[i] = rand.IntN(10)
		}
		digits = append(digits, checkDigit(digits))
		digits = append(digits, checkDigit(digits))
		if !allEqual(digits) {
			return text(digits)
		}
	}
}

// checkDigit is the next check digit of a CPF: weights fall to 2 towards the right, the remainder by 11 decides.
func checkDigit(digits []int) int {
	sum := 0
	for i, d := range digits {
		sum += d * (len(digits) + 1 - i)
	}
	return sum * 10 % 11 % 10
}

func allEqual(digits []int) bool {
	for _, d := range digits {
		if d != digits[0] {
			return false
		}
	}
	return true
}

func text(digits []int) string {
	out := make([]byte, len(digits))
	for i, d := range digits {
		out[i] = '0' + byte(d)
	}
	return string(out)
}
