// Package build builds the programs of this repository, and those of others that it needs, and shows how far it is.
package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// part is what one `go build` makes.
type part struct {
	name     string
	folder   string   // where go runs, relative to the repository; "." is the workspace
	packages []string // the programs
	ldflags  string   // besides those of every build; {module} is replaced by that module's version in the folder's go.mod, without the v
}

// parts are all that can be built. Those that take longest come first: of two that could be next, the first is.
var parts = []part{
	{name: "daprd", folder: "tools/daprd", packages: []string{"."},
		ldflags: "-X github.com/dapr/dapr/pkg/buildinfo.version={github.com/dapr/dapr} -X github.com/dapr/kit/logger.DaprVersion={github.com/dapr/dapr}"},
	{name: "golangci-lint", folder: "tools/golangci-lint", packages: []string{"github.com/golangci/golangci-lint/v2/cmd/golangci-lint"}},
	{name: "dapr", folder: "tools/dapr-cli", packages: []string{"github.com/dapr/cli"}, ldflags: "-X main.version={github.com/dapr/cli}"},
	{name: "docker-compose", folder: "tools/compose", packages: []string{"github.com/docker/compose/v2/cmd"}},
	{name: "kustomize", folder: "tools/kustomize", packages: []string{"sigs.k8s.io/kustomize/kustomize/v5"}},
	{name: "caddy", folder: "tools/caddy", packages: []string{"."}},
	{name: "services", folder: ".", packages: []string{"./account-svc", "./transfer-svc", "./fee-svc"}},
	{name: "ops", folder: ".", packages: []string{"./ops"}},
	{name: "cli", folder: ".", packages: []string{"./cli/bankmore"}},
	{name: "broker", folder: "tools/broker", packages: []string{"."}},
}

// choose finds parts by their names. They come in the order of all.
func choose(all []part, names []string) (chosen []part, err error) {
	var known []string
	for _, p := range all {
		known = append(known, p.name)
		if slices.Contains(names, p.name) {
			chosen = append(chosen, p)
		}
	}
	unknown := slices.IndexFunc(names, func(name string) bool { return !slices.Contains(known, name) })
	if unknown >= 0 || len(names) == 0 {
		return nil, fmt.Errorf("%q: the parts are %s", names, strings.Join(known, ", "))
	}
	return chosen, nil
}

// Command is `go build` with more arguments in the workspace at root. Every local build has its flags and variables: what
// one build has compiled, another need not compile again.
func Command(ctx context.Context, root string, arguments ...string) *exec.Cmd {
	return command(ctx, root, ".", "build", "", arguments...)
}

// command runs a subcommand of go that takes the flags of go build.
func command(ctx context.Context, root, folder, verb, ldflags string, arguments ...string) *exec.Cmd {
	workspace := "off"
	if folder == "." {
		workspace = filepath.Join(root, "go.work")
	}
	// The linker's flags are no part of what is compiled.
	flags := []string{verb, "-trimpath", "-buildvcs=false", "-ldflags", strings.TrimSpace("-s -w " + ldflags)}
	cmd := exec.CommandContext(ctx, "go", append(flags, arguments...)...)
	cmd.Dir = filepath.Join(root, folder)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK="+workspace)
	return cmd
}

var placeholder = regexp.MustCompile(`\{[^}]+\}`)

// linkerFlags are the part's own, with the versions of modules filled in.
func (p part) linkerFlags(root string) (string, error) {
	if p.ldflags == "" {
		return "", nil
	}
	mod, err := os.ReadFile(filepath.Join(root, p.folder, "go.mod"))
	if err != nil {
		return "", err
	}
	var missing error
	flags := placeholder.ReplaceAllStringFunc(p.ldflags, func(module string) string {
		module = strings.Trim(module, "{}")
		version := regexp.MustCompile(`(?m)^(?:require)?\s*` + regexp.QuoteMeta(module) + ` v(\S+)`).FindSubmatch(mod)
		if version == nil {
			missing = fmt.Errorf("%s/go.mod requires no %s", p.folder, module)
			return ""
		}
		return string(version[1])
	})
	return flags, missing
}

// output is the program that a part is, or the folder for all of its programs, if it is built in the workspace.
func (p part) output(root string) string {
	if p.folder == "." {
		return filepath.Join(root, "bin") + string(filepath.Separator)
	}
	return filepath.Join(root, toolDir, "bin", p.name)
}

// upToDate reports whether a tool is younger than every file of its folder; tests do not count. It is false for parts of
// the workspace, which go itself has to judge.
func (p part) upToDate(root string) (bool, error) {
	program, err := os.Stat(p.output(root))
	if p.folder == "." || errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	upToDate := true
	err = filepath.WalkDir(filepath.Join(root, p.folder), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || strings.HasSuffix(path, "_test.go") {
			return err
		}
		info, err := entry.Info()
		upToDate = upToDate && err == nil && !info.ModTime().After(program.ModTime())
		return err
	})
	return upToDate, err
}
