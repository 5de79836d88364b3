package main

import (
	"errors"
	"fmt"
	"image/color"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// series are the runs of one operation from as many connections.
type series struct {
	operation   string
	connections int
	runs        []result
}

// series returns the runs in the order of their first.
func (rs *results) series() (all []series) {
	for _, r := range rs.Runs {
		at := slices.IndexFunc(all, func(s series) bool { return s.operation == r.Operation && s.connections == r.Connections })
		if at < 0 {
			all, at = append(all, series{operation: r.Operation, connections: r.Connections}), len(all)
		}
		all[at].runs = append(all[at].runs, r)
	}
	slices.SortStableFunc(all, func(a, b series) int { return a.connections - b.connections })
	return all
}

// median of what get says of each run.
func (s series) median(get func(result) float64) float64 {
	values := make([]float64, len(s.runs))
	for i, r := range s.runs {
		values[i] = get(r)
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 0 {
		return (values[middle-1] + values[middle]) / 2
	}
	return values[middle]
}

func milliseconds(microseconds float64) string { return fmt.Sprintf("%.1f ms", microseconds/1000) }

// print writes the medians as tables.
func (rs *results) print(out io.Writer) {
	fmt.Fprintf(out, "%s; %d customers, %d accounts before; medians of the rounds\n\n", rs.Engine, rs.Accounts, rs.Seeded)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "connections\toperation\tper second\tof the floor\tp50\tover the floor's\tp99\tfees, per second\tCPU each\t202\tother answers\t")
	for _, s := range rs.series() {
		row := []string{
			fmt.Sprint(s.connections), s.operation,
			fmt.Sprintf("%.0f", s.median(func(r result) float64 { return r.Rate })),
			dash(s.runs[0].Floor, func() string { return fmt.Sprintf("%.2f", s.median(result.ratio)) }),
			milliseconds(s.median(func(r result) float64 { return float64(r.Figures.P50) })),
			dash(s.runs[0].FloorP50, func() string {
				return milliseconds(s.median(func(r result) float64 { return float64(r.Figures.P50) - r.FloorP50 }))
			}),
			milliseconds(s.median(func(r result) float64 { return float64(r.Figures.P99) })),
			dash(s.runs[0].Charged, func() string { return fmt.Sprintf("%.0f", s.median(func(r result) float64 { return r.Charged })) }),
			fmt.Sprintf("%.2f ms", s.median(result.cpu)),
			fmt.Sprint(s.later()),
			others(s.runs),
		}
		fmt.Fprintln(table, strings.Join(row, "\t")+"\t")
	}
	_ = table.Flush()
	rs.printCosts(out)
	for _, name := range slices.Sorted(maps.Keys(rs.Memory)) {
		m := rs.Memory[name]
		fmt.Fprintf(out, "%s: %d MB after 10 s, at most %d MB, %d MB in the end\n", name, m[0]>>20, slices.Max(m)>>20, m[len(m)-1]>>20)
	}
}

// dash is text(), or a dash if there is no such value.
func dash(value float64, text func() string) string {
	if value == 0 {
		return "-"
	}
	return text()
}

// cpu is what all programs together need for one operation, in milliseconds.
func (r result) cpu() (sum float64) {
	for _, each := range r.CPU {
		sum += each
	}
	return sum
}

// later is how many requests of all runs were answered by 202.
func (s series) later() (n int) {
	for _, r := range s.runs {
		n += r.Later
	}
	return n
}

// others tells of the answers that do not count, by status, and of requests without an answer.
func others(runs []result) string {
	counts := map[string]int{}
	bad := 0
	for _, r := range runs {
		bad += r.Bad
		for status, n := range r.Figures.Statuses {
			counts[status] += n
		}
		for kind, n := range r.Figures.Errors {
			if n > 0 {
				counts[kind] += n
			}
		}
	}
	if bad == 0 {
		return "none"
	}
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s: %d", what, counts[what]))
	}
	return strings.Join(parts, ", ")
}

// failed returns an error if a request had no answer or one of 500 or above. A bank that is busy answers late, not wrongly.
func (rs *results) failed() error {
	var problems []error
	for _, s := range rs.series() {
		failed := 0
		for _, r := range s.runs {
			for status, n := range r.Figures.Statuses {
				if status >= "500" {
					failed += n
				}
			}
			for _, n := range r.Figures.Errors {
				failed += n
			}
		}
		if failed > 0 {
			problems = append(problems, fmt.Errorf("%s from %d connections: %d requests failed: %s", s.operation, s.connections, failed, others(s.runs)))
		}
	}
	return errors.Join(problems...)
}

// printCosts writes what each program needs for a transfer, and its memory at the end of the last run.
func (rs *results) printCosts(out io.Writer) {
	var columns []series
	names := map[string]bool{}
	for _, s := range rs.series() {
		if s.operation == "uniform" {
			columns = append(columns, s)
			for name := range s.runs[0].CPU {
				names[name] = true
			}
		}
	}
	if len(columns) == 0 {
		return
	}
	fmt.Fprint(out, "\nCPU per transfer, its fee included, and memory at the end of the run\n\n")
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "program\t")
	for _, s := range columns {
		fmt.Fprintf(table, "%d connections\tmemory\t", s.connections)
	}
	fmt.Fprintln(table)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		fmt.Fprintf(table, "%s\t", name)
		for _, s := range columns {
			fmt.Fprintf(table, "%.2f ms\t%.0f MB\t", s.median(func(r result) float64 { return r.CPU[name] }),
				s.median(func(r result) float64 { return float64(r.Resident[name]) / (1 << 20) }))
		}
		fmt.Fprintln(table)
	}
	_ = table.Flush()
}

func (rs *results) writeJSON(file string) error {
	raw, err := json.Marshal(rs, jsontext.WithIndent("\t"), json.Deterministic(true))
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(raw, '\n'), 0o644)
}

// plot draws the rate of each operation as a part of the floor's, by the number of connections.
func (rs *results) plot(file string) error {
	p := plot.New()
	p.Title.Text, p.Y.Label.Text, p.X.Label.Text = rs.Engine, "rate, as a part of the floor's", "connections"
	p.Legend.Top, p.Y.Min = true, 0
	var names []string
	bars := map[string]plotter.Values{}
	var connections []string
	for _, s := range rs.series() {
		if s.operation == floor.name || s.runs[0].Floor == 0 {
			continue
		}
		if bars[s.operation] == nil {
			names = append(names, s.operation)
		}
		bars[s.operation] = append(bars[s.operation], s.median(result.ratio))
		if n := fmt.Sprint(s.connections); !slices.Contains(connections, n) {
			connections = append(connections, n)
		}
	}
	width := vg.Points(14)
	for i, name := range names {
		bar, err := plotter.NewBarChart(bars[name], width)
		if err != nil {
			return err
		}
		shade := uint8(40 + 160*i/max(1, len(names)-1))
		bar.Color, bar.LineStyle.Width = color.RGBA{R: shade, G: 90, B: 220 - shade, A: 255}, 0
		bar.Offset = vg.Length(float64(i)-float64(len(names)-1)/2) * width
		p.Add(bar)
		p.Legend.Add(name, bar)
	}
	p.NominalX(connections...)
	return p.Save(vg.Points(640), vg.Points(360), file)
}
