package sqldb

// Among returns the condition that the value before it is one of those that a query returns. On PostgreSQL the rows that meet it
// are looked up in the value's index, one by one. After IN, PostgreSQL could join the whole table or index with the query,
// since it does not know how few rows the query returns (docs/adr/0039).
func (db *DB) Among(query string) string { return db.engine.among(query) }
