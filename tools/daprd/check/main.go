// Command check reads Dapr's and Kubernetes' resources in the given files and folders as strictly as neither does by itself:
// a field that this version does not know, or a setting that a component of this version does not have, is an error. So are
// a timeout policy that can end daprd, a component that our build of daprd does not have, and a port of a Service that a route or an
// Ingress of the same file names and the Service lacks. Of other resources that others define (ServiceMonitors) it only sees that
// they are YAML.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bankmore/bankmore/tools/daprd/components"
	component "github.com/dapr/dapr/pkg/apis/components/v1alpha1"
	configuration "github.com/dapr/dapr/pkg/apis/configuration/v1alpha1"
	resiliency "github.com/dapr/dapr/pkg/apis/resiliency/v1alpha1"
	subscriptions "github.com/dapr/dapr/pkg/apis/subscriptions/v2alpha1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	rbac "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// kinds are the resources that may occur.
var kinds = map[string]func() any{
	"dapr.io/v1alpha1 Component":     func() any { return new(component.Component) },
	"dapr.io/v1alpha1 Configuration": func() any { return new(configuration.Configuration) },
	"dapr.io/v1alpha1 Resiliency":    func() any { return new(resiliency.Resiliency) },
	"dapr.io/v2alpha1 Subscription":  func() any { return new(subscriptions.Subscription) },

	"v1 ConfigMap":                                  func() any { return new(core.ConfigMap) },
	"v1 Namespace":                                  func() any { return new(core.Namespace) },
	"v1 PersistentVolumeClaim":                      func() any { return new(core.PersistentVolumeClaim) },
	"v1 Service":                                    func() any { return new(core.Service) },
	"v1 ServiceAccount":                             func() any { return new(core.ServiceAccount) },
	"apps/v1 Deployment":                            func() any { return new(apps.Deployment) },
	"apps/v1 StatefulSet":                           func() any { return new(apps.StatefulSet) },
	"autoscaling/v2 HorizontalPodAutoscaler":        func() any { return new(autoscaling.HorizontalPodAutoscaler) },
	"batch/v1 CronJob":                              func() any { return new(batch.CronJob) },
	"batch/v1 Job":                                  func() any { return new(batch.Job) },
	"discovery.k8s.io/v1 EndpointSlice":             func() any { return new(discovery.EndpointSlice) },
	"networking.k8s.io/v1 Ingress":                  func() any { return new(networking.Ingress) },
	"networking.k8s.io/v1 NetworkPolicy":            func() any { return new(networking.NetworkPolicy) },
	"policy/v1 PodDisruptionBudget":                 func() any { return new(policy.PodDisruptionBudget) },
	"rbac.authorization.k8s.io/v1 Role":             func() any { return new(rbac.Role) },
	"rbac.authorization.k8s.io/v1 RoleBinding":      func() any { return new(rbac.RoleBinding) },
	"kustomize.config.k8s.io/v1beta1 Kustomization": func() any { return new(map[string]any) }, // kustomize reads it strictly
}

// foreign are the groups of resources whose definitions a cluster gets from others.
var foreign = []string{
	"external-secrets.io", "generators.external-secrets.io", "gateway.networking.k8s.io", "keda.sh", "monitoring.coreos.com",
}

// ofRuntime are settings that daprd itself reads from a component of a kind.
var ofRuntime = map[string][]string{
	"pubsub": {"allowedTopics", "protectedTopics", "publishingScopes", "subscriptionScopes"},
	"state":  {"keyPrefix", "actorStateStore"},
}

func main() {
	contrib := flag.String("contrib", "", "folder of github.com/dapr/components-contrib")
	flag.Parse()
	checked := 0
	var problems []error
	for _, folder := range flag.Args() {
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" {
				return err
			}
			checked++
			if err := check(path, *contrib); err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", path, err))
			}
			return nil
		})
		problems = append(problems, err)
	}
	if checked == 0 {
		problems = append(problems, errors.New("no resources found"))
	}
	if err := errors.Join(problems...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("%d files of resources checked\n", checked)
}

func check(path, contrib string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var problems []error
	var behind backends
	for _, document := range bytes.Split(raw, []byte("\n---\n")) {
		var head struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Metadata   struct {
				Name string `json:"name"`
			} `json:"metadata"`
		}
		if err := yaml.Unmarshal(document, &head); err != nil {
			return err
		}
		create := kinds[head.APIVersion+" "+head.Kind]
		if group, _, ok := strings.Cut(head.APIVersion, "/"); ok && slices.Contains(foreign, group) {
			if group == "gateway.networking.k8s.io" {
				problems = append(problems, behind.addRoute(head.Kind+" "+head.Metadata.Name, document))
			}
			continue
		}
		if create == nil {
			problems = append(problems, fmt.Errorf("unknown resource %s %s", head.APIVersion, head.Kind))
			continue
		}
		resource := create()
		if err := yaml.UnmarshalStrict(document, resource); err != nil {
			problems = append(problems, fmt.Errorf("%s %s: %w", head.Kind, head.Metadata.Name, err))
			continue
		}
		if template := podOf(resource); template != nil {
			if err := pods(template); err != nil {
				problems = append(problems, fmt.Errorf("%s %s: %w", head.Kind, head.Metadata.Name, err))
			}
		}
		behind.add(resource)
		switch resource := resource.(type) {
		case *component.Component:
			var names []string
			for _, item := range resource.Spec.Metadata {
				names = append(names, item.Name)
			}
			problems = append(problems, settings(resource.Spec.Type, resource.Spec.Version, names, contrib))
		case *configuration.Configuration:
			problems = append(problems, resolution(resource.Spec.NameResolutionSpec, contrib))
		case *resiliency.Resiliency:
			problems = append(problems, timeouts(resource.Spec))
		}
	}
	return errors.Join(append(problems, behind.missing())...)
}

// Why a timeout policy is refused. docs/adr/0012-no-timeout-policy-on-calls-of-apps.md says more.
const (
	panics = "when a caller goes away, daprd writes to an answer that no longer exists, and ends (dapr/dapr#10371); " +
		"bound the time in the callers and in the ingress"
	races = "when a delivery is abandoned, two goroutines use one map, and Go ends daprd for it; " +
		"bound the time in the app"
)

// timeouts returns an error for each timeout policy that can end daprd: on calls of apps, and on what components deliver
// to apps. A timeout policy with the name of a default applies to every target that has none of its own.
func timeouts(spec resiliency.ResiliencySpec) error {
	var problems []error
	for _, app := range slices.Sorted(maps.Keys(spec.Targets.Apps)) {
		if spec.Targets.Apps[app].Timeout != "" {
			problems = append(problems, fmt.Errorf("targets.apps.%s has a timeout: %s", app, panics))
		}
	}
	for _, component := range slices.Sorted(maps.Keys(spec.Targets.Components)) {
		if spec.Targets.Components[component].Inbound.Timeout != "" {
			problems = append(problems, fmt.Errorf("targets.components.%s.inbound has a timeout: %s", component, races))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Policies.Timeouts)) {
		if strings.HasPrefix(name, "Default") && strings.HasSuffix(name, "TimeoutPolicy") {
			problems = append(problems, fmt.Errorf("policies.timeouts.%s is a timeout of whatever has none of its own, apps too: %s", name, panics))
		}
	}
	return errors.Join(problems...)
}

// undescribed are component types that have settings, but describe none.
var undescribed = []string{"nameresolution.sqlite"}

// resolution checks the settings of a Configuration's name resolution, if it has one.
func resolution(names *configuration.NameResolutionSpec, contrib string) error {
	if names == nil {
		return nil
	}
	var values map[string]any
	if names.Configuration != nil {
		if err := json.Unmarshal(names.Configuration.Raw, &values); err != nil {
			return fmt.Errorf("nameResolution: %w", err)
		}
	}
	return settings("nameresolution."+names.Component, names.Version, slices.Sorted(maps.Keys(values)), contrib)
}

// settings checks that our daprd has the component, the names of its settings, and whether those that must be there are.
func settings(componentType, version string, names []string, contrib string) error {
	known, err := describe(componentType, version, contrib)
	if err != nil {
		return err
	}
	if err := components.Has(componentType, version); err != nil || slices.Contains(undescribed, componentType) {
		return err
	}
	kind, _, _ := strings.Cut(componentType, ".")
	for _, name := range ofRuntime[kind] {
		known[strings.ToLower(name)] = false
	}
	var problems []error
	for _, name := range names {
		key := strings.ToLower(name)
		if _, ok := known[key]; !ok {
			problems = append(problems, fmt.Errorf("%s has no setting %s", componentType, name))
		}
		delete(known, key)
	}
	for name, required := range known {
		if required {
			problems = append(problems, fmt.Errorf("%s needs the setting %s", componentType, name))
		}
	}
	return errors.Join(problems...)
}

type setting struct {
	Name     string   `json:"name"`
	Aliases  []string `json:"aliases"`
	Required bool     `json:"required"`
}

// describe reads the settings of a component's type from its own description: the name, and whether it is required.
func describe(componentType, version, contrib string) (map[string]bool, error) {
	folder := filepath.Join(append([]string{contrib}, strings.Split(componentType, ".")...)...)
	raw, err := os.ReadFile(filepath.Join(folder, version, "metadata.yaml"))
	if errors.Is(err, fs.ErrNotExist) {
		raw, err = os.ReadFile(filepath.Join(folder, "metadata.yaml"))
	}
	if err != nil {
		return nil, fmt.Errorf("no description of %s: %w", componentType, err)
	}
	var description struct {
		Version  string    `json:"version"`
		Metadata []setting `json:"metadata"`
		Profiles []struct {
			Metadata []setting `json:"metadata"`
		} `json:"authenticationProfiles"`
	}
	if err := yaml.Unmarshal(raw, &description); err != nil {
		return nil, err
	}
	if description.Version != version {
		return nil, fmt.Errorf("%s has version %s, not %s", componentType, description.Version, version)
	}
	known := map[string]bool{}
	for _, s := range description.Metadata {
		for _, name := range append(s.Aliases, s.Name) {
			known[strings.ToLower(name)] = s.Required && len(s.Aliases) == 0
		}
	}
	for _, profile := range description.Profiles {
		for _, s := range profile.Metadata { // one profile's, not all at once
			known[strings.ToLower(s.Name)] = false
		}
	}
	return known, nil
}
