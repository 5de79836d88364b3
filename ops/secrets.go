package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/bankmore/bankmore/ops/internal/kubesecrets"
	"github.com/bankmore/bankmore/platform/service"
)

// createSecrets creates the Secrets of a template in the Kubernetes namespace that it runs in: k8s/overlays/dev.
func createSecrets(ctx context.Context, out io.Writer, flags *flag.FlagSet, args []string) error {
	if err := service.Parse(flags, args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return fmt.Errorf("%w: create-secrets wants one template", service.ErrUsage)
	}
	template, err := os.ReadFile(flags.Arg(0))
	if err != nil {
		return err
	}
	cluster, err := kubesecrets.InCluster()
	if err != nil {
		return err
	}
	return kubesecrets.Create(ctx, out, cluster, template)
}
