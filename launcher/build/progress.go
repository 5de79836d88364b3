package build

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	refresh  = 200 * time.Millisecond
	patience = time.Second      // nothing is shown of a build that takes less
	silence  = 5 * time.Second  // if go prints nothing for so long while it downloads, the status says so
	interval = 10 * time.Second // between two lines if the phase does not change

	clearLine    = "\r\x1b[K"
	noWrap, wrap = "\x1b[?7l", "\x1b[?7h" // a terminal cuts off what is longer than its line
)

// phase is what go is doing for a part.
type phase int

const (
	idle phase = iota // nothing: the part waits for its turn, or is built already
	downloading
	compiling
	linking
	phases
)

// staleTemplate makes `go list -deps` print the programs, and the other packages that have to be compiled.
const staleTemplate = `{{if eq .Name "main"}}main {{.ImportPath}}{{else if .Stale}}{{.ImportPath}}{{end}}`

// job is a part that is being built. Its state follows from the lines that go prints.
type job struct {
	part
	linkerFlags string
	last        record

	mu      sync.Mutex
	number  int    // its place in the order of builds, from 1 on; 0 before it is built
	linked  func() // called when only linking remains
	began   time.Time
	phase   phase
	entered time.Time // when the phase began
	shown   phase     // the phase at the last call of changed
	heard   time.Time // when go printed the last line, or the phase began
	spent   [phases]time.Duration
	modules int
	named   map[string]bool // packages that go compiles or has compiled
	stale   map[string]bool // packages that had to be compiled when go list ran; nil before
	mains   map[string]bool // packages that are programs; nil before
}

// begin notes that go begins to download for the part (number 0), or to build it as the number-th. In a build, the job calls
// linked once only linking remains.
func (j *job) begin(number int, p phase, linked func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.number, j.linked, j.named, j.began = number, linked, map[string]bool{}, time.Now()
	j.change(p)
}

// finish notes that go has ended. It returns the record of the build.
func (j *job) finish() record {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.change(idle)
	r := record{Flags: j.linkerFlags, Packages: j.last.Packages, Seconds: j.last.Seconds}
	if len(j.named) > 0 {
		r.Packages, r.Seconds = len(j.named), (j.spent[compiling] + j.spent[linking]).Seconds()
	}
	return r
}

func (j *job) change(p phase) {
	now := time.Now()
	j.spent[j.phase] += now.Sub(j.entered)
	j.phase, j.entered, j.heard = p, now, now
}

// hear reads a line that go has printed, and reports whether it is about progress.
func (j *job) hear(line string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.heard = time.Now()
	if strings.HasPrefix(line, "go: downloading ") {
		j.modules++
		if j.phase == compiling && len(j.named) == 0 { // go build downloads as well
			j.change(downloading)
		}
		return true
	}
	if j.number == 0 || line == "" || strings.ContainsAny(line, " \t:") { // no import path
		return false
	}
	if j.phase == downloading {
		j.change(compiling)
	}
	j.named[line] = true
	j.settle()
	return true
}

// know reads the output of go list with staleTemplate.
func (j *job) know(list string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stale, j.mains = map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(list) {
		line = strings.TrimSuffix(line, "\n")
		if program, is := strings.CutPrefix(line, "main "); is {
			j.mains[program] = true
		} else {
			j.stale[line] = true
		}
	}
	j.settle()
}

// settle moves the job to the phase linking when all is compiled: when go has named every program's own package, which needs
// all others, or when no package is left to compile.
func (j *job) settle() {
	if j.phase != compiling || j.mains == nil {
		return
	}
	n, m, mains := j.count()
	if mains == len(j.packages) || n == m && (mains > 0 || m == 0) {
		j.change(linking)
		j.linked()
	}
}

// count returns three numbers: n packages that go has begun to compile, of at most m, and the programs' own packages that go
// has begun to compile. Go may compile fewer than m: if a package changes but its export data does not, go need not compile
// the packages that import it.
func (j *job) count() (n, m, mains int) {
	for name := range j.named {
		if j.mains[name] {
			mains++
		} else {
			n++
		}
	}
	m = n
	for name := range j.stale {
		if !j.named[name] {
			m++
		}
	}
	return n, m, mains
}

// status returns a text that says what go is doing for the part. parts is the number of all parts. The text is empty if go is
// doing nothing.
func (j *job) status(parts int) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.phase == idle {
		return ""
	}
	var text string
	if j.number > 0 {
		text = fmt.Sprintf("%d of %d ", j.number, parts)
	}
	text += j.name + ": "
	switch n, m, _ := j.count(); {
	case j.phase == downloading:
		text += "looking for its modules"
		if j.modules > 0 {
			text += ", " + plural(j.modules, "download") + " so far"
		}
		if silent := time.Since(j.heard); silent >= silence {
			text += ", nothing new for " + seconds(silent)
		}
	case j.phase == linking:
		text += "linking"
	case j.stale != nil:
		text += fmt.Sprintf("compiling package %d of %d", n, m)
	case n > 0:
		text += "compiling, " + plural(n, "package") + " so far"
	default:
		text += "comparing with what is compiled already"
	}
	text += ", " + seconds(time.Since(j.began))
	if j.number > 0 && j.last.Packages > 0 {
		text += fmt.Sprintf(" (the last time: %s, %.0f s)", plural(j.last.Packages, "package"), j.last.Seconds)
	}
	return text
}

// sum returns a text that says how long each phase took. It is empty if the part is not built yet, or was up to date.
func (j *job) sum() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var did []string
	if j.modules > 0 {
		did = append(did, plural(j.modules, "module")+" downloaded in "+seconds(j.spent[downloading]))
	}
	if len(j.named) > 0 {
		did = append(did, plural(len(j.named), "package")+" compiled in "+seconds(j.spent[compiling]))
	}
	if j.spent[linking] > 0 {
		did = append(did, "linked in "+seconds(j.spent[linking]))
	}
	if j.number == 0 || j.phase != idle || len(did) == 0 {
		return ""
	}
	return j.name + ": " + strings.Join(did, ", ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) }

// show prints the progress of the jobs until stop is called. On a terminal it rewrites one line. Elsewhere it prints a new
// line when the phase of a job changes, and at every interval.
func (b *builder) show(jobs []*job) (stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		began := time.Now()
		printed := began
		for {
			select {
			case <-done:
				if b.terminal {
					fmt.Fprint(b.out, clearLine)
				}
				return
			case <-time.After(refresh):
			}
			if time.Since(began) < patience {
				continue
			}
			text, changed := status(jobs)
			if b.terminal {
				fmt.Fprint(b.out, clearLine+noWrap+text+wrap)
			} else if text != "" && (changed || time.Since(printed) >= interval) {
				fmt.Fprintln(b.out, text)
				printed = time.Now()
			}
		}
	}()
	return func() { close(done); <-stopped }
}

// status returns the texts of all jobs as one, and whether a phase has changed since the last call.
func status(jobs []*job) (text string, changed bool) {
	var all []string
	for _, j := range jobs {
		if one := j.status(len(jobs)); one != "" {
			all = append(all, one)
		}
		changed = j.changed() || changed
	}
	slices.Sort(all) // builds by their number, then downloads
	return strings.Join(all, "; "), changed
}

// changed reports whether the phase has changed since the last call.
func (j *job) changed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	before := j.shown
	j.shown = j.phase
	return j.shown != before
}

// sum prints how long each part took, and the whole time, which is less than the sum: parts are built side by side.
func (b *builder) sum(jobs []*job, took time.Duration) {
	var all []string
	for _, j := range jobs {
		if text := j.sum(); text != "" {
			all = append(all, text)
		}
	}
	if len(all) > 0 {
		fmt.Fprintf(b.out, "%s\nbuilt in %s\n", strings.Join(all, "\n"), seconds(took))
	}
}

func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	term := os.Getenv("TERM")
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && term != "" && term != "dumb"
}
