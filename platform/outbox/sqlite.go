package outbox

import (
	"slices"

	"github.com/bankmore/bankmore/platform/sqldb"
)

// sqlite has one placeholder per value. It locks no rows: SQLite has one write transaction at a time.
var sqlite = engine{
	inserts: func(now string, rows [][]any) (inserts []insert) {
		for chunk := range slices.Chunk(rows, sqldb.SQLiteMaxRows) {
			inserts = append(inserts, insert{
				"WITH message (" + messageColumns + ") AS (VALUES " + sqldb.SQLiteRows(len(chunk), messageWidth) + ") " + insertFrom(now) + "message",
				slices.Concat(chunk...),
			})
		}
		return inserts
	},
	isOneOf: func(ids []string) (condition string, args []any) {
		for _, id := range ids {
			args = append(args, id)
		}
		return "IN " + sqldb.SQLiteRows(1, len(ids)), args
	},
}
