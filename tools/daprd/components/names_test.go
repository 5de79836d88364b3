package components

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	resolution "github.com/dapr/components-contrib/nameresolution"
)

// drawing is a resolver that returns one of its replicas at a time.
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
