package command

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// column is one of a table.
type column struct {
	title string
	right bool // aligned to the right, as amounts are
}

// table is rows of text in columns.
type table struct {
	columns []column
	rows    [][]string
}

func (t *table) add(cells ...string) {
	for i := range cells {
		cells[i] = visible(cells[i])
	}
	t.rows = append(t.rows, cells)
}

// text is the table, or what to say if it has no rows.
func (t *table) text(empty string) string {
	if len(t.rows) == 0 {
		return empty
	}
	widths := make([]int, len(t.columns))
	titles := make([]string, len(t.columns))
	for i, c := range t.columns {
		titles[i], widths[i] = c.title, utf8.RuneCountInString(c.title)
		for _, row := range t.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	var out strings.Builder
	for _, row := range append([][]string{titles}, t.rows...) {
		var line strings.Builder
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if t.columns[i].right {
				line.WriteString(space + cell + "  ")
			} else {
				line.WriteString(cell + space + "  ")
			}
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return out.String()
}

// visible replaces what a terminal might take for a command, in a text of one line that another customer or a server has chosen.
func visible(text string) string { return shownAs(text, "") }

// lines is visible for all that is written to a terminal: it keeps the ends of lines, and tabs.
func lines(text string) string { return shownAs(text, "\n\t") }

func shownAs(text, kept string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || strings.ContainsRune(kept, r) {
			return r
		}
		return '\uFFFD'
	}, text)
}

// when is a moment in the time zone of this machine.
func (a *app) when(moment time.Time) string { return moment.Local().Format(a.l.Day()) }

// kind names a kind of payment or movement.
func (a *app) kind(kind string) string {
	known, ok := map[string][2]string{
		"deposit":    {"depósito", "deposit"},
		"withdrawal": {"saque", "withdrawal"},
		"transfer":   {"transferência", "transfer"},
		"fee":        {"tarifa", "fee"},
		"refund":     {"estorno", "refund"},
	}[kind]
	if !ok {
		return kind
	}
	return a.l.Say(known[0], known[1])
}

// status names a status of a transfer or a fee.
func (a *app) status(status string) string {
	known, ok := map[string][2]string{
		"PENDING":   {"pendente", "pending"},
		"COMPLETED": {"concluída", "completed"},
		"FAILED":    {"falhou", "failed"},
		"CHARGED":   {"cobrada", "charged"},
		"WAIVED":    {"dispensada", "waived"},
	}[status]
	if !ok {
		return status
	}
	return a.l.Say(known[0], known[1])
}
