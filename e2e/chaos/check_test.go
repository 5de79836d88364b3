package chaos_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/bank"
)

// check heals the system. Then it compares the books with what clients know, and with what must always hold.
func (s *scenario) check() {
	s.Helper()
	s.heal()
	for _, f := range s.facts {
		s.insist(f)
	}
	if err := system.SettledWithin(s.T, *patienceFlag); err != nil {
		s.violated("%v", err)
	}
	s.compareFacts()
	s.askAgain()
	s.pageStatements()
	s.judged(system.Verify(s.Context()))
	_, err := system.Ops(s.Context(), "verify", "-at-rest")
	s.judged(err)
}

// judged counts what verify has found. If verify could not look at the books, the row ends and proves nothing.
func (s *scenario) judged(err error) {
	s.Helper()
	if err != nil && !strings.Contains(err.Error(), "VIOLATION ") {
		s.must(err)
	}
	if err != nil {
		s.violated("%v", err)
	}
}

// books returns the rows of the scenario's customers that a query finds, by the command that made them.
func (s *scenario) books(query string) map[string][]string {
	s.Helper()
	conn := system.OpenBooks(s.T)
	defer conn.Close()
	found, err := bank.Lines(s.Context(), conn, query)
	s.must(err)
	rows := map[string][]string{}
	for _, line := range found {
		command, row, _ := strings.Cut(line, " = ")
		number, _, _ := strings.Cut(command, " ")
		if slices.ContainsFunc(s.customers, func(p *bank.Customer) bool { return p.Number == number }) {
			rows[command] = append(rows[command], row)
		}
	}
	return rows
}

const (
	ownMovements = `
		SELECT a.number || ' ' || replace(m.request_key, 'customer:' || a.id || ':', '') || ' = ' || m.kind || ' ' || m.amount
		FROM account.movements m JOIN account.accounts a ON a.id = m.account_id WHERE m.kind IN ('deposit', 'withdrawal')`
	ownTransfers = `
		SELECT origin_account_number || ' ' || request_id || ' = ' || id || ' ' || state || ' ' || destination_account_number || ' ' || amount
		FROM transfer.transfers`
	// A movement of a transfer whose origin never asked for it has no transfer. ops verify finds that.
)

// compareFacts checks that what a client was told has been done is in the books exactly once, that what was refused is
// not, and that nothing else is.
func (s *scenario) compareFacts() {
	s.Helper()
	movements, transfers := s.books(ownMovements), s.books(ownTransfers)
	for _, f := range s.facts {
		command := f.who.Number + " " + f.key
		cents := strings.TrimLeft(strings.ReplaceAll(f.amount, ".", ""), "0")
		books, want := movements, f.kind+" "+cents
		if f.kind == "transfer" {
			books, want = transfers, fmt.Sprintf("%s COMPLETED %s %s", f.transferID, f.to, cents)
		}
		found := books[command]
		delete(books, command)
		switch {
		case f.outcome == done && !slices.Equal(found, []string{want}):
			s.violated("%s: in the books %q", f, found)
		case f.outcome == refused && f.kind != "transfer" && len(found) > 0:
			s.violated("%s: in the books %q", f, found)
		case f.outcome == refused && f.kind == "transfer" && (len(found) > 1 || len(found) == 1 && !strings.Contains(found[0], " FAILED ")):
			s.violated("%s: in the books %q", f, found)
		}
	}
	for _, books := range []map[string][]string{movements, transfers} {
		for command, found := range books {
			s.violated("nobody asked for %s: %q", command, found)
		}
	}
	s.checked(len(s.facts))
}

// askedAgain is how many commands are repeated once all is at rest.
const askedAgain = 40

// askAgain repeats commands whose outcome is known: it must be the same.
func (s *scenario) askAgain() {
	s.Helper()
	step := max(1, len(s.facts)/askedAgain)
	for i := 0; i < len(s.facts); i += step {
		s.askOnceMore(s.facts[i])
	}
}

// pageStatements checks that paging through a statement yields each movement once, in order.
func (s *scenario) pageStatements() {
	s.Helper()
	conn := system.OpenBooks(s.T)
	defer conn.Close()
	for _, p := range s.customers {
		if slices.ContainsFunc(s.closed, func(c bank.Customer) bool { return c.Number == p.Number }) {
			continue // gets no statement any more
		}
		want, err := bank.Lines(s.Context(), conn, `SELECT m.id FROM account.movements m JOIN account.accounts a ON a.id = m.account_id
			WHERE a.number = $1 ORDER BY m.seq DESC`, p.Number)
		s.must(err)
		limit := 100
		if len(want) < 200 {
			limit = 7
		}
		all, err := client.All(s.Context(), limit, p.Statement)
		s.must(err)
		got := make([]string, len(all))
		for i, m := range all {
			got[i] = m.ID
		}
		if !slices.Equal(got, want) {
			s.violated("the statement of %s has %d movements, the books %d", p.Number, len(got), len(want))
		}
		s.checked(len(got))
	}
}
