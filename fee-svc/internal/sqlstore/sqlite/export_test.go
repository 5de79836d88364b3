package sqlite

// SelectOwed is a query whose plan a test checks.
const SelectOwed = selectOwed
