package stack

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Ops runs a command of operators on this stack and returns what it prints.
func (s *Stack) Ops(ctx context.Context, args ...string) (string, error) {
	env := map[string]string{"KAFKA_BOOTSTRAP_SERVERS": s.brokerAddress}
	if s.Backends != nil {
		env = s.Backends.sidecarEnvironment()
	}
	for _, id := range Services {
		url := "sqlite:" + s.Apps[id].Database
		if s.Backends != nil {
			url = s.Backends.DatabaseURL(id)
		}
		env[strings.ToUpper(strings.TrimSuffix(id, "-svc"))+"_DATABASE_URL"] = url
	}
	env["PATH"] = os.Getenv("PATH") // with pg_dump
	cmd := exec.CommandContext(ctx, filepath.Join(s.Bin, "ops"), args...)
	cmd.Dir = s.Dir
	for name, value := range maps.All(env) {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("ops %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}
