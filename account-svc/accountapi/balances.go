package accountapi

import "github.com/bankmore/bankmore/platform/money"

// BalancesPath is the operation that tells what accounts have: POST Balances, answered 200 with BalanceResults.
const BalancesPath = "/internal/balances"

// MaxStanding is the highest balance, in cents, that a Standing reports: 9,999,999,999,999.99. A number with more digits is
// no amount (money.MaxDigits), so one account with more would make the whole answer unreadable.
const MaxStanding money.Cents = 999_999_999_999_999

// Bounds of one call.
const (
	MaxBalances    = 1000 // accounts
	MaxBalanceKeys = 1000 // request ids, over all accounts
)

// Balances asks about 1 to MaxBalances accounts.
type Balances struct {
	Accounts []BalanceQuestion `json:"accounts"`
}

// BalanceQuestion asks about one account.
type BalanceQuestion struct {
	AccountNumber string `json:"account_number"`
	// RequestIDs are request ids of Movements. The answer tells which of them the ledger has decided.
	RequestIDs []string `json:"request_ids,omitzero"`
}

// BalanceResults has one standing per question, in order.
type BalanceResults struct {
	Accounts []Standing `json:"accounts"`
}

// Standing is what the ledger's database says of one account. Another movement may change it at any moment.
type Standing struct {
	AccountNumber string      `json:"account_number"` // as it was asked
	Active        bool        `json:"active"`         // false also if there is no such account
	Balance       money.Cents `json:"balance"`        // from 0 to MaxStanding, which also stands for more; 0 if there is no such account
	// Decided lists those of the question's RequestIDs that the ledger has applied or refused. If Balance includes the
	// movement of one of them, Decided contains its id.
	Decided []string `json:"decided,omitzero"`
}
