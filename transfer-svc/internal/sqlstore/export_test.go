package sqlstore

// Let tests see how the database answers them.
const (
	SelectList    = selectList
	ReleaseLeases = releaseLeases
	RequestsTwice = requestsTwice
	AnyOverdue    = anyOverdue
)
