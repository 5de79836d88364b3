package main

import (
	"errors"

	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/service"
)

// Config is what the environment decides.
type Config struct {
	service.Config
	Fees   fee.Config
	Outbox outbox.Config
}

// Validate returns an error for each value out of range.
func (c *Config) Validate() error {
	return errors.Join(c.Config.Validate(), c.Fees.Validate(), c.Outbox.Validate())
}

// localDefaults let the service run on a developer's machine without any setup. They hold no secret: everybody can read
// them here.
var localDefaults = map[string]string{
	"APP_API_TOKEN":  "", // none: see docs/adr/0006
	"LISTEN_ADDRESS": "127.0.0.1:8003",
	"DATABASE_URL":   "sqlite:.data/fee.db",
	"JWT_SECRET_KEY": "local-development-only-not-a-secret",
}
