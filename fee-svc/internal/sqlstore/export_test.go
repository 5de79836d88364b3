package sqlstore

// UpdateSettled lets a test see how PostgreSQL runs it.
const UpdateSettled = updateSettled
