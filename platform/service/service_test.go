package service_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/bankmore/bankmore/platform/ratelimit"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/verify"
	"github.com/bankmore/bankmore/platform/web"
)

var migrations = fstest.MapFS{"sqlite/00001_init.sql": {Data: []byte("-- +goose Up\nCREATE TABLE things (id TEXT PRIMARY KEY);\n")}}

// ownConfig is the configuration of a service: the common one and a setting of its own.
type ownConfig struct {
	service.Config
	Own string `env:"OWN" envDefault:"default"`
}

// thing returns a service that listens on a free port, with its database in a file of the test.
func thing(t *testing.T, config *ownConfig, wire func(db *sqldb.DB, dapr *sidecar.Client, _ *ratelimit.Customers) (service.Wiring, error)) (s service.Service, url string) {
	t.Helper()
	usual := slog.Default()
	t.Cleanup(func() { slog.SetDefault(usual) })
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	for name, value := range map[string]string{
		"BANKMORE_ENV": "local", "DAPR_HTTP_PORT": "1", "DAPR_GRPC_PORT": "1", "LOG_LEVEL": "ERROR",
		"LISTEN_ADDRESS": listener.Addr().String(), "DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "thing.db"),
		"JWT_SECRET_KEY": strings.Repeat("x", 32),
	} {
		t.Setenv(name, value)
	}
	return service.Service{
		Name: "thing-svc", Config: config, LocalDefaults: map[string]string{"APP_API_TOKEN": ""}, Migrations: migrations, Wire: wire,
		Verifier: func(db *sqldb.DB) service.Verifier { return things{db} },
	}, "http://" + listener.Addr().String()
}

type things struct{ db *sqldb.DB }

func (t things) Verify(ctx context.Context, out io.Writer, maxUnfinished time.Duration) error {
	return t.db.Verify(ctx, out, []sqldb.Invariant{{
		Name: "no thing is wrong", Query: "SELECT id || ' after ' || $1 FROM things WHERE id = 'wrong'", Args: []any{maxUnfinished.String()},
	}})
}

// steps is what a service did, in order.
type steps struct {
	mu   sync.Mutex
	list []string
}

func (s *steps) add(step string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, step)
}

// At a signal the request and the round under way end first. Then closes what they have used, and the database last.
func TestOrderOfClosing(t *testing.T) {
	var done steps
	var config ownConfig
	requested, working := make(chan struct{}), make(chan struct{})
	use := func(db *sqldb.DB, who string) {
		_, err := db.Exec(context.WithoutCancel(t.Context()), "INSERT INTO things VALUES ($1)", who)
		done.add(fmt.Sprintf("%s ended, %v", who, err))
	}
	var database *sqldb.DB
	s, url := thing(t, &config, func(db *sqldb.DB, _ *sidecar.Client, _ *ratelimit.Customers) (service.Wiring, error) {
		database = db
		router := web.NewRouter()
		router.Get("/slow", func(http.ResponseWriter, *http.Request) {
			close(requested)
			time.Sleep(200 * time.Millisecond)
			use(db, "request")
		})
		return service.Wiring{
			Router: router,
			Workers: []service.Worker{{Name: "thing worker", Interval: time.Hour, Round: func(ctx context.Context) (bool, error) {
				close(working)
				<-ctx.Done()
				time.Sleep(400 * time.Millisecond)
				use(db, "round")
				return false, nil
			}}},
			Close: func() error {
				use(db, "close")
				return errors.New("an error of Close")
			},
		}, nil
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, io.Discard, io.Discard, "serve") }()
	go func() {
		for ctx.Err() == nil {
			if resp, err := http.Get(url + "/slow"); err == nil {
				_ = resp.Body.Close()
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	<-working
	<-requested
	stop()
	if err := <-ended; err == nil || err.Error() != "an error of Close" {
		t.Errorf("serve: %v", err)
	}
	slices.Sort(done.list[:min(2, len(done.list))]) // which of the two ends first is up to the machine
	if want := []string{"request ended, <nil>", "round ended, <nil>", "close ended, <nil>"}; !slices.Equal(done.list, want) {
		t.Errorf("%q, want %q", done.list, want)
	}
	if err := database.Ready(context.Background()); err == nil {
		t.Error("the database is still open")
	}
	if config.Own != "default" {
		t.Errorf("the service's own setting is %q", config.Own)
	}
}

// A service whose parts cannot be made, or whose port is busy, says so and ends.
func TestServeFails(t *testing.T) {
	failed := errors.New("no key")
	s, _ := thing(t, new(ownConfig), func(*sqldb.DB, *sidecar.Client, *ratelimit.Customers) (service.Wiring, error) {
		return service.Wiring{}, failed
	})
	if err := s.Run(t.Context(), io.Discard, io.Discard, "serve"); !errors.Is(err, failed) {
		t.Errorf("serve: %v", err)
	}
	closed := 0
	s, url := thing(t, new(ownConfig), func(*sqldb.DB, *sidecar.Client, *ratelimit.Customers) (service.Wiring, error) {
		return service.Wiring{Router: web.NewRouter(), Close: func() error { closed++; return nil }}, nil
	})
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := s.Run(t.Context(), io.Discard, io.Discard, "serve"); err == nil || !strings.Contains(err.Error(), listener.Addr().String()) || closed != 1 {
		t.Errorf("a busy port: %v, closed %d times", err, closed)
	}
}

// migrate makes the schema. verify tells of violations, and takes only an age that is positive.
func TestMigrateAndVerify(t *testing.T) {
	s, _ := thing(t, new(ownConfig), nil)
	var out bytes.Buffer
	if err := s.Run(t.Context(), &out, io.Discard, "verify"); err == nil {
		t.Error("verify without a database is no error")
	}
	for _, command := range []string{"migrate", "verify"} {
		if err := s.Run(t.Context(), &out, io.Discard, command); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
	db, err := s.Open(t.Context(), sqldb.Open)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(t.Context(), "INSERT INTO things VALUES ('wrong')"); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), &out, io.Discard, "verify"); !errors.Is(err, verify.ErrViolated) || !strings.Contains(out.String(), "wrong after 10m0s") {
		t.Errorf("verify: %v\n%s", err, &out)
	}
	for age, ok := range map[string]bool{"1s": true, "0s": false, "-10m": false, "soon": false} {
		t.Setenv("VERIFY_MAX_UNFINISHED", age)
		err := s.Run(t.Context(), io.Discard, io.Discard, "verify")
		if errors.Is(err, verify.ErrViolated) != ok || !ok && !strings.Contains(err.Error(), "VERIFY_MAX_UNFINISHED") {
			t.Errorf("verify with %s: %v", age, err)
		}
	}
}

// Outside the local environment a service does not start without the token of its internal routes. It logs why.
func TestCommonConfig(t *testing.T) {
	s, _ := thing(t, new(ownConfig), nil)
	var log bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Setenv("BANKMORE_ENV", "production")
	t.Setenv("DRAIN_TIMEOUT", "0s")
	err := s.Run(t.Context(), io.Discard, io.Discard, "serve")
	for _, name := range []string{"APP_API_TOKEN", "DRAIN_TIMEOUT"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not in: %v", name, err)
		}
		if !strings.Contains(log.String(), "level=ERROR msg=stopped") || !strings.Contains(log.String(), name) {
			t.Errorf("%s is not in the log: %s", name, &log)
		}
	}
}
