// Command daprd is Dapr's runtime with only the components that files of this repository name. Dapr's own build has over a
// hundred components and takes a minute longer to compile. This build has two kinds of name resolution that only Dapr's full
// build has: by an SQLite file, as on a developer's machine, and by a pattern, as in compose.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/bankmore/bankmore/tools/daprd/components"
	"github.com/dapr/dapr/cmd/daprd/options"
	"github.com/dapr/dapr/pkg/buildinfo"
	"github.com/dapr/dapr/pkg/healthz"
	"github.com/dapr/dapr/pkg/metrics"
	"github.com/dapr/dapr/pkg/modes"
	"github.com/dapr/dapr/pkg/runtime"
	"github.com/dapr/dapr/pkg/security"
	"github.com/dapr/kit/concurrency"
	"github.com/dapr/kit/logger"
	"github.com/dapr/kit/signals"
	"go.opencensus.io/stats/view"
	"go.uber.org/automaxprocs/maxprocs"
)

// The loggers have the names that Dapr's own command gives them.
var (
	log     = logger.NewLogger("dapr.runtime")
	contrib = logger.NewLogger("dapr.contrib")
)

func main() {
	_, _ = maxprocs.Set() // after an error GOMAXPROCS stays as it is
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200) // as in the services: docs/adr/0045
	}
	opts, err := options.New(os.Args[1:])
	if err != nil {
		log.Fatalf("Failed to parse flags: %v", err)
	}
	switch {
	case opts.RuntimeVersion:
		fmt.Println(buildinfo.Version())
		return
	case opts.BuildInfo:
		fmt.Printf("Version: %s\nGit Commit: %s\nGit Version: %s\n", buildinfo.Version(), buildinfo.Commit(), buildinfo.GitVersion())
		return
	case opts.WaitCommand:
		runtime.WaitUntilDaprOutboundReady(opts.DaprHTTPPort)
		return
	}
	opts.Logger.SetAppID(opts.AppID)
	if err := logger.ApplyOptionsToLoggers(&opts.Logger); err != nil {
		log.Fatal(err)
	}
	log.Infof("Starting Dapr Runtime -- version %s -- commit %s", buildinfo.Version(), buildinfo.Commit())

	// At a SIGHUP the runtime ends and starts again.
	ctx := signals.Context()
	lives := signals.OnHUP(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case life, ok := <-lives:
			if !ok {
				return
			}
			if err := run(life, opts); err != nil {
				log.Fatalf("Fatal error from runtime: %s", err)
			}
			if life.Err() == nil { // it ended by itself, as the shutdown API asks it to
				return
			}
		}
	}
}

func run(ctx context.Context, opts *options.Options) error {
	health := healthz.New()
	identity, err := security.New(ctx, security.Options{
		SentryAddress:           opts.SentryAddress,
		ControlPlaneTrustDomain: opts.ControlPlaneTrustDomain,
		ControlPlaneNamespace:   opts.ControlPlaneNamespace,
		TrustAnchors:            opts.TrustAnchors,
		AppID:                   opts.AppID,
		MTLSEnabled:             opts.EnableMTLS,
		Mode:                    modes.DaprMode(opts.Mode),
		Healthz:                 health,
		JwtAudiences:            opts.SentryRequestJwtAudiences,
	})
	if err != nil {
		return err
	}
	return concurrency.NewRunnerManager(
		identity.Run,
		func(ctx context.Context) error {
			handler, err := identity.Handler(ctx)
			if err != nil {
				return err
			}
			config := configure(opts, health)
			config.Registry, config.Security = components.Registries(contrib), handler
			daprd, err := runtime.FromConfig(ctx, config)
			if err != nil {
				return err
			}
			return daprd.Run(ctx)
		},
	).Run(ctx)
}

// configure returns the runtime's configuration with every option.
func configure(opts *options.Options, health healthz.Healthz) *runtime.Config {
	return &runtime.Config{
		AppID:                         opts.AppID,
		ControlPlaneAddress:           opts.ControlPlaneAddress,
		SentryAddress:                 opts.SentryAddress,
		AllowedOrigins:                opts.AllowedOrigins,
		EnableProfiling:               opts.EnableProfiling,
		AppMaxConcurrency:             opts.AppMaxConcurrency,
		EnableMTLS:                    opts.EnableMTLS,
		AppSSL:                        opts.AppSSL,
		MaxRequestSize:                opts.MaxRequestSize,
		ResourcesPath:                 opts.ResourcesPath,
		ComponentsPath:                opts.ComponentsPath,
		AppProtocol:                   opts.AppProtocol,
		EnableAPILogging:              opts.EnableAPILogging,
		DaprHTTPPort:                  opts.DaprHTTPPort,
		DaprAPIGRPCPort:               opts.DaprAPIGRPCPort,
		ProfilePort:                   opts.ProfilePort,
		DaprInternalGRPCPort:          opts.DaprInternalGRPCPort,
		DaprInternalGRPCListenAddress: opts.DaprInternalGRPCListenAddress,
		DaprPublicPort:                opts.DaprPublicPort,
		DaprPublicListenAddress:       opts.DaprPublicListenAddress,
		ApplicationPort:               opts.AppPort,
		DaprGracefulShutdownSeconds:   opts.DaprGracefulShutdownSeconds,
		DaprBlockShutdownDuration:     opts.DaprBlockShutdownDuration,
		ActorsService:                 opts.ActorsService,
		ActorsDisseminationTimeout:    opts.ActorsDisseminationTimeout,
		RemindersService:              opts.RemindersService,
		SchedulerAddress:              opts.SchedulerAddress,
		SchedulerStreams:              opts.SchedulerJobStreams,
		DaprAPIListenAddresses:        opts.DaprAPIListenAddresses,
		AppHealthProbeInterval:        opts.AppHealthProbeInterval,
		AppHealthProbeTimeout:         opts.AppHealthProbeTimeout,
		AppHealthThreshold:            opts.AppHealthThreshold,
		EnableAppHealthCheck:          opts.EnableAppHealthCheck,
		Mode:                          opts.Mode,
		Config:                        opts.Config,
		UnixDomainSocket:              opts.UnixDomainSocket,
		ReadBufferSize:                opts.ReadBufferSize,
		DisableBuiltinK8sSecretStore:  opts.DisableBuiltinK8sSecretStore,
		AppHealthCheckPath:            opts.AppHealthCheckPath,
		AppChannelAddress:             opts.AppChannelAddress,
		DisableInitEndpoints:          opts.DisableInitEndpoints,
		HotReloadReconcileInterval:    opts.HotReloadReconcileInterval,
		Healthz:                       health,
		Metrics: metrics.Options{
			Enabled:       opts.Metrics.Enabled(),
			Log:           log,
			Port:          opts.Metrics.Port(),
			Namespace:     metrics.DefaultMetricNamespace,
			Healthz:       health,
			ListenAddress: opts.Metrics.ListenAddress(),
			Meter:         view.NewMeter(),
		},
	}
}
