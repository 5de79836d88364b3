package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Ops runs a command of operators on this stack and returns what it prints.
func (s *Stack) Ops(ctx context.Context, args ...string) (string, error) {
	env := []string{"PATH=" + os.Getenv("PATH")} // which has pg_dump
	for _, id := range Services {
		env = append(env, urlVariable(id)+"="+s.databaseURL(id))
	}
	return s.run(ctx, "ops", env, args...)
}

// Verify runs the verify command of each service.
func (s *Stack) Verify(ctx context.Context) error {
	var errs []error
	for _, id := range Services {
		_, err := s.Tool(ctx, id, "verify")
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Tool runs a command of a service that needs no more than its database, and returns what it prints.
func (s *Stack) Tool(ctx context.Context, id string, args ...string) (string, error) {
	return s.run(ctx, id, []string{"DATABASE_URL=" + s.databaseURL(id)}, args...)
}

// urlVariable is the name by which ops knows a service's database.
func urlVariable(id string) string {
	return strings.ToUpper(strings.TrimSuffix(id, "-svc")) + "_DATABASE_URL"
}

// databaseURL is a service's database. For a system that runs elsewhere, the environment names it.
func (s *Stack) databaseURL(id string) string {
	if s.Apps[id] == nil {
		return os.Getenv(urlVariable(id))
	}
	return s.DatabaseURL(id)
}

func (s *Stack) run(ctx context.Context, program string, env []string, args ...string) (string, error) {
	for name, value := range s.sidecarEnvironment() { // of whoever connects to servers
		env = append(env, name+"="+value)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.Bin, program), args...)
	cmd.Dir, cmd.Env = s.Dir, env
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out), err
}
