package alerts

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

const observability = root + "compose/observability/"

// composed is a service of compose.yaml.
type composed struct {
	NetworkMode string `yaml:"network_mode"`
	Networks    map[string]struct{ Aliases []string }
	Volumes     []string
}

// compose returns the services of compose.yaml.
func compose(t *testing.T) map[string]composed {
	t.Helper()
	var file struct{ Services map[string]composed }
	if err := yaml.Unmarshal([]byte(read(t, root+"compose.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	return file.Services
}

// What compose.yaml mounts is there. Docker would make an empty folder of a file that is not.
func TestComposeMountsWhatIsThere(t *testing.T) {
	mounted := 0
	for name, service := range compose(t) {
		for _, volume := range service.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			if !strings.HasPrefix(source, "./") {
				continue
			}
			mounted++
			if _, err := os.Stat(filepath.Join(root, source)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if mounted < 15 {
		t.Errorf("%d mounts: this finds too little", mounted)
	}
}

// Whoever collects or shows something in the profile observability calls others by names that compose.yaml gives them. CI never
// starts that profile, since it can pull no images.
func TestObserversCallByNamesOfCompose(t *testing.T) {
	var names []string
	for name, service := range compose(t) {
		if service.NetworkMode == "" {
			names = append(names, name)
		}
		for _, network := range service.Networks {
			names = append(names, network.Aliases...)
		}
	}
	calls := regexp.MustCompile(`(?m)"?([a-z][a-z-]*):\d{4,5}\b`)
	for file, least := range map[string]int{"prometheus.yaml": 8, "otel-collector.yaml": 1, "config.alloy": 1, "grafana/datasources.yaml": 3} {
		found := calls.FindAllStringSubmatch(read(t, observability+file), -1)
		for _, call := range found {
			if !slices.Contains(names, call[1]) {
				t.Errorf("%s calls %s, and compose.yaml has only %s", file, call[1], names)
			}
		}
		if len(found) < least {
			t.Errorf("%s: %d calls: this finds too little", file, len(found))
		}
	}
}

// Dashboards and data sources name each other by the uids that Grafana is given.
func TestDataSourcesAreThere(t *testing.T) {
	var provisioned struct {
		Datasources []struct{ UID string }
	}
	sources := read(t, observability+"grafana/datasources.yaml")
	if err := yaml.Unmarshal([]byte(sources), &provisioned); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, source := range provisioned.Datasources {
		known[source.UID] = true
	}
	files, err := filepath.Glob(dashboards)
	if err != nil {
		t.Fatal(err)
	}
	asked := regexp.MustCompile(`"uid": "([a-z]+)"|datasourceUid: ([a-z]+)`)
	found := 0
	for _, text := range append([]string{sources}, contents(t, files)...) {
		for _, uid := range asked.FindAllStringSubmatch(text, -1) {
			found++
			if !known[uid[1]+uid[2]] {
				t.Errorf("there is no data source %q, only %q", uid[1]+uid[2], slices.Sorted(maps.Keys(known)))
			}
		}
	}
	if found < 10 {
		t.Errorf("%d uids: this finds too little", found)
	}
}

func contents(t *testing.T, files []string) (all []string) {
	t.Helper()
	for _, file := range files {
		all = append(all, read(t, file))
	}
	return all
}
