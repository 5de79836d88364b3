package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/config"
	"github.com/bankmore/bankmore/platform/idempotency"
	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/telemetry"
	"github.com/bankmore/bankmore/platform/web"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// StorageConfig is the configuration of the subcommand migrate.
type StorageConfig struct {
	Database  sqldb.Config
	Telemetry telemetry.Config
}

// VerifyConfig is the configuration of the subcommand verify.
type VerifyConfig struct {
	StorageConfig
	MaxUnfinished time.Duration `env:"VERIFY_MAX_UNFINISHED" envDefault:"10m"` // an older unfinished transfer is a violation
}

// Validate returns an error unless MaxUnfinished is positive: else every unfinished transfer would be a violation.
func (c *VerifyConfig) Validate() error { return positive("VERIFY_MAX_UNFINISHED", c.MaxUnfinished) }

// Config is the configuration of the subcommand serve.
type Config struct {
	StorageConfig
	Server      web.ServerConfig
	Sidecar     sidecar.Config
	Auth        auth.Config
	Idempotency idempotency.Config
	Saga        transfer.Config
	Workers     WorkersConfig
}

// WorkersConfig says how often the workers look for work if no bell wakes them.
type WorkersConfig struct {
	RecoveryInterval time.Duration `env:"RECOVERY_INTERVAL" envDefault:"1s"`
	OutboxInterval   time.Duration `env:"OUTBOX_INTERVAL" envDefault:"1s"`
}

// localDefaults let the service run on a developer's machine without any setup. They hold no secret: everybody can read
// them here.
var localDefaults = map[string]string{
	"LISTEN_ADDRESS": "127.0.0.1:8002",
	"DATABASE_URL":   "sqlite:.data/transfer.db",
	"JWT_SECRET_KEY": "local-development-only-not-a-secret", // account-svc's, which signs the tokens
}

// loadConfig reads the configuration of a subcommand from the environment.
func loadConfig[C any]() (C, error) {
	var c C
	err := config.Load(&c, os.Environ(), localDefaults)
	return c, err
}

// Validate returns an error for each value out of range, and for values that do not fit together.
func (c *Config) Validate() error {
	problems := []error{
		c.Server.Validate(), c.Auth.Validate(), c.Idempotency.Validate(),
		positive("TRANSFER_DEADLINE", c.Saga.Deadline),
		positive("TRANSFER_ATTEMPT_TIMEOUT", c.Saga.AttemptTimeout),
		positive("RECOVERY_INTERVAL", c.Workers.RecoveryInterval),
		positive("OUTBOX_INTERVAL", c.Workers.OutboxInterval),
	}
	if c.Saga.Deadline > transfer.MaxDeadline {
		problems = append(problems, fmt.Errorf("TRANSFER_DEADLINE must be at most %s", transfer.MaxDeadline))
	}
	if c.Server.DrainTimeout < c.Saga.Deadline+transfer.LastWordTimeout {
		problems = append(problems, fmt.Errorf("DRAIN_TIMEOUT must be at least TRANSFER_DEADLINE and %s, or a restart cuts requests off", transfer.LastWordTimeout))
	}
	return errors.Join(problems...)
}

func positive(name string, d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("%s must be positive", name)
	}
	return nil
}
