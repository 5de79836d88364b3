package portable

import (
	"context"
	"database/sql"

	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// SelectStandings returns the query for the accounts whose numbers are in a list.
func (l Lists) SelectStandings() string {
	return "SELECT number, id, deactivated_at IS NULL, balance, version FROM accounts WHERE number " + l.Contains
}

// SelectDecided returns the query for those keys of a list that the ledger has decided.
func (l Lists) SelectDecided() string {
	return "SELECT request_key FROM movements WHERE request_key " + l.Contains +
		" UNION ALL SELECT request_key FROM refusals WHERE request_key " + l.Contains
}

// Standings implements ledger.Store: two statements, whatever the number of accounts and keys.
func (s Store) Standings(ctx context.Context, numbers, keys []string) (map[string]ledger.Account, map[string]bool, error) {
	accounts, decided := map[string]ledger.Account{}, map[string]bool{}
	err := s.each(ctx, s.lists.SelectStandings(), numbers, func(rows *sql.Rows) error {
		var a ledger.Account
		err := rows.Scan(&a.Number, &a.ID, &a.Active, &a.Balance, &a.Version)
		accounts[a.Number] = a
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	err = s.each(ctx, s.lists.SelectDecided(), keys, func(rows *sql.Rows) error {
		var key string
		err := rows.Scan(&key)
		decided[key] = true
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return accounts, decided, nil
}

// each calls row for each row of a query whose only parameter is a list. It runs no query for an empty list.
func (s Store) each(ctx context.Context, query string, list []string, row func(*sql.Rows) error) error {
	if len(list) == 0 {
		return nil
	}
	parameter, err := s.lists.Parameter(list)
	if err != nil {
		return err
	}
	rows, err := s.db.Read().QueryContext(ctx, query, parameter)
	if err != nil {
		return sqldb.Away(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return sqldb.Away(err)
		}
	}
	return sqldb.Away(rows.Err())
}
