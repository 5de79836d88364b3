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

// StorageConfig is the configuration of the subcommand migrate.
type StorageConfig struct {
	Database  sqldb.Config
	Telemetry telemetry.Config
}

// VerifyConfig is the configuration of the subcommand verify.
type VerifyConfig struct {
	StorageConfig
	Fees          fee.Config    // says how far ahead a debtor can be due
	MaxUnfinished time.Duration `env:"VERIFY_MAX_UNFINISHED" envDefault:"10m"` // an older pending fee that does not wait for balance is a violation
}

// Validate returns an error for each value out of range.
func (c *VerifyConfig) Validate() error {
	problems := []error{c.Fees.Validate()}
	if c.MaxUnfinished <= 0 {
		problems = append(problems, errors.New("VERIFY_MAX_UNFINISHED must be positive"))
	}
	return errors.Join(problems...)
}

// Config is the configuration of the subcommand serve.
type Config struct {
	StorageConfig
	AppAPIToken string `env:"APP_API_TOKEN,required"`

	Server  web.ServerConfig
	Sidecar sidecar.Config
	Auth    auth.Config
	Fees    fee.Config
}

// localDefaults let the service run on a developer's machine without any setup. They hold no secret: everybody can read
// them here.
var localDefaults = map[string]string{
	"APP_API_TOKEN":  "", // none: see docs/adr/0006
	"LISTEN_ADDRESS": "127.0.0.1:8003",
	"DATABASE_URL":   "sqlite:.data/fee.db",
	"JWT_SECRET_KEY": "local-development-only-not-a-secret",
}

// loadConfig reads the configuration of a subcommand from the environment.
func loadConfig[C any]() (C, error) {
	var c C
	err := config.Load(&c, os.Environ(), localDefaults)
	return c, err
}

// Validate returns an error for each value out of range.
func (c *Config) Validate() error {
	return errors.Join(c.Server.Validate(), c.Auth.Validate(), c.Fees.Validate())
}
