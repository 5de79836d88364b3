package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore/portable"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// Apply implements ledger.Store in three round trips, whatever the number of commands: lock and load, write, commit.
func (s *Store) Apply(ctx context.Context, commands []ledger.Command, decide func(ledger.State) ledger.Effects) error {
	return s.db.InPipeline(ctx, func(p *sqldb.Pipeline) error {
		state := ledger.State{Accounts: map[string]*ledger.Account{}, Decisions: map[string]ledger.Decision{}}
		load := p.Batch()
		queueLoad(load, commands, state)
		if err := p.Send(ctx, load); err != nil {
			return fmt.Errorf("loading accounts and decisions: %w", err)
		}
		write := p.Batch()
		queueWrite(write, decide(state))
		if write.Len() == 0 {
			return nil
		}
		if err := p.Send(ctx, write); err != nil {
			return fmt.Errorf("writing movements: %w", err)
		}
		return nil
	})
}

const (
	selectAccounts  = "SELECT id, number, deactivated_at IS NULL, balance, version, in_transit FROM accounts WHERE number = ANY($1)"
	selectDecisions = `SELECT request_key, fingerprint, '' FROM movements WHERE request_key = ANY($1)
		UNION ALL SELECT request_key, fingerprint, type FROM refusals WHERE request_key = ANY($1)`
)

// queueLoad adds statements that first lock what the commands change, and then read the decisions. Each statement sees what
// was committed before it began, so what a transaction reads under its locks stays true until its commit. All transactions
// take the locks in the same order. A counterparty does not change and is only read: if it is closed at the same moment, the
// debit counts as the earlier of the two.
func queueLoad(load *pgx.Batch, commands []ledger.Command, into ledger.State) {
	moving, counterparties, keys, chosen := set{}, set{}, set{}, set{}
	for _, c := range commands {
		moving.add(c.AccountNumber)
		counterparties.add(c.Counterparty)
		keys.add(c.RequestKey)
		if c.TransferID == "" {
			chosen.add(c.RequestKey)
		}
	}
	for number := range moving {
		delete(counterparties, number)
	}
	// A transfer's key always comes with the same account, so the lock on the account's row is enough. A key that a
	// customer chose may come with several accounts at once, so it needs an advisory lock. Only such keys take one, since
	// the server's table of locks is small.
	if len(chosen) > 0 {
		load.Queue(`SELECT pg_advisory_xact_lock(hash) FROM (
			SELECT DISTINCT hashtextextended(key, 0) AS hash FROM unnest($1::text[]) AS key ORDER BY hash) AS hashes`, chosen.list())
	}
	account := func(rows pgx.Rows) error {
		var a ledger.Account
		_, err := pgx.ForEachRow(rows, []any{&a.ID, &a.Number, &a.Active, &a.Balance, &a.Version, &a.InTransit}, func() error {
			loaded := a
			into.Accounts[a.Number] = &loaded
			return nil
		})
		return err
	}
	load.Queue(selectAccounts+" ORDER BY id FOR NO KEY UPDATE", moving.list()).Query(account)
	if len(counterparties) > 0 {
		load.Queue(selectAccounts, counterparties.list()).Query(account)
	}
	load.Queue(selectDecisions, keys.list()).
		Query(func(rows pgx.Rows) error {
			var key string
			var d ledger.Decision
			_, err := pgx.ForEachRow(rows, []any{&key, &d.Fingerprint, &d.Refusal}, func() error {
				into.Decisions[key] = d
				return nil
			})
			return err
		})
}

// set collects texts that are not empty, each once.
type set map[string]struct{}

func (s set) add(text string) {
	if text != "" {
		s[text] = struct{}{}
	}
}

func (s set) list() []string { return slices.Collect(maps.Keys(s)) }

// queueWrite adds one statement per table, with an array per column. The UPDATE repeats by = ANY what its join says: otherwise
// PostgreSQL could read a whole index to join it (docs/adr/0039).
func queueWrite(write *pgx.Batch, e ledger.Effects) {
	if len(e.Movements) > 0 {
		rows := make([][]any, len(e.Movements))
		for i, m := range e.Movements {
			rows[i] = portable.MovementValues(m)
		}
		write.Queue("INSERT INTO movements ("+portable.InsertedColumns+`)
			SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[], $8::text[],
				$9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bigint[], $15::text[], $16::text[])`, sqldb.Columns(rows)...)
	}
	if len(e.Refused) > 0 {
		rows, now := [][]any{}, sqldb.Micros(time.Now())
		for key, d := range e.Refused {
			rows = append(rows, []any{key, d.Fingerprint, d.Refusal, now})
		}
		write.Queue(`INSERT INTO refusals (request_key, fingerprint, type, created_at)
			SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])`, sqldb.Columns(rows)...)
	}
	if len(e.Accounts) > 0 {
		rows := make([][]any, len(e.Accounts))
		for i, change := range e.Accounts {
			rows[i] = []any{change.ID, change.Balance, change.Version, change.InTransit, change.Was}
		}
		write.Queue(`UPDATE accounts SET balance = change.balance, version = change.version, in_transit = change.in_transit
			FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS change (id, balance, version, in_transit, was)
			WHERE accounts.id = ANY($1) AND accounts.id = change.id AND accounts.version = change.was`, sqldb.Columns(rows)...).
			Exec(func(tag pgconn.CommandTag) error {
				if tag.RowsAffected() != int64(len(e.Accounts)) {
					return portable.ErrStale
				}
				return nil
			})
	}
}
