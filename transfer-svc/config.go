package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/bankmore/bankmore/platform/idempotency"
	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// Config is what the environment decides.
type Config struct {
	service.Config
	Idempotency      idempotency.Config
	Saga             transfer.Config
	Outbox           outbox.Config
	RecoveryInterval time.Duration `env:"RECOVERY_INTERVAL" envDefault:"1s"` // how often recovery looks if no bell wakes it
}

// Validate returns an error for each value out of range, and for values that do not fit together.
func (c *Config) Validate() error {
	problems := []error{
		c.Config.Validate(), c.Idempotency.Validate(), c.Outbox.Validate(),
		service.Positive("TRANSFER_DEADLINE", c.Saga.Deadline),
		service.Positive("TRANSFER_ATTEMPT_TIMEOUT", c.Saga.AttemptTimeout),
		service.Positive("RECOVERY_INTERVAL", c.RecoveryInterval),
	}
	if c.Saga.Deadline > transfer.MaxDeadline {
		problems = append(problems, fmt.Errorf("TRANSFER_DEADLINE must be at most %s", transfer.MaxDeadline))
	}
	if c.Server.DrainTimeout < c.Saga.Deadline+transfer.LastWordTimeout {
		problems = append(problems, fmt.Errorf("DRAIN_TIMEOUT must be at least TRANSFER_DEADLINE and %s, or a restart cuts requests off", transfer.LastWordTimeout))
	}
	return errors.Join(problems...)
}

// localDefaults let the service run on a developer's machine without any setup. They hold no secret: everybody can read
// them here.
var localDefaults = map[string]string{
	"APP_API_TOKEN":  "", // none: see docs/adr/0006
	"LISTEN_ADDRESS": "127.0.0.1:8002",
	"DATABASE_URL":   "sqlite:.data/transfer.db",
	"JWT_SECRET_KEY": "local-development-only-not-a-secret", // account-svc's, which signs the tokens
}
