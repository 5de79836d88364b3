// Package components holds the components with which daprd is built: those that files of this repository name.
package components

import (
	"fmt"
	"strings"

	"github.com/dapr/components-contrib/nameresolution/kubernetes"
	"github.com/dapr/components-contrib/nameresolution/mdns"
	"github.com/dapr/components-contrib/nameresolution/nameformat"
	"github.com/dapr/components-contrib/pubsub/kafka"
	"github.com/dapr/components-contrib/secretstores/local/env"
	"github.com/dapr/components-contrib/state/postgresql/v2"
	"github.com/dapr/components-contrib/state/redis"
	"github.com/dapr/dapr/pkg/components"
	"github.com/dapr/dapr/pkg/components/nameresolution"
	"github.com/dapr/dapr/pkg/components/pubsub"
	"github.com/dapr/dapr/pkg/components/secretstores"
	"github.com/dapr/dapr/pkg/components/state"
	"github.com/dapr/dapr/pkg/runtime/registry"
	"github.com/dapr/kit/logger"
)

// postgres has only version 2 of the component. Dapr's own build has version 1 as well.
var postgres = components.Versioning{
	Preferred: components.VersionConstructor{Version: "v2", Constructor: postgresql.NewPostgreSQLStateStore},
	Default:   "v2",
}

// Registries returns all components of this build. `make check-components` fails if a file names another component.
func Registries(log logger.Logger) *registry.Options {
	pubsubs := pubsub.NewRegistry()
	pubsubs.RegisterComponent(kafka.NewKafka, "kafka")

	states := state.NewRegistry()
	states.RegisterComponent(redis.NewRedisStateStore, "redis")
	states.RegisterComponent(newStore, "sqlite")
	states.RegisterComponentWithVersions("postgresql", postgres)

	secrets := secretstores.NewRegistry()
	secrets.RegisterComponent(env.NewEnvSecretStore, "local.env")

	// mdns is Dapr's default on a developer's machine, and kubernetes is its default on Kubernetes.
	names := nameresolution.NewRegistry()
	names.RegisterComponent(newResolver, "sqlite")
	names.RegisterComponent(nameformat.NewResolver, "nameformat")
	names.RegisterComponent(mdns.NewResolver, "mdns")
	names.RegisterComponent(kubernetes.NewResolver, "kubernetes")

	pubsubs.Logger, states.Logger, secrets.Logger, names.Logger = log, log, log, log
	return registry.NewOptions().WithPubSubs(pubsubs).WithStateStores(states).WithSecretStores(secrets).WithNameResolutions(names)
}

// Has returns an error unless this build has the component of a type such as "state.redis" in a version such as "v1".
func Has(componentType, version string) error {
	built := registry.New(Registries(logger.NewLogger("components")))
	kind, name, _ := strings.Cut(componentType, ".")
	var err error
	switch kind {
	case "pubsub":
		_, err = built.PubSubs().Create(componentType, version, "")
	case "state":
		_, err = built.StateStores().Create(componentType, version, "")
	case "secretstores":
		_, err = built.SecretStores().Create(componentType, version, "")
	case "nameresolution":
		_, err = built.NameResolutions().Create(name, version, "")
	default:
		err = fmt.Errorf("no components of the kind %q", kind)
	}
	if err != nil {
		return fmt.Errorf("tools/daprd is built without %s/%s: %w", componentType, version, err)
	}
	return nil
}
