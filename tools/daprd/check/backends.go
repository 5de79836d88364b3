package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

// backends are the Services of a file, and the ports of Services that its routes and Ingresses name.
type backends struct {
	services map[string][]core.ServicePort
	named    []backend
}

// backend is a port that something names: by its number, or, in an Ingress, by its name.
type backend struct {
	by, service string
	port        networking.ServiceBackendPort
}

// route is what the routes of the Gateway API have in common, as far as it concerns Services.
type route struct {
	Spec struct {
		Rules []struct {
			BackendRefs []struct {
				Kind string `json:"kind"` // "" is Service
				Name string `json:"name"`
				Port int32  `json:"port"`
			} `json:"backendRefs"`
		} `json:"rules"`
	} `json:"spec"`
}

// addRoute adds what a resource of the Gateway API names, if it is a route.
func (b *backends) addRoute(by string, document []byte) error {
	var r route
	if err := yaml.Unmarshal(document, &r); err != nil {
		return fmt.Errorf("%s: %w", by, err)
	}
	for _, rule := range r.Spec.Rules {
		for _, ref := range rule.BackendRefs {
			if ref.Kind == "" || ref.Kind == "Service" {
				b.named = append(b.named, backend{by, ref.Name, networking.ServiceBackendPort{Number: ref.Port}})
			}
		}
	}
	return nil
}

// add adds a Service, or what an Ingress names.
func (b *backends) add(resource any) {
	switch r := resource.(type) {
	case *core.Service:
		if b.services == nil {
			b.services = map[string][]core.ServicePort{}
		}
		b.services[r.Name] = r.Spec.Ports
	case *networking.Ingress:
		name := func(at *networking.IngressBackend) {
			if at != nil && at.Service != nil {
				b.named = append(b.named, backend{"Ingress " + r.Name, at.Service.Name, at.Service.Port})
			}
		}
		name(r.Spec.DefaultBackend)
		for _, rule := range r.Spec.Rules {
			if rule.HTTP == nil {
				continue
			}
			for _, path := range rule.HTTP.Paths {
				name(&path.Backend)
			}
		}
	}
}

// missing returns an error for each port that something names and no Service of the file has.
func (b *backends) missing() error {
	var problems []error
	for _, n := range b.named {
		if !slices.ContainsFunc(b.services[n.service], func(p core.ServicePort) bool {
			if n.port.Name != "" {
				return p.Name == n.port.Name
			}
			return p.Port == n.port.Number
		}) {
			problems = append(problems, fmt.Errorf("%s: no Service %s has the port %s", n.by, n.service, cmp.Or(n.port.Name, strconv.Itoa(int(n.port.Number)))))
		}
	}
	return errors.Join(problems...)
}
