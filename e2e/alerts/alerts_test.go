// Package alerts checks that the alert rules for Prometheus and the runbook speak of the same series.
package alerts

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

const (
	rulesFile   = "../../k8s/components/monitoring/rules.yaml"
	runbookFile = "../../docs/runbook.md"
)

// group is a group of rules in rulesFile.
type group struct {
	Name  string
	Rules []struct{ Alert, Expr string }
}

// rules returns the expression of each alert of the group bankmore, which is about the services' own metrics.
func rules(t *testing.T) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Spec struct{ Groups []group } }
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, g := range file.Spec.Groups {
		if g.Name != "bankmore" {
			continue
		}
		for _, r := range g.Rules {
			found[r.Alert] = r.Expr
		}
	}
	return found
}

// documented returns the series of the runbook's table of alerts: a metric, and the labels that choose the series.
func documented(t *testing.T) []string {
	t.Helper()
	raw, err := os.ReadFile(runbookFile)
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(raw), "\n| alert on | means | see |\n")
	if !found {
		t.Fatal("the runbook has no table of alerts")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var all []string
	for row := range strings.Lines(table) {
		first, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
		if series := seriesPattern.FindString(first); series != "" {
			all = append(all, series)
		}
	}
	return all
}

var (
	seriesPattern = regexp.MustCompile(`[a-z]+(_[a-z]+)+(\{[^}]*\})?`)
	labelPattern  = regexp.MustCompile(`[a-z_]+="[^"]*"`)
)

// about reports whether an expression asks for the series.
func about(expr, series string) bool {
	metric, labels, _ := strings.Cut(series, "{")
	if !strings.Contains(expr, metric) {
		return false
	}
	for _, label := range labelPattern.FindAllString(labels, -1) {
		if !strings.Contains(expr, label) {
			return false
		}
	}
	return true
}

// Each series of the runbook's table has an alert, and each alert is in the table.
func TestRunbookAndRulesNameTheSameSeries(t *testing.T) {
	series, exprs := documented(t), rules(t)
	if len(series) < 10 || len(exprs) < 10 {
		t.Fatalf("found %d series in the runbook and %d rules", len(series), len(exprs))
	}
	explained := map[string]bool{}
	for _, one := range series {
		alarmed := false
		for alert, expr := range exprs {
			if about(expr, one) {
				alarmed, explained[alert] = true, true
			}
		}
		if !alarmed {
			t.Errorf("no rule alerts on %s", one)
		}
	}
	for alert := range exprs {
		if !explained[alert] {
			t.Errorf("the runbook's table does not explain %s", alert)
		}
	}
}
