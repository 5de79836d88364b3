package books

// What the tests see of this package.
const (
	SelectTransfers = selectTransfers
	SelectLegs      = selectLegs
	SelectFees      = selectFees
)

// Laws returns the names of all laws.
func Laws() []string { return append([]string{restLaw}, laws...) }
