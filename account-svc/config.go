package main

import (
	"errors"

	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/httpapi"
	"github.com/bankmore/bankmore/account-svc/internal/rediscache"
	"github.com/bankmore/bankmore/platform/idempotency"
	"github.com/bankmore/bankmore/platform/service"
)

// Config is what the environment decides.
type Config struct {
	service.Config
	Idempotency idempotency.Config
	CPF         customer.CPFKeys
	Limits      httpapi.LimitsConfig
	Statement   httpapi.StatementConfig
	Redis       rediscache.Config
}

// Validate returns an error for each value out of range.
func (c *Config) Validate() error {
	return errors.Join(c.Config.Validate(), c.Idempotency.Validate(), c.Limits.Validate(), c.Statement.Validate(), c.Redis.Validate())
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
