package sqlstore

import (
	"context"
	"database/sql"

	"github.com/go-json-experiment/json"

	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// SQLite takes a list as one parameter in JSON, PostgreSQL as an array.
const (
	standingsSQLite = `SELECT number, id, deactivated_at IS NULL, balance, version FROM accounts
		WHERE number IN (SELECT value FROM json_each($1))`
	decidedSQLite = `SELECT request_key FROM movements WHERE request_key IN (SELECT value FROM json_each($1))
		UNION ALL SELECT request_key FROM refusals WHERE request_key IN (SELECT value FROM json_each($1))`
	standingsPostgres = "SELECT number, id, deactivated_at IS NULL, balance, version FROM accounts WHERE number = ANY($1)"
	decidedPostgres   = `SELECT request_key FROM movements WHERE request_key = ANY($1)
		UNION ALL SELECT request_key FROM refusals WHERE request_key = ANY($1)`
)

// Standings implements ledger.Store: two statements, whatever the number of accounts and keys.
func (s *Store) Standings(ctx context.Context, numbers, keys []string) (map[string]ledger.Account, map[string]bool, error) {
	accounts, decided := map[string]ledger.Account{}, map[string]bool{}
	selectStandings, selectDecided := standingsSQLite, decidedSQLite
	if s.db.Pipelined() {
		selectStandings, selectDecided = standingsPostgres, decidedPostgres
	}
	err := s.each(ctx, selectStandings, numbers, func(rows *sql.Rows) error {
		var a ledger.Account
		err := rows.Scan(&a.Number, &a.ID, &a.Active, &a.Balance, &a.Version)
		accounts[a.Number] = a
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	err = s.each(ctx, selectDecided, keys, func(rows *sql.Rows) error {
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
func (s *Store) each(ctx context.Context, query string, list []string, row func(*sql.Rows) error) error {
	if len(list) == 0 {
		return nil
	}
	var parameter any = list
	if !s.db.Pipelined() {
		text, err := json.Marshal(list)
		if err != nil {
			return err
		}
		parameter = string(text)
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
