package sqlstore

// Statements whose query plans the tests check.
const (
	SelectList    = selectList
	ReleaseLeases = releaseLeases
	RequestsTwice = requestsTwice
	AnyOverdue    = anyOverdue
)
