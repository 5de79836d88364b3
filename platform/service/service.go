// Package service is the frame of every service: a program that reads its configuration, opens its database, its sidecar and
// its port, answers requests and runs workers until a signal, and then closes everything in order. A service gives it only
// what is its own. The package also has what other programs share with services: commands and their exit codes.
package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/ratelimit"
	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/telemetry"
	"github.com/bankmore/bankmore/platform/web"
)

// Service is what one service adds to the frame.
type Service struct {
	Name          string            // its Dapr app id, which is also in each line of its log
	Config        Settings          // what the command serve reads from the environment
	LocalDefaults map[string]string // see LoadConfig
	Migrations    fs.FS             // see sqldb.DB.Migrate

	// Wire makes the service's own parts, once Config is read and the database has its schema. Neither needs to be ready:
	// the sidecar may start later. Routes for customers have limits. If Wire fails, it closes what it has opened.
	Wire func(db *sqldb.DB, dapr *sidecar.Client, limits *ratelimit.Customers) (Wiring, error)
	// Verifier returns what the command verify asks: the service's store in db.
	Verifier func(db *sqldb.DB) Verifier
	// Commands are what an operator does with the service's data. They open the database by Open.
	Commands []Command
}

// Verifier checks the invariants of a service's database and writes each violation to out. What was begun more than
// maxUnfinished ago must be finished. Its error is verify.ErrViolated if something is wrong.
type Verifier interface {
	Verify(ctx context.Context, out io.Writer, maxUnfinished time.Duration) error
}

// Wiring is what a service's own parts amount to.
type Wiring struct {
	Router  *chi.Mux
	Workers []Worker
	// Close closes what router and workers have used. The frame calls it when the last request and the last round have ended;
	// sidecar and database are still open. It may be nil.
	Close func() error
}

// Settings is a service's configuration: a pointer to a struct that embeds Config.
type Settings interface{ common() *Config }

// Config is what the command serve of every service reads from the environment.
type Config struct {
	StorageConfig
	AppAPIToken string `env:"APP_API_TOKEN,required"` // what the sidecar presents on internal and event routes
	Server      web.ServerConfig
	Sidecar     sidecar.Config
	Auth        auth.Config
	RateLimits  ratelimit.Config
}

func (c *Config) common() *Config { return c }

// Validate returns an error for each value out of range.
func (c *Config) Validate() error { return errors.Join(c.Server.Validate(), c.Auth.Validate()) }

// StorageConfig is what every command reads from the environment.
type StorageConfig struct {
	Database  sqldb.Config
	Telemetry telemetry.Config
}

// verifyConfig is what the command verify reads from the environment.
type verifyConfig struct {
	StorageConfig
	MaxUnfinished time.Duration `env:"VERIFY_MAX_UNFINISHED" envDefault:"10m"`
}

// Validate returns an error unless MaxUnfinished is positive: else everything unfinished would be a violation.
func (c *verifyConfig) Validate() error { return Positive("VERIFY_MAX_UNFINISHED", c.MaxUnfinished) }

// Main runs the command that the command line names and ends the process.
func Main(s Service) {
	os.Exit(ExitCode(s.Run(context.Background(), os.Stdout, os.Stderr, os.Args[1:]...)))
}

// Run runs the command that args names, and logs and returns its error: see the function Run.
func (s Service) Run(ctx context.Context, out, problems io.Writer, args ...string) error {
	own := func(run func(ctx context.Context, out io.Writer) error) func(context.Context, io.Writer, *flag.FlagSet, []string) error {
		return func(ctx context.Context, out io.Writer, _ *flag.FlagSet, _ []string) error { return run(ctx, out) }
	}
	commands := []Command{
		{Name: "serve", Run: own(s.serve)},
		{Name: "migrate", Run: own(s.migrate)},
		{Name: "verify", Run: own(s.verify)},
		{Name: "health", Run: own(ask("/healthz"))},
		{Name: "ready", Run: own(ask("/readyz"))},
	}
	err := Run(ctx, s.Name, append(commands, s.Commands...), out, problems, args)
	if err != nil && !errors.Is(err, ErrUsage) {
		slog.ErrorContext(ctx, "stopped", "error", err)
	}
	return err
}

// garbageShare is how far the heap grows, in percent of what was alive, before Go collects garbage. A service's heap is small, so
// that Go's own 100 percent would have it collect dozens of times per second, at a tenth of all its work (docs/adr/0045).
// GOMEMLIMIT still bounds the memory where there is a limit.
const garbageShare = 200

// collectGarbageRarely sets garbageShare, unless the environment has a GOGC of its own.
func collectGarbageRarely() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbageShare)
	}
}

// serve runs the service until ctx ends. Then what was opened closes in reverse order: first the requests and rounds under
// way end, then what they used closes, the database last.
func (s Service) serve(ctx context.Context, _ io.Writer) (err error) {
	if err := LoadConfig(s.Config, os.Environ(), s.LocalDefaults); err != nil {
		return err
	}
	collectGarbageRarely()
	config := s.Config.common()
	stopTracing, err := startTracing(ctx, s.Name)
	if err != nil {
		return err
	}
	defer stopTracing()
	db, err := s.open(ctx, config.StorageConfig, sqldb.Open)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Prepare(ctx, config.Database, s.Migrations); err != nil {
		return err
	}
	if config.AppAPIToken == "" {
		slog.WarnContext(ctx, "APP_API_TOKEN is not set: routes for the sidecar accept every local caller")
	}
	dapr, err := sidecar.New(config.Sidecar)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dapr.Close()) }()
	limits, err := ratelimit.NewCustomers(config.RateLimits)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, limits.Close()) }()
	wiring, err := s.Wire(db, dapr, limits)
	if err != nil {
		return err
	}
	if wiring.Close != nil {
		defer func() { err = errors.Join(err, wiring.Close()) }()
	}
	server, err := web.NewServer(ctx, config.Server, wiring.Router,
		web.Check{Name: "database", Ready: db.Ready}, web.Check{Name: "sidecar", Ready: dapr.Ready})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait() // each ends its round
	defer stop()
	sharing := Worker{Name: "customer limits", Interval: ratelimit.ShareInterval, Round: limits.Share}
	for _, w := range append(wiring.Workers, sharing) {
		workers.Go(func() { w.Run(ctx) })
	}
	return server.Serve(ctx)
}

func (s Service) migrate(ctx context.Context, _ io.Writer) error {
	db, err := s.Open(ctx, sqldb.Open)
	if err != nil {
		return err
	}
	return errors.Join(db.Migrate(ctx, s.Migrations), db.Close())
}

func (s Service) verify(ctx context.Context, out io.Writer) error {
	var config verifyConfig
	if err := LoadConfig(&config, os.Environ(), s.LocalDefaults); err != nil {
		return err
	}
	db, err := s.open(ctx, config.StorageConfig, sqldb.OpenReadOnly)
	if err != nil {
		return err
	}
	return errors.Join(s.Verifier(db).Verify(ctx, out, config.MaxUnfinished), db.Close())
}

// Open opens the database for a command that needs nothing else.
func (s Service) Open(ctx context.Context, opener sqldb.Opener) (*sqldb.DB, error) {
	var config StorageConfig
	if err := LoadConfig(&config, os.Environ(), s.LocalDefaults); err != nil {
		return nil, err
	}
	return s.open(ctx, config, opener)
}

// open sets up the log and opens the database.
func (s Service) open(ctx context.Context, config StorageConfig, opener sqldb.Opener) (*sqldb.DB, error) {
	telemetry.Setup(os.Stderr, s.Name, config.Telemetry.LogLevel)
	return opener(ctx, config.Database.URL)
}

// Positive returns an error that names a setting unless its value is more than 0.
func Positive(name string, d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("%s must be positive", name)
	}
	return nil
}
