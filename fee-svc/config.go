package main

import (
	"errors"
	"os"
	"time"

	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/config"
	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/telemetry"
	"github.com/bankmore/bankmore/platform/web"
)

// StorageConfig is what migrate needs of the environment.
type StorageConfig struct {
	Database  sqldb.Config
	Telemetry telemetry.Config
}

// VerifyConfig is what verify needs.
type VerifyConfig struct {
	StorageConfig
	Fees          fee.Config    // tells how far ahead a fee can be due
	MaxUnfinished time.Duration `env:"VERIFY_MAX_UNFINISHED" envDefault:"10m"` // age of a fee that does not wait for balance
}

// Validate returns an error for each value out of range.
func (c *VerifyConfig) Validate() error {
	problems := []error{c.Fees.Validate()}
	if c.MaxUnfinished <= 0 {
		problems = append(problems, errors.New("VERIFY_MAX_UNFINISHED must be positive"))
	}
	return errors.Join(problems...)
}

// Config is everything that the environment decides for serve.
type Config struct {
	StorageConfig
	AppAPIToken string `env:"APP_API_TOKEN,required"`

	Server  web.ServerConfig
	Sidecar sidecar.Config
	Auth    auth.Config
	Fees    fee.Config
}

// localDefaults make a developer's machine work without any setup. They hold no secret: everybody can read them here.
var localDefaults = map[string]string{
	"APP_API_TOKEN":  "", // none: see docs/adr/0006
	"LISTEN_ADDRESS": "127.0.0.1:8003",
	"DATABASE_URL":   "sqlite:.data/fee.db",
	"JWT_SECRET_KEY": "local-development-only-not-a-secret",
}

// loadConfig reads a Config, or only what another subcommand needs of it.
func loadConfig[C any]() (C, error) {
	var c C
	err := config.Load(&c, os.Environ(), localDefaults)
	return c, err
}

// Validate checks what only the whole configuration can tell.
func (c *Config) Validate() error {
	return errors.Join(c.Server.Validate(), c.Auth.Validate(), c.Fees.Validate())
}
