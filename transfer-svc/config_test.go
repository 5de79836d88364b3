package main

import (
	"os"
	"strings"
	"testing"

	"github.com/bankmore/bankmore/platform/service"
)

func load(config *Config) error { return service.LoadConfig(config, os.Environ(), localDefaults) }

func TestConfigNamesEveryProblem(t *testing.T) {
	for _, name := range []string{"BANKMORE_ENV", "LISTEN_ADDRESS", "DATABASE_URL", "APP_API_TOKEN"} {
		t.Setenv(name, "")
	}
	t.Setenv("JWT_SECRET_KEY", "short")
	t.Setenv("TRANSFER_ATTEMPT_TIMEOUT", "0s")
	t.Setenv("TRANSFER_DEADLINE", "31s")
	t.Setenv("RECOVERY_INTERVAL", "-1s")
	t.Setenv("OUTBOX_INTERVAL", "often")
	err := load(new(Config))
	if err == nil {
		t.Fatal("no error")
	}
	for _, problem := range []string{
		"LISTEN_ADDRESS", "DATABASE_URL", "APP_API_TOKEN", "shorter than 32 bytes", "TRANSFER_ATTEMPT_TIMEOUT must be positive",
		"TRANSFER_DEADLINE must be at most 30s", "RECOVERY_INTERVAL must be positive", "OUTBOX_INTERVAL: unable",
		"DRAIN_TIMEOUT must be at least",
	} {
		if !strings.Contains(err.Error(), problem) {
			t.Errorf("%q is not in: %v", problem, err)
		}
	}
}

func TestLocalConfigNeedsNothing(t *testing.T) {
	t.Setenv("BANKMORE_ENV", "local")
	var config Config
	if err := load(&config); err != nil {
		t.Fatal(err)
	}
	if config.Server.ListenAddress != "127.0.0.1:8002" {
		t.Errorf("listens on %q", config.Server.ListenAddress)
	}
}
