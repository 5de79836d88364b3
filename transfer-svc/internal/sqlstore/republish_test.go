package sqlstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore"
)

// openTwice returns a new store, and its database opened for reading only.
func openTwice(t *testing.T, engine sqldbtest.Engine) (s store, looking *sqldb.DB) {
	t.Helper()
	url := engine.URL(t)
	db := sqldbtest.Reopen(t, url)
	if err := db.Migrate(t.Context(), sqlstore.Migrations()); err != nil {
		t.Fatal(err)
	}
	return store{sqlstore.New(db), db}, sqldbtest.Look(t, url)
}

// Republish adds one event, equal to that of transfer-svc, for each transfer that was completed since, and no other event.
func TestRepublish(t *testing.T) { sqldbtest.Each(t, testRepublish) }

func testRepublish(t *testing.T, engine sqldbtest.Engine) {
	s, looking := openTwice(t, engine)
	transfer := func(id, state string, completed int64) string {
		at, failure, lease := "NULL", "NULL", "NULL"
		switch state {
		case "COMPLETED":
			at = fmt.Sprint(completed)
		case "FAILED":
			failure = "'X'"
		default:
			lease = "0"
		}
		return fmt.Sprintf("INSERT INTO transfers VALUES ('%s', 'r%s', 'f', 'a', '11', '22', 1050, '%s', %s, %s, 0, 0, %s, %s, 0);",
			id, id, state, failure, failure, at, lease)
	}
	var all strings.Builder
	const many = 1234
	for i := range many {
		all.WriteString(transfer(fmt.Sprintf("t%05d", i), "COMPLETED", 2_000_000))
	}
	all.WriteString(transfer("u1", "COMPLETED", 1_999_999) + transfer("u2", "FAILED", 0) + transfer("u3", "PENDING", 0))
	all.WriteString("INSERT INTO outbox (id, topic, partition_key, payload, created_at, claimed_until) VALUES ('t00007', 'waits', 'k', 'p', 0, 0)")
	if err := s.exec(t.Context(), all.String()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{many - 1, 0} {
		if n, err := s.Republish(t.Context(), looking, sqldb.Time(2_000_000)); err != nil || n != want {
			t.Errorf("%d, %v, want %d", n, err, want)
		}
	}
	var rows, as int
	err := s.db.Read().QueryRowContext(t.Context(), `SELECT count(*), count(CASE WHEN topic = 'transfers-completed' AND partition_key = '11' AND id LIKE 't0%' THEN 1 END)
		FROM outbox`).Scan(&rows, &as)
	if err != nil || rows != many || as != many-1 {
		t.Errorf("%d rows, %d events, %v", rows, as, err)
	}
	var payload string
	if err := s.db.Read().QueryRowContext(t.Context(), "SELECT payload FROM outbox WHERE id = 't00003'").Scan(&payload); err != nil {
		t.Fatal(err)
	}
	want := `{"id":"t00003","request_id":"rt00003","origin_account_number":"11","destination_account_number":"22","amount":"10.50",` +
		`"completed_at":"` + time.Unix(2, 0).UTC().Format(time.RFC3339) + `"}`
	if payload != want {
		t.Errorf("got  %s\nwant %s", payload, want)
	}
}

// After a long outage the outbox is long. A query that searched it once for each transfer ran into PostgreSQL's statement
// timeout.
func TestRepublishWithALongOutbox(t *testing.T) { sqldbtest.Each(t, testRepublishWithALongOutbox) }

func testRepublishWithALongOutbox(t *testing.T, engine sqldbtest.Engine) {
	s, looking := openTwice(t, engine)
	err := s.exec(t.Context(), `WITH RECURSIVE n(i) AS (SELECT 1000001 UNION ALL SELECT i + 1 FROM n WHERE i < 1200000)
		INSERT INTO outbox (id, topic, partition_key, payload, created_at, claimed_until) SELECT 'an event that waits, number ' || i, 't', 'k', '', 0, 0 FROM n;
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
		INSERT INTO transfers SELECT 't' || i, 'r' || i, 'f', 'a', '11', '22', 1050, 'COMPLETED', NULL, NULL, 0, 0, 1, NULL, 0 FROM n;
		ANALYZE`) // so that the planner knows the sizes
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Republish(t.Context(), looking, sqldb.Time(0)); err != nil || n != 1000 {
		t.Errorf("%d, %v, want 1000", n, err)
	}
}

// The error holds the cause, without the message for customers.
func TestRepublishFails(t *testing.T) {
	s, looking := openTwice(t, sqldbtest.SQLite)
	if err := s.exec(t.Context(), `DROP TABLE outbox;
		INSERT INTO transfers VALUES ('t', 'r', 'f', 'a', '11', '22', 1050, 'COMPLETED', NULL, NULL, 0, 0, 1, NULL, 0)`); err != nil {
		t.Fatal(err)
	}
	n, err := s.Republish(t.Context(), looking, sqldb.Time(0))
	if f := new(fault.Error); err == nil || n != 0 || errors.As(err, &f) {
		t.Errorf("%d, %v", n, err)
	}
}
