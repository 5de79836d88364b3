package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// What a database refuses for one row's sake may be tried again without that row. What is wrong with the database itself,
// or with the caller, is wrong for every row.
func TestDivisible(t *testing.T) { sqldbtest.Each(t, testDivisible) }

func testDivisible(t *testing.T, engine sqldbtest.Engine) {
	db := engine.Open(t, migrations)
	ended, end := context.WithCancel(t.Context())
	end()
	for name, test := range map[string]struct {
		ctx       context.Context //nolint:containedctx // one per case
		statement string
		divisible bool
	}{
		"a check":            {t.Context(), "INSERT INTO children (id, parent, amount) VALUES ('c', 'first', -1)", true},
		"a unique key":       {t.Context(), "INSERT INTO parents (id) VALUES ('first')", true},
		"no such table":      {t.Context(), "INSERT INTO strangers (id) VALUES ('x')", false},
		"an ended context":   {ended, "INSERT INTO parents (id) VALUES ('x')", false},
		"at COMMIT, for all": {t.Context(), "INSERT INTO children (id, parent) VALUES ('c', 'nobody')", false},
	} {
		err := db.InTx(test.ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(test.ctx, test.statement)
			return err
		})
		if err == nil || fault.IsDivisible(err) != test.divisible || fault.From(err).Kind != fault.Unavailable {
			t.Errorf("%s: %v, divisible: %t", name, err, fault.IsDivisible(err))
		}
	}
	own := errors.New("the caller's own")
	if err := db.InTx(t.Context(), func(*sql.Tx) error { return own }); !errors.Is(err, own) || fault.IsDivisible(err) {
		t.Errorf("the caller's own error: %v", err)
	}
}
