package rediscache

import "time"

// OpenPatient is Open for tests of what holds while Redis answers, on machines that are slow at times.
func OpenPatient(config Config) (*Client, error) { return open(config, 20*time.Second) }

// Trust has entries read at once.
func (c *Client) Trust() { c.trustedFrom = time.Time{} }

// Fill lets a test execute a reader's word again.
var Fill = fill
