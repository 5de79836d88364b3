package books

import (
	"fmt"

	"github.com/shopspring/decimal"

	"github.com/bankmore/bankmore/platform/money"
)

// total is a sum over the whole bank, in cents. It is no int64: that would overflow at 93 accounts with the greatest balance.
type total struct{ cents decimal.Decimal }

func (t total) plus(u total) total { return total{t.cents.Add(u.cents)} }

func (t total) is(u total) bool { return t.cents.Equal(u.cents) }

// String formats t as money.Cents does.
func (t total) String() string { return t.cents.Shift(-2).StringFixed(2) }

func totalOf(c money.Cents) total { return total{decimal.New(int64(c), 0)} }

// halves are a sum that a database has computed in two BIGINTs: high adds up the billions of cents of each amount, and low
// the remainders.
type halves struct{ high, low int64 }

func (h halves) total() total { return total{decimal.New(h.high, 9).Add(decimal.New(h.low, 0))} }

// sumOf returns the SQL for the halves of a sum. Both engines divide towards zero, so both halves of an amount have its sign.
func sumOf(cents string) string {
	return fmt.Sprintf("CAST(coalesce(sum((%[1]s) / 1000000000), 0) AS BIGINT), CAST(coalesce(sum((%[1]s) %% 1000000000), 0) AS BIGINT)", cents)
}
