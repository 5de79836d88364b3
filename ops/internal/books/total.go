package books

import (
	"fmt"

	"github.com/shopspring/decimal"

	"github.com/bankmore/bankmore/platform/money"
)

// total is a sum over the bank, in cents. 64 bits would hold no more than 92 of the greatest balance of an account.
type total struct{ cents decimal.Decimal }

func (t total) plus(u total) total { return total{t.cents.Add(u.cents)} }

func (t total) is(u total) bool { return t.cents.Equal(u.cents) }

// String formats t as money.Cents does.
func (t total) String() string { return t.cents.Shift(-2).StringFixed(2) }

func totalOf(c money.Cents) total { return total{decimal.New(int64(c), 0)} }

// halves are a sum that a database has added up in BIGINTs: high counts billions of cents, low the rest of each amount.
type halves struct{ high, low int64 }

func (h halves) total() total { return total{decimal.New(h.high, 9).Add(decimal.New(h.low, 0))} }

// sumOf is the SQL for the halves of a sum. Both engines cut off towards zero, so that the halves have the same sign.
func sumOf(cents string) string {
	return fmt.Sprintf("CAST(coalesce(sum((%[1]s) / 1000000000), 0) AS BIGINT), CAST(coalesce(sum((%[1]s) %% 1000000000), 0) AS BIGINT)", cents)
}
