package openapi_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The clients in client come from oapi-codegen. That ogen makes clients of the same documents, which compile, shows that the
// documents are good for more than one generator.
func TestOgenMakesClients(t *testing.T) {
	generated, err := os.MkdirTemp(".", "generated") // within this module, which requires what the code imports
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(generated) })
	for _, name := range []string{"account", "transfer", "fee"} {
		folder := filepath.Join(generated, name)
		run(t, "tool", "ogen", "--target", folder, "--package", name, filepath.Join("..", "..", name+"-svc", "openapi.yaml"))
	}
	run(t, "build", "./"+generated+"/...")
}

func run(t *testing.T, arguments ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", arguments...)
	command.Env = append(os.Environ(), "GOWORK=off")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("go %v: %v\n%s", arguments, err, out)
	}
}
