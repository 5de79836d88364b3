package postgres

import "github.com/bankmore/bankmore/account-svc/internal/sqlstore/portable"

// Queries are the frequent queries, each with the index that must answer it.
var Queries = map[string]string{
	selectAccounts + " ORDER BY id FOR NO KEY UPDATE": "accounts_number_key",
	selectDecisions:                               "movements_request_key_key",
	lists.SelectStandings():                       "accounts_number_key",
	lists.SelectDecided():                         "movements_request_key_key",
	portable.SelectBalance:                        "accounts_pkey",
	portable.SelectCustomer + "c.account_id = $1": "customers_pkey",
	portable.SelectCustomer + "c.cpf_hash = $1":   "customers_cpf_hash_key",
	portable.SelectClosed:                         "accounts_closed",
	lists.SelectOwners():                          "accounts_number_key",
	portable.SelectStatement + " AND seq < 3 ORDER BY seq DESC LIMIT 20": "movements_account_id_seq_key",
}
