package components

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	resolution "github.com/dapr/components-contrib/nameresolution"
	"github.com/dapr/kit/logger"
)

// drawing is a resolver with replicas, of which it tells one at a time.
type drawing struct {
	resolution.Resolver
	replicas []string
}

var errNoHost = errors.New("no host")

func (d drawing) ResolveID(context.Context, resolution.ResolveRequest) (string, error) {
	if len(d.replicas) == 0 {
		return "", errNoHost
	}
	return d.replicas[rand.IntN(len(d.replicas))], nil
}

func TestAllReplicasAreFound(t *testing.T) {
	for _, replicas := range [][]string{{"a"}, {"a", "b"}} {
		got, err := (&cacheable{Resolver: drawing{replicas: replicas}}).ResolveIDMulti(t.Context(), resolution.ResolveRequest{ID: "app"})
		if err != nil || len(got) != len(replicas) {
			t.Errorf("%q, %v, want %q", got, err, replicas)
		}
	}
	if got, err := (&cacheable{Resolver: drawing{}}).ResolveIDMulti(t.Context(), resolution.ResolveRequest{ID: "app"}); !errors.Is(err, errNoHost) {
		t.Errorf("%q, %v, want %v", got, err, errNoHost)
	}
}

// Sidecars that start together on a file that is not there yet all have name resolution.
func TestSidecarsStartTogether(t *testing.T) {
	for range 20 {
		file := filepath.Join(t.TempDir(), "names.db")
		var all sync.WaitGroup
		for n := range 8 {
			resolver := newResolver(logger.NewLogger("test"))
			all.Go(func() {
				err := resolver.Init(t.Context(), resolution.Metadata{
					Instance:      resolution.Instance{Address: "127.0.0.1", AppID: fmt.Sprint("app-", n), DaprInternalPort: 1000 + n},
					Configuration: map[string]string{"connectionString": file, "busyTimeout": "5s", "cleanupInterval": "0s"},
				})
				if err != nil {
					t.Errorf("app-%d: %v", n, err)
				}
			})
		}
		all.Wait()
	}
}
