package sqlstore

// Queries are the frequent queries, each with the index that must answer it.
var Queries = map[string]string{
	selectAccounts + " ORDER BY id FOR NO KEY UPDATE": "accounts_number_key",
	selectDecisions:                      "movements_request_key_key",
	standingsPostgres:                    "accounts_number_key",
	decidedPostgres:                      "movements_request_key_key",
	selectBalance:                        "accounts_pkey",
	selectCustomer + "c.account_id = $1": "customers_pkey",
	selectCustomer + "c.cpf_hash = $1":   "customers_cpf_hash_key",
	selectClosed:                         "accounts_closed",
	selectStatement + " AND seq < 3 ORDER BY seq DESC LIMIT 20": "movements_account_id_seq_key",
}

// DuplicateRequests lets a test see how a database runs it.
const DuplicateRequests = duplicateRequests
