package sqlstore_test

import (
	"bytes"
	"context"
	"database/sql"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/groupcommit"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore/portable"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore/storetest"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

func TestStore(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, engine sqldbtest.Engine) {
		storetest.Run(t, func(t *testing.T) storetest.Store { return sqlstore.New(engine.Open(t, sqlstore.Migrations())) })
	})
}

func TestStoreAfterTheNextMigration(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, engine sqldbtest.Engine) {
		storetest.Run(t, func(t *testing.T) storetest.Store {
			return sqlstore.New(engine.OpenExpanded(t, sqlstore.Migrations()))
		})
	})
}

// The schema refuses what the code never does.
func TestSchemaRefuses(t *testing.T) { sqldbtest.Each(t, testSchemaRefuses) }

func testSchemaRefuses(t *testing.T, engine sqldbtest.Engine) {
	db := engine.Open(t, sqlstore.Migrations())
	seed(t, db)
	const movement = "INSERT INTO movements VALUES ('m2', 'k2', 'f', 'a', 2, 'C', 1, 'cash', 'deposit', '', '', '', 1001, 0, NULL, NULL)"
	for name, statement := range map[string]string{
		"a negative balance":             "UPDATE accounts SET balance = -1",
		"a changed movement":             "UPDATE movements SET amount = 2",
		"a deleted movement":             "DELETE FROM movements",
		"a second movement for a key":    strings.Replace(movement, "'k2'", "'k1'", 1),
		"a second movement with a seq":   strings.Replace(movement, "'a', 2", "'a', 1", 1),
		"a movement of nothing":          strings.Replace(movement, "'C', 1", "'C', 0", 1),
		"a movement of another type":     strings.Replace(movement, "'C'", "'X'", 1),
		"a movement of no kind":          strings.Replace(movement, "'deposit'", "'gift'", 1),
		"a movement against nothing":     strings.Replace(movement, "'cash'", "'gift'", 1),
		"a movement of nobody":           strings.Replace(movement, "'a'", "'nobody'", 1),
		"a second customer with a CPF":   "INSERT INTO customers VALUES ('b', 'B', 'cpf', '', '', 0)",
		"a second account with a number": "INSERT INTO accounts (id, number) SELECT 'a', '11'",
	} {
		if err := exec(t.Context(), db, statement); err == nil {
			t.Errorf("the schema accepts %s", name)
		}
	}
	if err := exec(t.Context(), db, movement); err != nil {
		t.Errorf("the control statement fails: %v", err)
	}
}

// Each invariant of verify finds its violation, and each has one.
func TestVerifyFinds(t *testing.T) { sqldbtest.Each(t, testVerifyFinds) }

func testVerifyFinds(t *testing.T, engine sqldbtest.Engine) {
	var violated sqldbtest.Violated
	defer func() { violated.WantAll(t) }()
	for name, statement := range map[string]string{
		"balance is the sum of the movements":  "UPDATE accounts SET balance = 999",
		"no balance is negative":               "UPDATE accounts SET balance = -1",
		"movements are numbered without a gap": "UPDATE movements SET seq = 2",
		"movements are numbered without a gap: account 11 has version 2 and 1 movements up to 1": "UPDATE accounts SET version = 2",
		"movements are numbered without a gap: account 11 has version 3 and 3 movements up to 3": withoutKeys + `
			INSERT INTO movements VALUES ('m2', 'k2', 'f', 'a', 1, 'C', 1, 'cash', 'deposit', '', '', '', 1001, 0, NULL, NULL),
				('m3', 'k3', 'f', 'a', 3, 'C', 1, 'cash', 'deposit', '', '', '', 1002, 0, NULL, NULL);
			UPDATE accounts SET version = 3, balance = 1002`,
		"a request moves money once: request k1 has 2 movements": withoutKeys + `
			INSERT INTO movements VALUES ('m2', 'k1', 'f', 'a', 2, 'C', 1000, 'cash', 'deposit', '', '', '', 2000, 0, NULL, NULL);
			UPDATE accounts SET version = 2, balance = 2000`,
		"a movement has its account: 1 movements are of account b": withoutKeys + `
			INSERT INTO movements VALUES ('m2', 'k2', 'f', 'b', 1, 'C', 1000, 'cash', 'deposit', '', '', '', 1000, 0, NULL, NULL)`,
		"each movement continues the balance before it": "UPDATE movements SET balance_after = 7",
		"no movement leaves a negative balance":         "UPDATE movements SET balance_after = -1",
		"the kind decides contra and type":              "UPDATE movements SET contra = 'transit'",
		"a refused request moved nothing":               "INSERT INTO refusals VALUES ('k1', 'f', 'INSUFFICIENT_BALANCE', 0)",
		"a transfer is debited once":                    "UPDATE movements SET kind = 'transfer', contra = 'transit', transfer_id = 't'",
		"a transfer is debited once, then credited or refunded": `UPDATE movements SET type = 'D', kind = 'transfer', contra = 'transit', transfer_id = 't';
			INSERT INTO movements VALUES ('m2', 'k2', 'f', 'a', 2, 'C', 1000, 'transit', 'transfer', '', 't', '', 1000, 0, NULL, NULL),
				('m3', 'k3', 'f', 'a', 3, 'C', 1000, 'transit', 'refund', '', 't', '', 2000, 0, NULL, NULL)`,
		"a transfer is debited once, then credited": `UPDATE movements SET type = 'D', kind = 'transfer', contra = 'transit', transfer_id = 't';
			INSERT INTO movements VALUES ('m2', 'k2', 'f', 'a', 2, 'C', 999, 'transit', 'transfer', '', 't', '', 999, 0, NULL, NULL)`,
		"a transfer pays at most one fee": `UPDATE movements SET kind = 'fee', transfer_id = 't';
			INSERT INTO movements VALUES ('m2', 'k2', 'f', 'a', 2, 'D', 1, 'fee-revenue', 'fee', '', 't', '', 999, 0, NULL, NULL)`,
	} {
		t.Run(name, func(t *testing.T) {
			db := engine.Open(t, sqlstore.Migrations())
			seed(t, db)
			var out bytes.Buffer
			if err := sqlstore.New(db).Verify(t.Context(), &out, time.Minute); err != nil {
				t.Fatalf("before: %v\n%s", err, &out)
			}
			engine.Unguard(t, db)
			if err := exec(t.Context(), db, statement); err != nil {
				t.Fatal(err)
			}
			out.Reset()
			if err := sqlstore.New(db).Verify(t.Context(), &out, time.Minute); err == nil || !strings.Contains(out.String(), "VIOLATION "+name) {
				t.Errorf("not found: %v\n%s", err, &out)
			}
			violated.Add(out.String())
		})
	}
}

// Money on a closed account is no violation. verify names it for the operator as a warning.
func TestVerifyWarnsOfMoneyOnClosedAccounts(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, engine sqldbtest.Engine) {
		db := engine.Open(t, sqlstore.Migrations())
		seed(t, db)
		if err := exec(t.Context(), db, "UPDATE accounts SET deactivated_at = 1"); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := sqlstore.New(db).Verify(t.Context(), &out, time.Minute); err != nil {
			t.Error(err)
		}
		for _, want := range []string{"WARNING a closed account holds no money: account 11 holds 1000\n", " 0 violations, 1 warnings\n"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in:\n%s", want, &out)
			}
		}
	})
}

// verify does not sort the keys of millions of movements: it reads them from an index, in order.
func TestVerifySortsNoKeys(t *testing.T) {
	plan := sqldbtest.SQLite.Plan(t, sqldbtest.SQLite.Open(t, sqlstore.Migrations()), portable.DuplicateRequests)
	if !strings.Contains(plan, "USING COVERING INDEX") || strings.Contains(plan, "TEMP B-TREE") {
		t.Error(plan)
	}
}

func TestMigratingTwiceChangesNothing(t *testing.T) { sqldbtest.Each(t, testMigratingTwice) }

func testMigratingTwice(t *testing.T, engine sqldbtest.Engine) {
	db := engine.Open(t, sqlstore.Migrations())
	seed(t, db)
	if err := db.Migrate(t.Context(), sqlstore.Migrations()); err != nil {
		t.Fatal(err)
	}
	if got, err := sqlstore.New(db).Balance(t.Context(), "a"); err != nil || got.Balance != 1000 {
		t.Errorf("%+v, %v", got, err)
	}
}

// The debit of a transfer stores the customer's request, in case transfer-svc loses it. Other movements store none.
func TestDebitKeepsItsRequest(t *testing.T) { sqldbtest.Each(t, testDebitKeepsItsRequest) }

func testDebitKeepsItsRequest(t *testing.T, engine sqldbtest.Engine) {
	db := engine.Open(t, sqlstore.Migrations())
	seed(t, db)
	results, err := ledger.New(sqlstore.New(db)).Apply(t.Context(), []ledger.Command{
		{RequestKey: "t:fee", Fingerprint: "f", AccountNumber: "11", Type: ledger.Debit, Kind: ledger.Fee, Amount: 1, TransferID: "t",
			TransferRequestID: "pedido || ção", TransferFingerprint: "of the request"},
		{RequestKey: "k", Fingerprint: "f", AccountNumber: "11", Type: ledger.Debit, Kind: ledger.Withdrawal, Amount: 1},
	})
	if err != nil || results[0] != (ledger.Result{}) || results[1] != (ledger.Result{}) {
		t.Fatalf("%+v, %v", results, err)
	}
	for key, want := range map[string]string{"t:fee": "pedido || ção/of the request", "k": "nothing"} {
		var got string
		err := db.Read().QueryRowContext(t.Context(), `SELECT coalesce(transfer_request_id || '/' || transfer_fingerprint, 'nothing')
			FROM movements WHERE request_key = $1`, key).Scan(&got)
		if err != nil || got != want {
			t.Errorf("%s has %q, want %q (%v)", key, got, want, err)
		}
	}
}

// withoutKeys drops the UNIQUE keys of movements, which Unguard leaves and which keep violations out.
const withoutKeys = "DROP VIEW books_movements; CREATE TABLE copy AS SELECT * FROM movements; DROP TABLE movements; ALTER TABLE copy RENAME TO movements;"

// seed adds account 11 with one deposit of 10.00.
func seed(t *testing.T, db *sqldb.DB) {
	t.Helper()
	err := sqlstore.New(db).Register(t.Context(), customer.Registration{
		Customer: customer.Customer{AccountID: "a", Number: "11", Name: "Ana"}, CPFHash: "cpf", CreatedAt: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	err = exec(t.Context(), db, `
		INSERT INTO movements VALUES ('m1', 'k1', 'f', 'a', 1, 'C', 1000, 'cash', 'deposit', '', '', '', 1000, 0, NULL, NULL);
		UPDATE accounts SET balance = 1000, version = 1`)
	if err != nil {
		t.Fatal(err)
	}
}

func exec(ctx context.Context, db *sqldb.DB, statement string) error {
	return db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, statement)
		return err
	})
}

// A command that the database refuses, or whose account another session has locked, fails alone. A command whose Then needs
// that account is done in time.
func TestOneBadCommandFailsAlone(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, engine sqldbtest.Engine) {
		db := engine.Open(t, sqlstore.Migrations())
		store := sqlstore.New(db)
		book := groupcommit.New(ledger.New(store))
		t.Cleanup(book.Close)
		names, numbers := []string{"bad"}, map[string]string{"bad": "0"} // the bad one shares its account with others
		for i := range 40 {
			name := "command " + strconv.Itoa(i)
			names, numbers[name] = append(names, name), strconv.Itoa(i%8)
		}
		numbers["locked"] = "99"
		thens := map[string]string{"locked": "3"} // the accounts of some commands' Thens
		for i := range 24 {
			name := "pair " + strconv.Itoa(i)
			names, numbers[name], thens[name] = append(names, name), strconv.Itoa(i%8), strconv.Itoa((i+1)%8)
			if i%3 == 0 {
				thens[name] = "99"
			}
		}
		for _, number := range slices.Compact(slices.Sorted(maps.Values(numbers))) {
			err := store.Register(t.Context(), customer.Registration{
				Customer: customer.Customer{AccountID: "id-" + number, Number: number, Name: "Ana"}, CPFHash: number, CreatedAt: time.Now(),
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		engine.FailsAlone(t, db, sqldbtest.Joined{
			Table: "movements", Column: "request_key", Names: names, Locked: "locked",
			Do: func(ctx context.Context, name string) error {
				command := ledger.Command{
					RequestKey: name, Fingerprint: "f", AccountNumber: numbers[name], Type: ledger.Credit, Kind: ledger.Deposit, Amount: 1,
				}
				if number := thens[name]; number != "" {
					then := command
					then.RequestKey, then.AccountNumber = "then "+name, number
					command.Then = &then
				}
				_, err := ledger.ApplyOne(ctx, book, command)
				return err
			},
			Lock: "SELECT 1 FROM accounts WHERE number = '99' FOR UPDATE",
		})
	})
}
