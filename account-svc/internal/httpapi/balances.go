package httpapi

import (
	"net/http"
	"strings"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/web"
)

var errBalancesSize = fault.BadArgument("O lote deve ter de 1 a 1000 contas e até 1000 chaves.")

// maxNumberBytes is the length of the longest account number. The handler does not ask the ledger about longer ones.
const maxNumberBytes = 10

// balances tells other services what accounts have.
func (h handlers) balances(r *http.Request) (web.Answer, error) {
	var in accountapi.Balances
	if err := web.DecodeInternal(r, &in, maxBatchBytes); err != nil {
		return web.Answer{}, err
	}
	var numbers, keys []string
	asked := 0
	for _, q := range in.Accounts {
		asked += len(q.RequestIDs)
		if len(q.AccountNumber) <= maxNumberBytes && strings.Trim(q.AccountNumber, "0123456789") == "" {
			numbers = append(numbers, q.AccountNumber)
		}
		for _, id := range q.RequestIDs {
			if storable(id) { // otherwise PostgreSQL would refuse the whole query
				keys = append(keys, serviceKey(id))
			}
		}
	}
	if len(in.Accounts) == 0 || len(in.Accounts) > accountapi.MaxBalances || asked > accountapi.MaxBalanceKeys {
		return web.Answer{}, errBalancesSize
	}
	accounts, decided, err := h.Ledger.Standings(r.Context(), numbers, keys)
	if err != nil {
		return web.Answer{}, err
	}
	out := accountapi.BalanceResults{Accounts: make([]accountapi.Standing, len(in.Accounts))}
	for i, q := range in.Accounts {
		account := accounts[q.AccountNumber]
		standing := accountapi.Standing{AccountNumber: q.AccountNumber, Active: account.Active, Balance: min(account.Balance, accountapi.MaxStanding)}
		for _, id := range q.RequestIDs {
			if decided[serviceKey(id)] {
				standing.Decided = append(standing.Decided, id)
			}
		}
		out.Accounts[i] = standing
	}
	return web.JSON(http.StatusOK, out)
}
