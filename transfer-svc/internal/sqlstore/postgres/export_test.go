package postgres

// Statements whose query plans the tests check.
var (
	ReleaseLeases = releaseLeases
	SelectPresent = selectPresent
)
