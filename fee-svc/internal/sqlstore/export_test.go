package sqlstore

// Statements whose query plans the tests check.
const (
	UpdateSettled      = updateSettled
	UpdateReleased     = updateReleased
	SelectBacklog      = selectBacklog
	SelectDue          = selectDue
	SelectDebtors      = selectDebtors
	SelectOwed         = selectOwed
	SelectOwedPostgres = selectOwedPostgres
	OwesNothing        = owesNothing
)
