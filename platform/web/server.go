package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// ServerConfig says where a service listens and how long it drains.
type ServerConfig struct {
	ListenAddress string        `env:"LISTEN_ADDRESS,required"`
	DrainTimeout  time.Duration `env:"DRAIN_TIMEOUT" envDefault:"15s"`
}

// Validate returns an error for each value out of range.
func (c ServerConfig) Validate() error {
	if c.DrainTimeout <= 0 {
		return errors.New("DRAIN_TIMEOUT is not positive")
	}
	return nil
}

// Check is a dependency that a ready service needs.
type Check struct {
	Name  string
	Ready func(ctx context.Context) error
}

// Server serves one router. Its listener is open from the start: a busy port is an error of NewServer.
type Server struct {
	listener net.Listener
	server   *http.Server
	drain    time.Duration
	draining atomic.Bool
}

// NewServer opens the listener and adds the routes that machines poll: /healthz says the process lives, /readyz that
// its dependencies answer and it is not draining, /metrics is for Prometheus.
func NewServer(ctx context.Context, config ServerConfig, router *chi.Mux, checks ...Check) (*Server, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", config.ListenAddress)
	if err != nil {
		return nil, fmt.Errorf("LISTEN_ADDRESS: %w", err)
	}
	s := &Server{listener: listener, drain: config.DrainTimeout}
	router.Get("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	router.Get("/readyz", s.readyz(checks))
	router.Method(http.MethodGet, "/metrics", promhttp.Handler())
	s.server = &http.Server{
		Handler:           router,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      45 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
	return s, nil
}

// Serve answers requests until ctx ends, then lets those in flight end, for DrainTimeout at most.
func (s *Server) Serve(ctx context.Context) error {
	slog.InfoContext(ctx, "listening", "address", s.listener.Addr().String())
	drained := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		s.draining.Store(true)
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.drain)
		defer cancel()
		drained <- s.server.Shutdown(limit)
	})
	err := s.server.Serve(s.listener)
	if stop() || !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("server: %w", err)
	}
	if err := <-drained; err != nil {
		return fmt.Errorf("draining: %w", errors.Join(err, s.server.Close()))
	}
	return nil
}

func (s *Server) readyz(checks []Check) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if s.draining.Load() {
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		for _, check := range checks {
			if err := check.Ready(ctx); err != nil {
				slog.WarnContext(ctx, "not ready", "check", check.Name, "error", err)
				http.Error(w, check.Name+" is not ready", http.StatusServiceUnavailable)
				return
			}
		}
		fmt.Fprintln(w, "ready")
	}
}
