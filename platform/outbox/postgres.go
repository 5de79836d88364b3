package outbox

import "github.com/bankmore/bankmore/platform/sqldb"

// postgres passes rows and ids as arrays.
var postgres = engine{
	inserts: func(now string, rows [][]any) []insert {
		return []insert{{
			insertFrom(now) + "unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS message (" + messageColumns + ")",
			sqldb.Columns(rows),
		}}
	},
	isOneOf:    func(ids []string) (condition string, args []any) { return "= ANY($1)", []any{ids} },
	skipLocked: " FOR UPDATE SKIP LOCKED",
}
