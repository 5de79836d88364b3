package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigNamesEveryProblem(t *testing.T) {
	for _, name := range []string{"BANKMORE_ENV", "LISTEN_ADDRESS", "DATABASE_URL"} {
		t.Setenv(name, "")
	}
	t.Setenv("JWT_SECRET_KEY", "short")
	t.Setenv("TRANSFER_ATTEMPT_TIMEOUT", "0s")
	t.Setenv("TRANSFER_DEADLINE", "31s")
	t.Setenv("RECOVERY_INTERVAL", "-1s")
	t.Setenv("OUTBOX_INTERVAL", "often")
	_, err := loadConfig[Config]()
	if err == nil {
		t.Fatal("no error")
	}
	for _, problem := range []string{
		"LISTEN_ADDRESS", "DATABASE_URL", "shorter than 32 bytes", "TRANSFER_ATTEMPT_TIMEOUT must be positive",
		"TRANSFER_DEADLINE must be at most 30s", "RECOVERY_INTERVAL must be positive", "OUTBOX_INTERVAL: unable",
		"DRAIN_TIMEOUT must be at least",
	} {
		if !strings.Contains(err.Error(), problem) {
			t.Errorf("%q is not in: %v", problem, err)
		}
	}
}

// With an age of 0, verify would report every unfinished transfer. The other subcommands do not read the variable.
func TestVerifyRefusesAnAgeThatIsNotPositive(t *testing.T) {
	t.Setenv("BANKMORE_ENV", "local")
	t.Setenv("DATABASE_URL", "sqlite:"+filepath.Join(t.TempDir(), "transfer.db"))
	if err := migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, age := range []string{"0s", "-10m"} {
		t.Setenv("VERIFY_MAX_UNFINISHED", age)
		if err := verify(t.Context()); err == nil || !strings.Contains(err.Error(), "VERIFY_MAX_UNFINISHED must be positive") {
			t.Errorf("verify with %s: %v", age, err)
		}
	}
	if _, err := loadConfig[Config](); err != nil {
		t.Errorf("serve: %v", err)
	}
}

func TestLocalConfigNeedsNothing(t *testing.T) {
	t.Setenv("BANKMORE_ENV", "local")
	config, err := loadConfig[Config]()
	if err != nil {
		t.Fatal(err)
	}
	if config.Server.ListenAddress != "127.0.0.1:8002" {
		t.Errorf("listens on %q", config.Server.ListenAddress)
	}
}
