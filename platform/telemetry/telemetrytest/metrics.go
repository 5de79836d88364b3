package telemetrytest

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// prefix is that of the metrics of our own. Those of libraries have others: go_, process_, promhttp_.
const prefix = "bankmore_"

// metric is a row of docs/metrics.md.
type metric struct{ name, labels, meaning string }

// describedAs is the text of a prometheus.Desc, which has no other way to be read.
var describedAs = regexp.MustCompile(`^Desc\{fqName: "(.+)", help: "(.+)", unit: ".*", constLabels: \{.*\}, variableLabels: \{(.*)\}\}$`)

// exposed returns the metrics that this process can expose, also those that have no series yet.
func exposed(t *testing.T) (all []metric) {
	t.Helper()
	registry, ok := prometheus.DefaultRegisterer.(*prometheus.Registry)
	if !ok {
		t.Fatalf("the default registerer is a %T", prometheus.DefaultRegisterer)
	}
	descriptions := make(chan *prometheus.Desc)
	go func() {
		defer close(descriptions)
		registry.Describe(descriptions)
	}()
	for d := range descriptions {
		parts := describedAs.FindStringSubmatch(d.String())
		if parts == nil {
			t.Errorf("cannot read %s", d)
			continue
		}
		if strings.HasPrefix(parts[1], prefix) {
			all = append(all, metric{parts[1], strings.ReplaceAll(parts[3], ",", ", "), parts[2]})
		}
	}
	return all
}

// documented returns the rows of the tables in a file that are about a service.
func documented(t *testing.T, file, service string) (all []metric) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if name := strings.Trim(cells[0], "`"); len(cells) == 4 && strings.HasPrefix(name, prefix) && slices.Contains(strings.Split(cells[2], ", "), service) {
			all = append(all, metric{name, strings.Trim(strings.ReplaceAll(cells[1], "`", ""), " –"), cells[3]})
		}
	}
	return all
}

// Documented checks that the metrics of the service in this process are those of the tables in the file docs/metrics.md: names,
// labels and meanings. It also checks that the names follow Prometheus's conventions.
func Documented(t *testing.T, file, service string) {
	t.Helper()
	has, says := exposed(t), documented(t, file, service)
	for _, m := range has {
		if !slices.Contains(says, m) {
			t.Errorf("%s lacks the row, for %s:\n| `%s` | %s | %s | %s |", file, service, m.name, labels(m), service, m.meaning)
		}
	}
	for _, m := range says {
		if !slices.Contains(has, m) {
			t.Errorf("%s says that %s has %+v", file, service, m)
		}
	}
	lint(t)
}

func labels(m metric) string {
	if m.labels == "" {
		return "–"
	}
	return "`" + strings.ReplaceAll(m.labels, ", ", "`, `") + "`"
}

// lint checks the names and units of all series that there are, as `promtool check metrics` does.
func lint(t *testing.T) {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	own := slices.Clone(families)
	for i := 0; i < len(own); {
		if strings.HasPrefix(own[i].GetName(), prefix) {
			i++
		} else {
			own = slices.Delete(own, i, i+1)
		}
	}
	problems, err := promlint.NewWithMetricFamilies(own).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Value returns what a counter or a gauge says, or how often a histogram has observed, of the series whose labels have these values,
// in the order of the labels' names. It is 0 if there is no such series.
func Value(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var values []string
			for _, label := range m.GetLabel() {
				values = append(values, label.GetValue())
			}
			if slices.Equal(values, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return 0
}
