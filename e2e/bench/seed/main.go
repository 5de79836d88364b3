// Command seed fills the empty, migrated PostgreSQL databases of the three services with customers who have paid each
// other: 10 movements, 3 transfers and 3 fees per account. What it makes keeps every invariant, so `verify` and
// measurements can run on it.
//
//	ACCOUNT_DATABASE_URL=… TRANSFER_DATABASE_URL=… FEE_DATABASE_URL=… go run ./e2e/bench/seed -accounts 1000000
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

//go:embed functions.sql
var functions string

//go:embed account.sql
var account string

//go:embed transfer.sql
var transfer string

//go:embed fee.sql
var fee string

// portion is how many accounts one statement adds.
const portion = 50_000

func main() {
	accounts := flag.Int("accounts", 1000, "number of accounts, at least 4")
	flag.Parse()
	if *accounts < 4 {
		fmt.Fprintln(os.Stderr, "at least 4 accounts")
		os.Exit(2)
	}
	ctx := context.Background()
	err := errors.Join(
		fill(ctx, "ACCOUNT_DATABASE_URL", account, *accounts),
		fill(ctx, "TRANSFER_DATABASE_URL", transfer, *accounts),
		fill(ctx, "FEE_DATABASE_URL", fee, *accounts),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func fill(ctx context.Context, variable, statement string, accounts int) error {
	began := time.Now()
	conn, err := pgx.Connect(ctx, os.Getenv(variable))
	if err != nil {
		return fmt.Errorf("%s: %w", variable, err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "SET synchronous_commit = off; SET statement_timeout = 0;"+functions); err != nil {
		return fmt.Errorf("%s: %w", variable, err)
	}
	for first := 1; first <= accounts; first += portion {
		if _, err := conn.Exec(ctx, statement, first, min(first+portion-1, accounts), accounts); err != nil {
			return fmt.Errorf("%s, accounts from %d: %w", variable, first, err)
		}
	}
	if _, err := conn.Exec(ctx, "VACUUM ANALYZE"); err != nil {
		return fmt.Errorf("%s: %w", variable, err)
	}
	fmt.Printf("%s: %d accounts in %s\n", variable, accounts, time.Since(began).Round(time.Second))
	return nil
}
