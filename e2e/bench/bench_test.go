package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
)

// A customer's token has the claims that the services read.
func TestToken(t *testing.T) {
	const secret = "a secret of at least 32 characters"
	now := time.Now()
	text, err := token(secret, customer{id: "an id", number: "18"}, now)
	if err != nil {
		t.Fatal(err)
	}
	got := jwt.MapClaims{}
	if _, err := jwt.ParseWithClaims(text, got, func(*jwt.Token) (any, error) { return []byte(secret), nil }); err != nil {
		t.Fatal(err)
	}
	if expires, err := got.GetExpirationTime(); err != nil || expires.Sub(now) < time.Hour || got["sub"] != "an id" || got["account_number"] != "18" {
		t.Errorf("%+v, %v", got, err)
	}
}

func ran(operation string, connections int, rate, floor float64) result {
	return result{
		Operation: operation, Connections: connections, Rate: rate, Floor: floor, FloorP50: 1000,
		Figures: figures{P50: 3500, P99: 9000, Statuses: map[string]int{"200": 7}},
		CPU:     map[string]float64{"account-svc": 1, "Kafka": 0.5}, Resident: map[string]int64{"account-svc": 64 << 20},
	}
}

// The table has the median of the rounds for each operation from as many connections, and tells of answers that do not count.
func TestPrint(t *testing.T) {
	busy := ran("uniform", 256, 100, 1000)
	busy.Bad, busy.Later, busy.Figures.Statuses = 2, 3, map[string]int{"200": 95, "202": 3, "503": 2}
	rs := results{
		Engine: "PostgreSQL", Accounts: 10, Seeded: 5,
		Runs: []result{
			busy, ran("uniform", 32, 300, 1000), ran("uniform", 32, 100, 1000), ran("uniform", 32, 250, 1000),
			ran("deposit", 32, 10, 1000), ran("deposit", 32, 20, 1000),
		},
		Memory: map[string][]int64{"fee-svc": {1 << 20, 9 << 20, 3 << 20}},
	}
	var out strings.Builder
	rs.print(&out)
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	for _, want := range []string{
		"32 uniform 250 0.25 3.5 ms 2.5 ms 9.0 ms - 1.50 ms 0 none",
		"32 deposit 15 0.01 3.5 ms 2.5 ms 9.0 ms - 1.50 ms 0 none",
		"256 uniform 100 0.10 3.5 ms 2.5 ms 9.0 ms - 1.50 ms 3 200: 95, 202: 3, 503: 2",
		"account-svc 1.00 ms 64 MB 1.00 ms 64 MB",
		"fee-svc: 1 MB after 10 s, at most 9 MB, 3 MB in the end",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %q in\n%s", want, out.String())
		}
	}
	if at := slices.Index(lines, "32 uniform 250 0.25 3.5 ms 2.5 ms 9.0 ms - 1.50 ms 0 none"); !strings.HasPrefix(lines[at+1], "32 deposit") {
		t.Errorf("the order is wrong:\n%s", out.String())
	}
}

// An answer 202 to a transfer counts neither as good nor as bad.
func TestTally(t *testing.T) {
	f := figures{Statuses: map[string]int{"200": 90, "202": 5, "503": 2}, Errors: map[string]int{"timeout": 1}}
	for _, name := range []string{"uniform", "hot"} {
		if good, later, bad := f.tally(operations[name]); good != 90 || later != 5 || bad != 3 {
			t.Errorf("%s: %d good, %d later, %d bad", name, good, later, bad)
		}
	}
}

// The benchmark fails if a request had no answer, or one of 500 or above.
func TestFailed(t *testing.T) {
	good, busy, lost := ran("uniform", 32, 100, 1000), ran("hot", 32, 100, 1000), ran("balance", 32, 100, 1000)
	good.Figures.Statuses, good.Figures.Errors = map[string]int{"200": 9, "202": 1}, map[string]int{"timeout": 0}
	busy.Bad, busy.Figures.Statuses = 2, map[string]int{"200": 98, "503": 2}
	lost.Bad, lost.Figures.Errors = 1, map[string]int{"timeout": 1}
	if err := (&results{Runs: []result{good}}).failed(); err != nil {
		t.Error(err)
	}
	err := (&results{Runs: []result{good, busy, lost}}).failed()
	if want := "hot from 32 connections: 2 requests failed: 200: 98, 503: 2\nbalance from 32 connections: 1 requests failed: 200: 7, timeout: 1"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// The results go into a file that programs can read, and into a picture.
func TestFiles(t *testing.T) {
	rs := results{Engine: "SQLite", Runs: []result{ran("uniform", 32, 300, 1000), ran("uniform", 256, 500, 1000), ran("hot", 32, 200, 1000)}}
	table, picture := filepath.Join(t.TempDir(), "bench.json"), filepath.Join(t.TempDir(), "bench.svg")
	if err := rs.writeJSON(table); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	var got results
	if err := json.Unmarshal(raw, &got); err != nil || len(got.Runs) != 3 || got.Runs[1].Rate != 500 || !maps.Equal(got.Runs[0].CPU, rs.Runs[0].CPU) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := rs.plot(picture); err != nil {
		t.Fatal(err)
	}
	if raw, err := os.ReadFile(picture); err != nil || !strings.Contains(string(raw), "<svg") || !strings.Contains(string(raw), "hot") {
		t.Errorf("%v: %.300s", err, raw)
	}
}
