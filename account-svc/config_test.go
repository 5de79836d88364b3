package main

import (
	"os"
	"strings"
	"testing"

	"github.com/bankmore/bankmore/platform/service"
)

func load(config *Config) error { return service.LoadConfig(config, os.Environ(), localDefaults) }

func TestConfigNamesEveryProblem(t *testing.T) {
	for _, name := range []string{"BANKMORE_ENV", "LISTEN_ADDRESS", "DATABASE_URL", "APP_API_TOKEN", "CPF_HASH_KEY"} {
		t.Setenv(name, "")
	}
	t.Setenv("JWT_SECRET_KEY", "short")
	t.Setenv("CPF_ENCRYPTION_KEY", "c2hvcnQ=")
	t.Setenv("LOGIN_RATE_LIMIT", "many")
	t.Setenv("LOGIN_FAILURE_LIMIT", "x")
	t.Setenv("REGISTRATION_RATE_LIMIT", "y")
	err := load(new(Config))
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{"LISTEN_ADDRESS", "DATABASE_URL", "APP_API_TOKEN", "CPF_HASH_KEY", "shorter than 32 bytes", "want 32 bytes in base64", "LOGIN_RATE_LIMIT",
		"LOGIN_FAILURE_LIMIT", "REGISTRATION_RATE_LIMIT"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q is not in: %v", name, err)
		}
	}
	if strings.Contains(err.Error(), `"short"`) {
		t.Errorf("a secret is in: %v", err)
	}
}

// The configuration refuses a limit of 0, which would lock everybody out.
func TestLimitOfZeroIsRefused(t *testing.T) {
	t.Setenv("BANKMORE_ENV", "local")
	for _, name := range []string{"LOGIN_RATE_LIMIT", "LOGIN_FAILURE_LIMIT", "REGISTRATION_RATE_LIMIT"} {
		t.Setenv(name, "0")
	}
	err := load(new(Config))
	for _, name := range []string{"LOGIN_RATE_LIMIT", "LOGIN_FAILURE_LIMIT", "REGISTRATION_RATE_LIMIT"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not in: %v", name, err)
		}
	}
}

func TestLocalConfigNeedsNothing(t *testing.T) {
	t.Setenv("BANKMORE_ENV", "local")
	var config Config
	if err := load(&config); err != nil {
		t.Fatal(err)
	}
	if config.Server.ListenAddress != "127.0.0.1:8001" {
		t.Errorf("listens on %q", config.Server.ListenAddress)
	}
}
