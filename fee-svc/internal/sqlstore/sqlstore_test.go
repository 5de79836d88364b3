package sqlstore_test

import (
	"bytes"
	"context"
	"database/sql"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/bankmore/bankmore/fee-svc/feeapi"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/fee-svc/internal/groupcommit"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore/portable"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore/storetest"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

type store struct {
	sqlstore.Store
	db *sqldb.DB
}

// SetClock implements storetest.Store.
func (s store) SetClock(clock func() time.Time) { s.db.SetClock(clock) }

// Events implements storetest.Store. It checks how the events are addressed.
func (s store) Events(t *testing.T) (events []feeapi.Charged) {
	t.Helper()
	rows, err := s.db.Read().QueryContext(t.Context(), "SELECT id, topic, partition_key, payload FROM outbox ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, topic, key, payload string
		if err := rows.Scan(&id, &topic, &key, &payload); err != nil {
			t.Fatal(err)
		}
		var event feeapi.Charged
		if err := json.Unmarshal([]byte(payload), &event, json.RejectUnknownMembers(true)); err != nil {
			t.Fatalf("%s: %v", payload, err)
		}
		if id != event.ID || topic != feeapi.TopicCharged || key != event.AccountNumber {
			t.Errorf("event %s for topic %s with key %s: %s", id, topic, key, payload)
		}
		events = append(events, event)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return events
}

func TestStore(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, engine sqldbtest.Engine) {
		storetest.Run(t, func(t *testing.T) storetest.Store {
			db := engine.Open(t, sqlstore.Migrations())
			return store{sqlstore.New(db), db}
		})
	})
}

func TestStoreAfterTheNextMigration(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, engine sqldbtest.Engine) {
		storetest.Run(t, func(t *testing.T) storetest.Store {
			db := engine.OpenExpanded(t, sqlstore.Migrations())
			return store{sqlstore.New(db), db}
		})
	})
}

// The schema refuses changes that the code must never make.
func TestSchemaRefuses(t *testing.T) { sqldbtest.Each(t, testSchemaRefuses) }

func testSchemaRefuses(t *testing.T, engine sqldbtest.Engine) {
	db := engine.Open(t, sqlstore.Migrations())
	seed(t, db)
	const insert = `INSERT INTO fees (id, transfer_id, account_number, amount, status, reason, created_at, charged_at, due_at)
		VALUES ('f3', 't3', '18', 200, 'PENDING', '', 0, NULL, 0)`
	for name, statement := range map[string]string{
		"a second fee for a transfer":       strings.Replace(insert, "'t3'", "'t1'", 1),
		"a negative amount":                 strings.Replace(insert, "200", "-1", 1),
		"a pending fee of nothing":          strings.Replace(insert, "200", "0", 1),
		"an unknown status":                 strings.Replace(insert, "'PENDING'", "'LOST'", 1),
		"a pending fee with a charge time":  strings.Replace(insert, "NULL", "5", 1),
		"a charged fee without charge time": strings.Replace(insert, "'PENDING'", "'CHARGED'", 1),
		"a waived fee without reason":       strings.Replace(insert, "'PENDING'", "'WAIVED'", 1),
		"a change of a charged fee":         "UPDATE fees SET amount = 1 WHERE id = 'f1'",
		"a charge taken back":               "UPDATE fees SET status = 'PENDING', charged_at = NULL WHERE id = 'f1'",
		"a deleted fee":                     "DELETE FROM fees WHERE id = 'f2'",
		"attempt zero":                      "UPDATE fees SET attempt = 0 WHERE id = 'f2'",
	} {
		if err := exec(t.Context(), db, statement); err == nil {
			t.Errorf("the schema accepts %s", name)
		}
	}
	if err := exec(t.Context(), db, insert); err != nil {
		t.Errorf("the control statement fails: %v", err)
	}
}

// Each invariant of verify finds its violation, and each has one.
func TestVerifyFinds(t *testing.T) { sqldbtest.Each(t, testVerifyFinds) }

func testVerifyFinds(t *testing.T, engine sqldbtest.Engine) {
	var violated sqldbtest.Violated
	defer func() { violated.WantAll(t) }()
	for name, statement := range map[string]string{
		"a transfer has one fee": `
			DROP VIEW books_fees; CREATE TABLE copy AS SELECT * FROM fees; DROP TABLE fees; ALTER TABLE copy RENAME TO fees;
			INSERT INTO fees SELECT * FROM fees WHERE id = 'f1'`,
		"no amount is negative":                   "UPDATE fees SET amount = -1 WHERE id = 'f1'",
		"no amount is negative, and none is zero": "UPDATE fees SET amount = 0 WHERE id = 'f1'",
		"a fee has a time of charging":            "UPDATE fees SET charged_at = NULL WHERE id = 'f1'",
		"a fee has a time of charging exactly":    "UPDATE fees SET charged_at = 1 WHERE id = 'f2'",
		"a waived fee has a reason":               "UPDATE fees SET status = 'WAIVED' WHERE id = 'f2'",
		"no fee stays pending unless it waits for balance": `
			UPDATE fees SET created_at = created_at - 600000001 WHERE id = 'f2'; UPDATE debtors SET claimed_until = due_at + 15000000`, // claimed just now
		"no fee stays pending unless it waits for balance: fee f2": `
			UPDATE fees SET created_at = created_at - 600000001 WHERE id = 'f2'; DELETE FROM debtors`,
		"no fee stays pending unless it waits for balance: fee f2 is": "UPDATE fees SET created_at = created_at + 600000001 WHERE id = 'f2'",
		"an event waits only for a charged fee":                       "DELETE FROM fees WHERE id = 'f1'",
		"an event waits only for a charged fee of its":                "UPDATE fees SET status = 'PENDING', charged_at = NULL WHERE id = 'f1'",
		"an event waits only for a charged fee of its acco":           "UPDATE outbox SET topic = 'elsewhere'",
		"an event waits only for a charged fee of its account":        "UPDATE outbox SET partition_key = 'elsewhere'",
		"no fee's outcome stays unknown":                              "UPDATE fees SET unknowns = 101 WHERE id = 'f2'",
	} {
		t.Run(name, func(t *testing.T) {
			db := engine.Open(t, sqlstore.Migrations())
			seed(t, db)
			verify := func(out io.Writer) error { return sqlstore.New(db).Verify(t.Context(), out, 10*time.Minute) }
			var out bytes.Buffer
			if err := verify(&out); err != nil {
				t.Fatalf("before: %v\n%s", err, &out)
			}
			engine.Unguard(t, db)
			if err := exec(t.Context(), db, statement); err != nil {
				t.Fatal(err)
			}
			out.Reset()
			if err := verify(&out); err == nil || !strings.Contains(out.String(), "VIOLATION "+name) {
				t.Errorf("not found: %v\n%s", err, &out)
			}
			violated.Add(out.String())
		})
	}
}

// verify accepts a fee that waits for balance for any time, even if no collector runs: the system is stopped, or the database
// is a copy.
func TestVerifyLetsFeesWait(t *testing.T) { sqldbtest.Each(t, testVerifyLetsFeesWait) }

func testVerifyLetsFeesWait(t *testing.T, engine sqldbtest.Engine) {
	db := engine.Open(t, sqlstore.Migrations())
	seed(t, db)
	err := exec(t.Context(), db, "UPDATE fees SET created_at = 0 WHERE id = 'f2'; UPDATE debtors SET waits = TRUE")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := sqlstore.New(db).Verify(t.Context(), &out, time.Minute); err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
}

// The queries of the queue and of the customer's list use their indexes.
func TestQueriesUseIndexes(t *testing.T) { sqldbtest.Each(t, testQueriesUseIndexes) }

func testQueriesUseIndexes(t *testing.T, engine sqldbtest.Engine) {
	db := engine.Open(t, sqlstore.Migrations())
	for query, index := range map[string]string{
		strings.Replace(portable.SelectDebtors(db.Now()), "$1", "10", 1):                        "debtors_due_at",
		"SELECT 1 FROM debtors WHERE account_number = '18' AND " + portable.OwesNothing:         "fees_owed",
		"SELECT * FROM fees WHERE account_number = '18' AND id < 'x' ORDER BY id DESC LIMIT 10": "fees_of_account",
		"SELECT * FROM fees WHERE account_number = '18' ORDER BY id DESC LIMIT 10":              "fees_of_account",
		portable.SelectBacklog(db.Now()):                                                        "fees_due|fees_owed",
	} {
		plan := engine.Plan(t, db, query)
		if !slices.ContainsFunc(strings.Split(index, "|"), func(name string) bool { return strings.Contains(plan, name) }) {
			t.Errorf("%s\n%s", query, plan)
		}
	}
}

func TestMigratingTwiceChangesNothing(t *testing.T) { sqldbtest.Each(t, testMigratingTwice) }

func testMigratingTwice(t *testing.T, engine sqldbtest.Engine) {
	db := engine.Open(t, sqlstore.Migrations())
	seed(t, db)
	if err := db.Migrate(t.Context(), sqlstore.Migrations()); err != nil {
		t.Fatal(err)
	}
	if got, err := sqlstore.New(db).Get(t.Context(), "f1"); err != nil || got.Status != fee.Charged {
		t.Errorf("%+v, %v", got, err)
	}
}

// seed adds a charged fee f1, whose event is waiting, and a pending one f2. It stops the database's clock.
func seed(t *testing.T, db *sqldb.DB) {
	t.Helper()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	db.SetClock(func() time.Time { return now })
	store := sqlstore.New(db)
	_, err := store.Add(t.Context(), []fee.Fee{
		{ID: "f1", TransferID: "t1", AccountNumber: "18", Amount: 200, Status: fee.Pending},
		{ID: "f2", TransferID: "t2", AccountNumber: "18", Amount: 200, Status: fee.Pending},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Settle(t.Context(), []fee.Settlement{{ID: "f1", Attempt: 1, Status: fee.Charged, Next: 1}}, nil); err != nil {
		t.Fatal(err)
	}
}

func exec(ctx context.Context, db *sqldb.DB, statement string) error {
	return db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, statement)
		return err
	})
}

// If the database refuses one fee of a batch, or another session has locked its transfer's key, only that fee fails.
func TestOneBadFeeFailsAlone(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, engine sqldbtest.Engine) {
		db := engine.Open(t, sqlstore.Migrations())
		commits := groupcommit.New(sqlstore.New(db))
		t.Cleanup(commits.Close)
		fees := fee.New(commits, fee.Config{Amount: 200}, service.NewBell())
		names, accounts := make([]string, 42), map[string]string{}
		for i := range names {
			names[i] = uuid.Must(uuid.NewV7()).String()
			accounts[names[i]] = strconv.Itoa(i / 2) // the bad one shares its account
		}
		locked := names[len(names)-1]
		accounts[locked] = "99"
		engine.FailsAlone(t, db, sqldbtest.Joined{
			Table: "fees", Column: "transfer_id", Names: names[:41], Locked: locked,
			Do: func(ctx context.Context, name string) error {
				_, errs := fees.Record(ctx, []fee.Transfer{{ID: name, AccountNumber: accounts[name], Amount: 100}})
				return errs[0]
			},
			// Another session has begun to record a fee of that transfer.
			Lock: `INSERT INTO fees (id, transfer_id, account_number, amount, status, reason, created_at, due_at)
				VALUES ('x', $1, '99', 200, 'PENDING', '', 0, 0)`,
			Args: []any{locked},
		})
	})
}
