package postgres

// Statements whose query plans the tests check.
var (
	UpdateSettled  = updateSettled
	UpdateReleased = updateReleased
)

// SelectOwed is one more.
const SelectOwed = selectOwed
