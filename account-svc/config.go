package main

import (
	"errors"
	"os"

	"github.com/bankmore/bankmore/account-svc/internal/account"
	"github.com/bankmore/bankmore/account-svc/internal/httpapi"
	"github.com/bankmore/bankmore/account-svc/internal/rediscache"
	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/config"
	"github.com/bankmore/bankmore/platform/idempotency"
	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/telemetry"
	"github.com/bankmore/bankmore/platform/web"
)

// StorageConfig is what migrate and verify need of the environment.
type StorageConfig struct {
	Database  sqldb.Config
	Telemetry telemetry.Config
}

// Config is everything that the environment decides for serve.
type Config struct {
	StorageConfig
	AppAPIToken string `env:"APP_API_TOKEN,required"`

	Server      web.ServerConfig
	Sidecar     sidecar.Config
	Auth        auth.Config
	Idempotency idempotency.Config
	CPF         account.CPFKeys
	Limits      httpapi.LimitsConfig
	Period      httpapi.PeriodConfig
	Redis       rediscache.Config
}

// localDefaults make a developer's machine work without any setup. They hold no secret: everybody can read them here.
var localDefaults = map[string]string{
	"APP_API_TOKEN":      "", // none: see docs/adr/0006
	"LISTEN_ADDRESS":     "127.0.0.1:8001",
	"DATABASE_URL":       "sqlite:.data/account.db",
	"JWT_SECRET_KEY":     "local-development-only-not-a-secret",
	"CPF_ENCRYPTION_KEY": "bG9jYWwtZGV2ZWxvcG1lbnQtb25seS1lbmMta2V5ISE=",
	"CPF_HASH_KEY":       "bG9jYWwtZGV2ZWxvcG1lbnQtb25seS1oYXNoLWtleSE=",
}

// loadConfig reads a Config, or only a StorageConfig.
func loadConfig[C any]() (C, error) {
	var c C
	err := config.Load(&c, os.Environ(), localDefaults)
	return c, err
}

// Validate checks what only the whole configuration can tell.
func (c *Config) Validate() error {
	return errors.Join(c.Server.Validate(), c.Auth.Validate(), c.Idempotency.Validate(), c.Limits.Validate(), c.Redis.Validate())
}
