package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/bankmore/bankmore/ops/internal/kubesecrets"
)

// createSecrets creates the Secrets of a template in the Kubernetes namespace that it runs in: k8s/overlays/dev.
func createSecrets(ctx context.Context, out io.Writer, flags *flag.FlagSet, args []string) error {
	if err := parse(flags, args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return fmt.Errorf("%w: create-secrets wants one template", errUsage)
	}
	template, err := os.ReadFile(flags.Arg(0)) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	cluster, err := kubesecrets.InCluster()
	if err != nil {
		return err
	}
	return kubesecrets.Create(ctx, out, cluster, template)
}
