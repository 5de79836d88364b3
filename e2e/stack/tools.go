package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bankmore/bankmore/launcher/build"
)

// Services are the app ids of the services, which are also the names of their folders and binaries.
var Services = []string{"account-svc", "transfer-svc", "fee-svc"}

// Root finds the repository: the nearest folder upward that holds go.work.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.work in this folder or above")
		}
		dir = parent
	}
}

// tools are the programs that the stack needs and that are not ours.
type tools struct {
	daprd, caddy, broker string
}

// findTools looks for each tool where its variable says (BANKMORE_DAPRD, BANKMORE_CADDY, BANKMORE_BROKER), else among
// what `make tools` builds.
func findTools(root string) (tools, error) {
	var missing []string
	find := func(name string) string {
		path := os.Getenv("BANKMORE_" + strings.ToUpper(name))
		if path == "" {
			path = filepath.Join(root, ".tools", "bin", name)
		}
		if _, err := exec.LookPath(path); err != nil {
			missing = append(missing, path)
		}
		return path
	}
	found := tools{daprd: find("daprd"), caddy: find("caddy"), broker: find("broker")}
	if len(missing) > 0 {
		return found, fmt.Errorf("missing: %s; run `make tools`", strings.Join(missing, ", "))
	}
	return found, nil
}

// Build compiles the services of the repository at root, what operators run, and the command-line client, into the folder
// bin, with build tags unless tags is "".
func Build(ctx context.Context, root, bin, tags string) error {
	args := []string{"-tags", tags, "-o", bin + string(filepath.Separator), "./ops", "./cli/bankmore"}
	for _, service := range Services {
		args = append(args, "./"+service)
	}
	if out, err := build.Command(ctx, root, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("building the services: %w\n%s", err, out)
	}
	return nil
}
