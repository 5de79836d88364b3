package sqlstore

// SelectList lets a test see how the database answers it.
const SelectList = selectList
