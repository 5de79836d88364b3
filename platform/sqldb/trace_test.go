package sqldb_test

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"go.opentelemetry.io/otel/trace"

	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
	"github.com/bankmore/bankmore/platform/telemetry/telemetrytest"
)

// Statements of a recorded trace have spans, without the values of their placeholders. Other statements have none.
func TestStatementsAreTraced(t *testing.T) {
	const things = "-- +goose Up\nCREATE TABLE things (id TEXT PRIMARY KEY);\n"
	migrations := fstest.MapFS{"sqlite/00001_things.sql": {Data: []byte(things)}, "postgres/00001_things.sql": {Data: []byte(things)}}
	const value = "52998224725"
	for _, engine := range sqldbtest.Engines {
		t.Run(engine.Name, func(t *testing.T) {
			spans := telemetrytest.Record(t)
			db := engine.Open(t, migrations)
			use := func(ctx context.Context) {
				t.Helper()
				err := db.InTx(ctx, func(tx *sql.Tx) error {
					_, err := tx.ExecContext(ctx, "INSERT INTO things VALUES ($1)", value)
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				var n int
				if err := db.Read().QueryRowContext(ctx, "SELECT count(*) FROM things WHERE id = $1", value).Scan(&n); err != nil || n != 1 {
					t.Fatal(n, err)
				}
				if _, err := db.Exec(ctx, "DELETE FROM things WHERE id = $1", value); err != nil {
					t.Fatal(err)
				}
			}
			use(t.Context())
			if names := spans.Names(); len(names) != 0 {
				t.Errorf("spans of what nobody traces: %q", names)
			}
			ctx, caller := spans.Start("caller")
			use(ctx)
			for _, name := range []string{"INSERT", "SELECT", "DELETE"} {
				span := spans.One(name)
				if span.SpanContext().TraceID() != caller.SpanContext().TraceID() || span.SpanKind() != trace.SpanKindClient {
					t.Errorf("%s: trace %s, kind %s", name, span.SpanContext().TraceID(), span.SpanKind())
				}
				var texts []string
				for _, attribute := range span.Attributes() {
					texts = append(texts, attribute.Value.String())
				}
				if slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, value) }) {
					t.Errorf("%s tells of values: %q", name, texts)
				}
				if !slices.ContainsFunc(texts, func(text string) bool { return strings.HasPrefix(text, name+" ") }) {
					t.Errorf("%s does not tell of its statement: %q", name, texts)
				}
			}
		})
	}
}
