package outbox

import (
	"errors"
	"time"
)

// Config says how often a relay looks for events if no bell wakes it.
type Config struct {
	Interval time.Duration `env:"OUTBOX_INTERVAL" envDefault:"1s"`
}

// Validate returns an error for each value out of range.
func (c Config) Validate() error {
	if c.Interval <= 0 {
		return errors.New("OUTBOX_INTERVAL must be positive")
	}
	return nil
}
