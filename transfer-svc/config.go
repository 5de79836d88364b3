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

// StorageConfig is what migrate needs of the environment.
type StorageConfig struct {
	Database  sqldb.Config
	Telemetry telemetry.Config
}

// VerifyConfig is what verify needs.
type VerifyConfig struct {
	StorageConfig
	MaxUnfinished time.Duration `env:"VERIFY_MAX_UNFINISHED" envDefault:"10m"` // age at which a transfer is taken for stuck
}

// Validate refuses an age at which every unfinished transfer would be taken for stuck.
func (c *VerifyConfig) Validate() error { return positive("VERIFY_MAX_UNFINISHED", c.MaxUnfinished) }

// Config is everything that the environment decides for serve.
type Config struct {
	StorageConfig
	Server      web.ServerConfig
	Sidecar     sidecar.Config
	Auth        auth.Config
	Idempotency idempotency.Config
	Saga        transfer.Config
	Workers     WorkersConfig
}

// WorkersConfig says how often the workers look without being woken.
type WorkersConfig struct {
	RecoveryInterval time.Duration `env:"RECOVERY_INTERVAL" envDefault:"1s"`
	OutboxInterval   time.Duration `env:"OUTBOX_INTERVAL" envDefault:"1s"`
}

// localDefaults make a developer's machine work without any setup. They hold no secret: everybody can read them here.
var localDefaults = map[string]string{
	"LISTEN_ADDRESS": "127.0.0.1:8002",
	"DATABASE_URL":   "sqlite:.data/transfer.db",
	"JWT_SECRET_KEY": "local-development-only-not-a-secret", // account-svc's, which signs the tokens
}

// loadConfig reads a Config, or only what another subcommand needs of it.
func loadConfig[C any]() (C, error) {
	var c C
	err := config.Load(&c, os.Environ(), localDefaults)
	return c, err
}

// Validate checks what only the whole configuration can tell.
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
