package docs_test

import (
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the driver

	"github.com/bankmore/bankmore/e2e/docs"
	"github.com/bankmore/bankmore/e2e/stack"
)

// The diagrams of data in docs/architecture.md show each table and each column that the services' migrations make.
func TestDiagramsShowTheTables(t *testing.T) {
	root, bin := root(t), t.TempDir()
	if err := stack.Build(t.Context(), root, bin, ""); err != nil {
		t.Fatal(err)
	}
	blocks, err := docs.Blocks(root, filepath.Join("docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks = slices.DeleteFunc(blocks, func(b docs.Block) bool { return !strings.HasPrefix(b.Text, "erDiagram") })
	if len(blocks) != len(stack.Services) {
		t.Fatalf("%d diagrams for %d services", len(blocks), len(stack.Services))
	}
	for i, service := range stack.Services { // in the order of the document
		file := filepath.Join(t.TempDir(), "service.db")
		migrate := exec.CommandContext(t.Context(), filepath.Join(bin, service), "migrate")
		migrate.Env = append(os.Environ(), "BANKMORE_ENV=local", "DATABASE_URL=sqlite:"+file)
		if out, err := migrate.CombinedOutput(); err != nil {
			t.Fatalf("%s migrate: %v\n%s", service, err, out)
		}
		there, drawn := columns(t, file), drawn(blocks[i].Text)
		if missing, tooMuch := without(there, drawn), without(drawn, there); len(missing)+len(tooMuch) > 0 {
			t.Errorf("%s: the diagram lacks %s, and should not have %s", service, missing, tooMuch)
		}
	}
}

// without returns those of all that are not among others.
func without(all, others []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(one string) bool { return slices.Contains(others, one) })
}

// columns are those of all tables of a database, as table.column.
func columns(t *testing.T, file string) (all []string) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), `SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c
		WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' AND t.name NOT LIKE 'goose%'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			t.Fatal(err)
		}
		all = append(all, table+"."+column)
	}
	if err := rows.Err(); err != nil || len(all) == 0 {
		t.Fatalf("%d columns, %v", len(all), err)
	}
	return all
}

var (
	drawnTable  = regexp.MustCompile(`(?s)\n {4}(\w+) \{(.*?)\n {4}\}`)
	drawnColumn = regexp.MustCompile(`\n {8}\w+ (\w+)`)
)

// drawn are the columns that a diagram shows, as table.column.
func drawn(diagram string) (all []string) {
	for _, table := range drawnTable.FindAllStringSubmatch(diagram, -1) {
		for _, column := range drawnColumn.FindAllStringSubmatch(table[2], -1) {
			all = append(all, table[1]+"."+column[1])
		}
	}
	return all
}
