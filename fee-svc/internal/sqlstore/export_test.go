package sqlstore

// UpdateSettled and SelectBacklog let a test see how a database runs them.
const (
	UpdateSettled = updateSettled
	SelectBacklog = selectBacklog
)
