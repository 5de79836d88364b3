package chaos_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/stack"
)

// Row 20: databases are lost under load. The runbook's own commands restore them from a backup that was taken under load. Then
// clients repeat their requests with the same keys. First the databases of transfer-svc and fee-svc are lost, then all three.
func restoredBackups(s *scenario) {
	s.begin(20)
	s.flows("at first")
	known := s.missing() // which other rows may have left
	since := 0
	s.repeatLong(func(n int) {
		for _, everything := range []bool{false, true} {
			dir := filepath.Join(s.TempDir(), fmt.Sprintf("backup-%d-%t", n, everything))
			s.ops("backup", dir)
			s.ops(append([]string{"verify", "-backup", dir}, system.Scratch()...)...)
			s.flows("after the backup")
			if everything {
				since += s.loseEverything(since, dir, known)
			} else {
				since += s.loseTransfers(since, dir)
			}
			s.flows("after the restore")
		}
	})
	s.end()
}

// made returns the facts from that number on.
func (s *scenario) made(since int) []*fact {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.facts[since:])
}

// loseEverything loses all three databases, and with them what was done after the backup. `ops missing` must name each lost
// transfer that a client was told of. When the client repeats its request, the transfer must be there once. loseEverything looks
// at the facts from that number on, and returns how many there are.
func (s *scenario) loseEverything(since int, dir string, known map[string]bool) int {
	s.Helper()
	s.crash()
	facts := s.made(since)
	told, unpublished := outcomes(facts), s.column("SELECT id FROM transfer.outbox")
	s.must(system.LoseDatabases(s.Context(), stack.Services...))
	named := s.restored("everything", dir)
	there := s.column("SELECT id FROM transfer.transfers")
	lost, moved := 0, 0
	for _, f := range facts {
		id := f.promised()
		if id == "" || there[id] {
			continue
		}
		if told[f].outcome == done {
			lost++
			if !named[id] && !unpublished[id] {
				s.violated("%s: transfer %s is lost and not named", f, id)
			}
		}
		f.forgetPromise()
	}
	for id := range named {
		if there[id] && !known[id] {
			s.violated("transfer %s is named as missing, and is there", id)
		}
	}
	s.must(system.StartAll(s.Context()))
	s.repeatAll(told, func(f *fact, before knowledge) {
		f.mu.Lock()
		f.outcome, f.refusal = unknown, "" // it may be new
		f.mu.Unlock()
		s.insist(f)
		if f.outcome != before.outcome || f.refusal != before.refusal {
			s.violated("%s: before the loss %s %s", f, before.outcome, before.refusal)
		}
	})
	if err := bank.Within(*patienceFlag, func() error { // also those whose clients knew no outcome have been repeated
		left := s.missing()
		maps.DeleteFunc(left, func(id string, _ bool) bool { return known[id] })
		if len(left) > 0 {
			return fmt.Errorf("still missing: %d transfers", len(left))
		}
		return nil
	}); err != nil {
		s.violated("%v", err)
	}
	for f, before := range told {
		if f.kind != "transfer" && before.outcome == done {
			moved++
		}
	}
	s.note("all lost: %d transfers that were acknowledged after the backup, all but %d published and named; %d commands repeated, %d of them cash",
		lost, len(unpublished), len(told), moved)
	return len(facts)
}

// loseTransfers loses the databases of transfer-svc and fee-svc, and the state store. The ledger has every transfer, so nothing
// is lost: a repeated request finds the transfer that it made. One transfer was debited and not yet credited when its client got
// 202; its request must find it as well.
func (s *scenario) loseTransfers(since int, dir string) int {
	s.Helper()
	held := s.arm("transfer-svc", "recorded.DEBITED", stack.Stall, byRequest)
	s.must(held.Reached(s.Context()))
	s.must(service("account-svc").Pause()) // no credit is answered any more
	s.must(held.Release())
	s.must(bank.Within(10*deadline, func() error {
		if !slices.ContainsFunc(s.made(0), func(f *fact) bool { return !f.known() && f.promised() != "" }) {
			return errors.New("nobody has got 202")
		}
		return nil
	}))
	s.crash()
	facts := s.made(since)
	told := outcomes(facts)
	s.must(system.LoseDatabases(s.Context(), "transfer-svc", "fee-svc"))
	s.must(system.LoseState(s.Context()))
	s.restored("transfers", dir)
	there, debited := s.column("SELECT id FROM transfer.transfers"), s.column("SELECT transfer_id FROM account.movements WHERE kind = 'transfer' AND type = 'D'")
	for _, f := range facts {
		id := f.promised()
		if id == "" || there[id] {
			continue
		}
		if debited[id] || told[f].outcome == done {
			s.violated("%s: transfer %s is in the ledger, and not restored", f, id)
		}
		f.forgetPromise() // of 202; nothing has moved
	}
	s.must(system.StartAll(s.Context()))
	s.repeatAll(told, func(f *fact, before knowledge) {
		if before.outcome == refused && f.kind == "transfer" { // nothing has moved, and a refusal may be decided anew
			f.mu.Lock()
			f.outcome = unknown
			f.mu.Unlock()
			s.insist(f)
			return
		}
		s.askOnceMore(f)
	})
	return len(facts)
}

// promised returns the id of the transfer in the receipt that the client got with 200 or 202.
func (f *fact) promised() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.transferID
}

// forgetPromise allows that the repeated request makes another transfer.
func (f *fact) forgetPromise() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.transferID = ""
}

// knowledge is what a client was told.
type knowledge struct {
	outcome outcome
	refusal string
}

// outcomes returns the facts whose outcome a client knows, with that knowledge. No client may work meanwhile.
func outcomes(facts []*fact) map[*fact]knowledge {
	told := map[*fact]knowledge{}
	for _, f := range facts {
		if f.known() {
			told[f] = knowledge{f.outcome, f.refusal}
		}
	}
	return told
}

// repeatAll does something for each of the facts, several at a time.
func (s *scenario) repeatAll(told map[*fact]knowledge, do func(f *fact, before knowledge)) {
	queue := make(chan *fact)
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for f := range queue {
				do(f, told[f])
			}
		})
	}
	for f := range told {
		queue <- f
	}
	close(queue)
	workers.Wait()
	s.checked(len(told))
}

// crash kills every service and the ingress while requests are under way, so that no client learns an outcome. The sidecars
// terminate, since the broker would wait for a killed consumer to come back.
func (s *scenario) crash() {
	s.Helper()
	for _, app := range system.Apps {
		s.must(app.Service.Kill())
	}
	for _, app := range system.Apps {
		s.must(app.Sidecar.Terminate())
	}
	s.asking.Lock() // once the last answers are read
	defer s.asking.Unlock()
}

// restored runs the commands of a block of the runbook, and returns the transfers that they name as missing.
func (s *scenario) restored(block, dir string) (named map[string]bool) {
	s.Helper()
	since := ""
	for _, line := range s.runbook(block) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.NewReplacer(`"$backup"`, dir, `"$since"`, since).Replace(line)
		args, isOps := strings.CutPrefix(line, "go run ./ops ")
		tool, isTool := strings.CutPrefix(line, `DATABASE_URL="${TRANSFER_DATABASE_URL:-sqlite:.data/transfer.db}" go run ./transfer-svc `)
		switch words := strings.Fields(args); {
		case len(words) == 0: // a comment
		case isTool:
			if _, err := system.Tool(s.Context(), "transfer-svc", strings.Fields(tool)...); err != nil {
				s.violated("%v", err)
			}
		case !isOps && strings.Contains(line, "FLUSHDB"):
			s.must(system.LoseState(s.Context()))
		case !isOps:
			s.Fatalf("the runbook's block %s says %q, which no row can do", block, line)
		case words[0] == "missing":
			named = s.missing()
		case words[0] == "restore":
			since = s.momentOfFees(s.ops(words...))
		case words[0] == "skip-events": // which has to wait until the broker misses who was killed
			s.must(bank.Within(time.Minute, func() error { _, err := system.Ops(s.Context(), words...); return err }))
		default:
			s.ops(words...)
		}
	}
	return named
}

// runbook is the lines of a block of commands.
func (s *scenario) runbook(block string) []string {
	s.Helper()
	text, err := os.ReadFile("../../docs/runbook.md")
	s.must(err)
	_, rest, found := strings.Cut(string(text), "<!-- "+block+" -->\n```bash")
	_, rest, _ = strings.Cut(rest, "\n") // what the block needs
	commands, _, ended := strings.Cut(rest, "\n```")
	if !found || !ended {
		s.Fatalf("the runbook has no commands for %s", block)
	}
	return strings.Split(commands, "\n")
}

// momentOfFees is an hour before what restore says of fee-svc's copy.
func (s *scenario) momentOfFees(out string) string {
	s.Helper()
	_, rest, _ := strings.Cut(out, "fee-svc      as of ")
	text, _, _ := strings.Cut(rest, ",")
	moment, err := time.Parse(time.RFC3339, text)
	if err != nil {
		s.Fatalf("restore says %s: %v", out, err)
	}
	return moment.Add(-time.Hour).Format(time.RFC3339)
}

// ops runs a command of operators, which must succeed.
func (s *scenario) ops(args ...string) string {
	s.Helper()
	out, err := system.Ops(s.Context(), args...)
	if err != nil {
		s.violated("%v", err)
	}
	return out
}

// missing are the transfers that ops names as missing.
func (s *scenario) missing() map[string]bool {
	s.Helper()
	out, err := system.Ops(s.Context(), "missing")
	if err != nil && !strings.Contains(out, "transfers are missing") {
		s.Fatal(err)
	}
	named := map[string]bool{}
	for line := range strings.Lines(out) {
		if rest, found := strings.CutPrefix(line, "MISSING transfer "); found {
			id, _, _ := strings.Cut(rest, " ")
			named[id] = true
		}
	}
	return named
}

// column is the values of a query of one text column.
func (s *scenario) column(query string) map[string]bool {
	s.Helper()
	conn := system.OpenBooks(s.T)
	defer conn.Close()
	found, err := bank.Lines(s.Context(), conn, query)
	s.must(err)
	values := map[string]bool{}
	for _, value := range found {
		values[value] = true
	}
	return values
}
