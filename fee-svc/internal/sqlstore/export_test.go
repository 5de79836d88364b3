package sqlstore

// Statements that a test lets a database explain.
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
