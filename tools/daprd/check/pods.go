package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// podOf is the template of the pods that a resource makes, or nil if it makes none.
func podOf(resource any) *core.PodTemplateSpec {
	switch r := resource.(type) {
	case *apps.Deployment:
		return &r.Spec.Template
	case *apps.StatefulSet:
		return &r.Spec.Template
	case *batch.Job:
		return &r.Spec.Template
	case *batch.CronJob:
		return &r.Spec.JobTemplate.Spec.Template
	}
	return nil
}

// pods returns an error for each rule of ours that a pod breaks: every container has requests, limits and an image of one
// version; Go programs begin to save memory before the kernel ends them; and there is time for an end in good order.
func pods(template *core.PodTemplateSpec) error {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	spec := template.Spec
	if spec.AutomountServiceAccountToken == nil {
		problem("automountServiceAccountToken is not set")
	}
	if spec.EnableServiceLinks == nil || *spec.EnableServiceLinks {
		problem("enableServiceLinks is on: a Service's variables would be taken for settings")
	}
	waits, ends := time.Duration(0), time.Duration(0)
	for _, c := range append(spec.InitContainers, spec.Containers...) {
		for _, name := range []core.ResourceName{core.ResourceCPU, core.ResourceMemory} {
			if c.Resources.Requests[name] == (resource.Quantity{}) || c.Resources.Limits[name] == (resource.Quantity{}) {
				problem("%s: no request or no limit of %s", c.Name, name)
			}
		}
		if repository, tag, _ := strings.Cut(c.Image[strings.LastIndex(c.Image, "/")+1:], ":"); repository == "" || tag == "" || tag == "latest" {
			problem("%s: image %s has no version", c.Name, c.Image)
		}
		if err := memoryLimit(variable(c.Env, "GOMEMLIMIT"), c.Resources.Limits.Memory()); err != nil {
			problem("%s: %w", c.Name, err)
		}
		duration := func(name string) time.Duration {
			text := variable(c.Env, name)
			if text == "" {
				return 0
			}
			d, err := time.ParseDuration(text)
			if err != nil {
				problem("%s: %s: %w", c.Name, name, err)
			}
			return d
		}
		wait := duration("INGRESS_SHUTDOWN_DELAY")
		if c.Lifecycle != nil && c.Lifecycle.PreStop != nil && c.Lifecycle.PreStop.Sleep != nil {
			wait += time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
		}
		waits, ends = max(waits, wait), max(ends, wait+duration("DRAIN_TIMEOUT"))
	}
	if template.Annotations["dapr.io/enabled"] == "true" {
		if waits == 0 {
			problem("the app ends at once, while callers still know its address: it has neither a preStop nor INGRESS_SHUTDOWN_DELAY")
		}
		problems = append(problems, sidecar(template, ends))
	}
	return errors.Join(problems...)
}

// sidecar checks what annotations say of a Dapr sidecar beside an app that takes ends to end.
func sidecar(template *core.PodTemplateSpec, ends time.Duration) error {
	annotation := func(name string) string { return template.Annotations["dapr.io/"+name] }
	var problems []error
	for _, name := range []string{
		"app-id", "config", "api-token-secret", "sidecar-cpu-request", "sidecar-cpu-limit", "sidecar-memory-request", "sidecar-memory-limit",
	} {
		if annotation(name) == "" {
			problems = append(problems, fmt.Errorf("no annotation dapr.io/%s", name))
		}
	}
	if limit, err := resource.ParseQuantity(annotation("sidecar-memory-limit")); err == nil {
		soft := ""
		for _, pair := range strings.Split(annotation("env"), ",") {
			if name, value, _ := strings.Cut(pair, "="); name == "GOMEMLIMIT" {
				soft = value
			}
		}
		if soft == "" {
			problems = append(problems, errors.New("the sidecar has no GOMEMLIMIT"))
		}
		problems = append(problems, memoryLimit(soft, &limit))
	}
	graceful, err := strconv.Atoi(annotation("graceful-shutdown-seconds"))
	if err != nil {
		problems = append(problems, fmt.Errorf("dapr.io/graceful-shutdown-seconds: %w", err))
	}
	needed := ends + time.Duration(graceful)*time.Second
	if grace := template.Spec.TerminationGracePeriodSeconds; grace == nil || time.Duration(*grace)*time.Second < needed {
		problems = append(problems, fmt.Errorf("terminationGracePeriodSeconds: app and sidecar may take %s", needed))
	}
	if block := annotation("block-shutdown-duration"); block != "" {
		if blocked, err := time.ParseDuration(block); err != nil || blocked < ends {
			problems = append(problems, fmt.Errorf("dapr.io/block-shutdown-duration %s: the app may take %s (%w)", block, ends, err))
		}
	}
	return errors.Join(problems...)
}

// memoryLimit wants GOMEMLIMIT, if there is one, to be between 80 and 90 percent of a container's limit.
func memoryLimit(soft string, hard *resource.Quantity) error {
	if soft == "" {
		return nil
	}
	quantity, err := resource.ParseQuantity(strings.TrimSuffix(soft, "B"))
	if err != nil {
		return fmt.Errorf("GOMEMLIMIT: %w", err)
	}
	if share := quantity.AsApproximateFloat64() / hard.AsApproximateFloat64(); share < 0.8 || share > 0.9 {
		return fmt.Errorf("GOMEMLIMIT %s is %.0f%% of the limit %s", soft, 100*share, hard)
	}
	return nil
}

func variable(env []core.EnvVar, name string) string {
	for _, v := range env {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}
