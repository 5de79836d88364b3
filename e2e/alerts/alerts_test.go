// Package alerts checks that the alert rules, the dashboards, the runbook and the tables of metrics speak of the same series, and that
// what compose.yaml's profile observability starts is configured for one another.
package alerts

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"gopkg.in/yaml.v3"
)

const (
	root        = "../../"
	rulesFile   = root + "k8s/components/monitoring/rules.yaml"
	runbookFile = root + "docs/runbook.md"
	metricsFile = root + "docs/metrics.md"
	dashboards  = root + "compose/observability/dashboards/*.json"
)

func read(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// rule is an alert in rulesFile.
type rule struct {
	Alert, Expr string
	Labels      struct{ Severity string }
	Annotations struct {
		Summary    string
		RunbookURL string `yaml:"runbook_url"`
	}
}

// rules returns the alerts of a group, or of all groups.
func rules(t *testing.T, group string) (all []rule) {
	t.Helper()
	var file struct {
		Spec struct {
			Groups []struct {
				Name  string
				Rules []rule
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, rulesFile)), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Spec.Groups {
		if group == "" || g.Name == group {
			all = append(all, g.Rules...)
		}
	}
	return all
}

// series is what a selector of PromQL asks for.
type series struct {
	metric string
	labels map[string]string // those that must have one value
	names  []string          // of all labels that the selector names
}

// selectors returns the series that an expression asks for, of all metrics in known.
func selectors(t *testing.T, expr string, known []string) (all []series) {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v", expr, err)
		return nil
	}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		s := series{metric: selector.Name, labels: map[string]string{}}
		var byName []series
		for _, m := range selector.LabelMatchers {
			switch {
			case m.Name == model.MetricNameLabel && m.Type == labels.MatchRegexp:
				for _, name := range known {
					if m.Matches(name) {
						byName = append(byName, series{metric: name})
					}
				}
			case m.Name == model.MetricNameLabel:
			case m.Type == labels.MatchEqual:
				s.labels[m.Name] = m.Value
				s.names = append(s.names, m.Name)
			default:
				s.names = append(s.names, m.Name)
			}
		}
		if s.metric != "" {
			byName = append(byName, s)
		}
		all = append(all, byName...)
		return nil
	})
	if len(all) == 0 {
		t.Errorf("%s asks for no series that %s has", expr, metricsFile)
	}
	return all
}

// metrics returns the metrics of the tables in metricsFile, with their labels. Those of others have none.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for line := range strings.Lines(read(t, metricsFile)) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if name, ok := strings.CutPrefix(cells[0], "`"); ok && len(cells) > 1 {
			found[strings.Trim(name, "`")] = quoted.FindAllString(strings.ReplaceAll(cells[1], "`, `", "` `"), -1)
		}
	}
	if len(found) < 40 {
		t.Fatalf("%s has %d metrics", metricsFile, len(found))
	}
	return found
}

var quoted = regexp.MustCompile("`[a-z_]+`")

// targetLabels are those that Prometheus adds to every series.
var targetLabels = []string{"job", "instance"}

// base returns the metric that a series belongs to: a histogram has three.
func base(known map[string][]string, name string) string {
	for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
		if short, ok := strings.CutSuffix(name, suffix); ok {
			if _, ok := known[short]; ok {
				return short
			}
		}
	}
	return ""
}

// wantKnown checks that an expression asks only for metrics of the tables, and names only labels that they have.
func wantKnown(t *testing.T, where, expr string, known map[string][]string) {
	t.Helper()
	var names []string
	for name := range known {
		names = append(names, name)
	}
	for _, s := range selectors(t, expr, names) {
		metric := base(known, s.metric)
		if metric == "" {
			t.Errorf("%s: %s is in no table of %s", where, s.metric, metricsFile)
		}
		if !strings.HasPrefix(metric, "bankmore_") {
			continue
		}
		for _, label := range s.names {
			if !slices.Contains(targetLabels, label) && !slices.Contains(known[metric], "`"+label+"`") {
				t.Errorf("%s: %s has no label %s", where, metric, label)
			}
		}
	}
}

func TestRulesAskForWhatThereIs(t *testing.T) {
	known := metrics(t)
	all := rules(t, "")
	if len(all) < 20 {
		t.Fatalf("%d rules", len(all))
	}
	for _, r := range all {
		wantKnown(t, r.Alert, r.Expr, known)
	}
}

// headings returns the anchors of the runbook's sections, as GitHub makes them.
func headings(t *testing.T) (anchors []string) {
	t.Helper()
	for line := range strings.Lines(read(t, runbookFile)) {
		if title := strings.TrimLeft(line, "#"); title != line && strings.HasPrefix(title, " ") {
			title = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(title)), " ", "-")
			anchors = append(anchors, regexp.MustCompile(`[^a-z0-9_-]`).ReplaceAllString(title, ""))
		}
	}
	return anchors
}

// Whoever is woken by an alert finds what it says, how bad it is, and the place in the runbook.
func TestAlertsLeadToTheRunbook(t *testing.T) {
	anchors := headings(t)
	for _, r := range rules(t, "") {
		anchor, ok := strings.CutPrefix(r.Annotations.RunbookURL, "docs/runbook.md#")
		if !ok || !slices.Contains(anchors, anchor) {
			t.Errorf("%s: the runbook has no place %q", r.Alert, r.Annotations.RunbookURL)
		}
		if r.Annotations.Summary == "" || (r.Labels.Severity != "critical" && r.Labels.Severity != "warning") {
			t.Errorf("%s: summary %q, severity %q", r.Alert, r.Annotations.Summary, r.Labels.Severity)
		}
	}
}

// documented returns the series of the runbook's table of alerts: a metric, and the labels that choose the series.
func documented(t *testing.T) (all []string) {
	t.Helper()
	_, table, found := strings.Cut(read(t, runbookFile), "\n| alert on | means | see |\n")
	if !found {
		t.Fatal("the runbook has no table of alerts")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	for row := range strings.Lines(table) {
		first, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
		for _, code := range code.FindAllStringSubmatch(first, -1) {
			if asSeries.MatchString(code[1]) {
				all = append(all, code[1])
			}
		}
	}
	return all
}

var (
	code = regexp.MustCompile("`([^`]*)`")
	// A label, as "state" in "by state", has no prefix.
	asSeries = regexp.MustCompile(`^((bankmore|kafka)_[a-z_]+|up)(\{[^}]*\})?$`)
)

// Each series of the runbook's table has an alert, and each alert on the services' own metrics is in the table.
func TestRunbookAndRulesNameTheSameSeries(t *testing.T) {
	listed, alerts := documented(t), rules(t, "bankmore")
	if len(listed) < 20 {
		t.Fatalf("found %d series in the runbook", len(listed))
	}
	asked := map[string][]series{}
	for _, r := range alerts {
		asked[r.Alert] = selectors(t, r.Expr, nil)
	}
	explained := map[string]bool{}
	for _, one := range listed {
		want := selectors(t, one, nil)[0]
		alarmed := false
		for alert, all := range asked {
			if slices.ContainsFunc(all, func(s series) bool { return s.asksFor(want) }) {
				alarmed, explained[alert] = true, true
			}
		}
		if !alarmed {
			t.Errorf("no rule alerts on %s", one)
		}
	}
	for _, r := range alerts {
		if !explained[r.Alert] {
			t.Errorf("the runbook's table does not explain %s", r.Alert)
		}
	}
}

func (s series) asksFor(want series) bool {
	for name, value := range want.labels {
		if s.labels[name] != value {
			return false
		}
	}
	return s.metric == want.metric
}

// Each alert has a test that it fires, and one that it does not.
func TestEachAlertIsTested(t *testing.T) {
	var file struct {
		Tests []struct {
			AlertRuleTest []struct {
				Alertname string
				ExpAlerts []any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "rules_test.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	fires, rests := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, a := range test.AlertRuleTest {
			if len(a.ExpAlerts) > 0 {
				fires[a.Alertname] = true
			} else {
				rests[a.Alertname] = true
			}
		}
	}
	for _, r := range rules(t, "") {
		if !fires[r.Alert] || !rests[r.Alert] {
			t.Errorf("%s: tested that it fires: %t, that it does not: %t", r.Alert, fires[r.Alert], rests[r.Alert])
		}
	}
}

// What Grafana fills in before it asks Prometheus.
var variables = strings.NewReplacer("$__rate_interval", "1m", "$job", ".*")

// Each panel asks in PromQL for metrics of the tables, and the dashboards show every metric of our own.
func TestDashboardsAskForWhatThereIs(t *testing.T) {
	files, err := filepath.Glob(dashboards)
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	known := metrics(t)
	shown := map[string]bool{}
	ids := map[string]bool{}
	for _, file := range files {
		var dashboard struct {
			UID, Title string
			Panels     []struct {
				ID          int
				Type, Title string
				Datasource  struct{ Type, UID string }
				GridPos     struct{ H, W, X, Y int }
				Targets     []struct{ RefID, Expr string }
			}
		}
		if err := json.Unmarshal([]byte(read(t, file)), &dashboard); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if dashboard.UID == "" || dashboard.Title == "" {
			t.Errorf("%s has no uid or no title", file)
		}
		for _, p := range dashboard.Panels {
			where := dashboard.Title + ": " + p.Title
			for _, id := range []string{fmt.Sprint(file, " id ", p.ID), fmt.Sprint(file, " at ", p.GridPos.X, ",", p.GridPos.Y)} {
				if ids[id] {
					t.Errorf("%s: two panels have %s", where, id)
				}
				ids[id] = true
			}
			switch {
			case p.Type == "row":
			case p.Datasource.Type == "loki":
			case p.Datasource.Type != "prometheus" || p.Datasource.UID != "prometheus" || len(p.Targets) == 0:
				t.Errorf("%s: %d questions for %+v", where, len(p.Targets), p.Datasource)
			}
			for _, target := range p.Targets {
				if p.Datasource.Type == "loki" {
					continue
				}
				expr := variables.Replace(target.Expr)
				wantKnown(t, where, expr, known)
				for _, s := range selectors(t, expr, nil) {
					shown[base(known, s.metric)] = true
				}
			}
		}
	}
	for name := range known {
		if strings.HasPrefix(name, "bankmore_") && !shown[name] {
			t.Errorf("no dashboard shows %s", name)
		}
	}
}
