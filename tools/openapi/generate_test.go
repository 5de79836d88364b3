package openapi_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// generators returns, for each generator, the arguments that generate the package name from document into folder. The
// generators are tools of this module.
var generators = map[string]func(name, folder, document string) []string{
	"ogen": func(name, folder, document string) []string {
		return []string{"ogen", "--target", folder, "--package", name, document}
	},
	"oapi-codegen": func(name, folder, document string) []string {
		return []string{"oapi-codegen", "-generate", "types,client", "-package", name, "-o", filepath.Join(folder, name+".go"), document}
	},
}

// Each generator makes a client of each document, and the client compiles.
func TestGeneratedClientsCompile(t *testing.T) {
	for generator, arguments := range generators {
		generated, err := os.MkdirTemp(".", "generated") // within this module, which requires what the code imports
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(generated) })
		for _, name := range []string{"account", "transfer", "fee"} {
			folder := filepath.Join(generated, name)
			if err := os.Mkdir(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			run(t, append([]string{"tool"}, arguments(name, folder, filepath.Join("..", "..", name+"-svc", "openapi.yaml"))...)...)
		}
		run(t, "build", "./"+generated+"/...")
		t.Logf("%s: three clients", generator)
	}
}

func run(t *testing.T, arguments ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", arguments...)
	command.Env = append(os.Environ(), "GOWORK=off")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("go %v: %v\n%s", arguments, err, out)
	}
}
