package browser_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long anything on a page may take.
const patience = 20 * time.Second

// names are what Chromium is called on various systems.
var names = []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

// browser is a tab of a real browser with an empty profile. It keeps what the page complains of, and what the page loads.
type browser struct {
	*testing.T

	ctx    context.Context
	origin string // of everything that the page may load

	mu       sync.Mutex
	problems []string
	loaded   map[string]bool // whether the file at a URL came from the browser's cache
	bytes    float64         // that came over the network

	fromMemory map[network.RequestID]bool // whether the browser still had the answer
}

// open starts a browser for pages of an origin, until the test ends.
func open(t *testing.T, origin string) *browser {
	t.Helper()
	path := *program
	for i := 0; path == "" && i < len(names); i++ {
		path, _ = exec.LookPath(names[i])
	}
	if path == "" {
		t.Fatalf("no browser here: install one of %s (Debian: apt-get install chromium-headless-shell), or name one by -chromium",
			strings.Join(names, ", "))
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WindowSize(1200, 1000), chromedp.Flag("lang", "pt-BR"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses root otherwise
	}
	allocator, release := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(release)
	b := &browser{T: t, origin: origin, loaded: map[string]bool{}, fromMemory: map[network.RequestID]bool{}}
	ctx, closeTab := chromedp.NewContext(allocator, chromedp.WithListener(b.watch))
	t.Cleanup(closeTab)
	if err := chromedp.Do(ctx); err != nil { // starts the browser, which lasts as long as this context
		t.Fatal(err)
	}
	b.ctx = ctx
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	return b
}

// watch keeps what an event of the browser tells. The browser logs a violation of the Content-Security-Policy as an error.
func (b *browser) watch(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	complain := func(format string, values ...any) { b.problems = append(b.problems, fmt.Sprintf(format, values...)) }
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		complain("exception: %s", e.ExceptionDetails.Exception.Description)
	case *runtime.EventConsoleAPICalled:
		if e.Type != runtime.ConsoleAPICalledTypeLog && e.Type != runtime.ConsoleAPICalledTypeDebug && e.Type != runtime.ConsoleAPICalledTypeInfo {
			said := make([]string, len(e.Args))
			for i, argument := range e.Args {
				said[i] = string(argument.Value) + argument.Description
			}
			complain("console.%s: %s", e.Type, strings.Join(said, " "))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			complain("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err != nil || u.Scheme != "data" && u.Scheme+"://"+u.Host != b.origin {
			complain("a request to another origin: %s", e.Request.URL)
		}
	case *network.EventLoadingFailed:
		complain("loading fails: %s", e.ErrorText)
	case *network.EventRequestServedFromCache: // in memory
		b.fromMemory[e.RequestID] = true
	case *network.EventResponseReceived:
		b.loaded[e.Response.URL] = e.Response.FromDiskCache || b.fromMemory[e.RequestID]
	case *network.EventLoadingFinished:
		b.bytes += e.EncodedDataLength
	}
}

// wantNoProblem checks that the page has complained of nothing and has loaded nothing from elsewhere.
func (b *browser) wantNoProblem() {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, problem := range b.problems {
		b.Error(problem)
	}
}

// wantFiles checks what has been loaded since the call before. Scripts and style sheets come over the network once, compressed,
// and then from the browser's cache.
func (b *browser) wantFiles(cached bool) {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	files := 0
	for address, fromCache := range b.loaded {
		if strings.Contains(address, ".js") || strings.Contains(address, ".css") {
			files++
			if fromCache != cached {
				b.Errorf("%s comes from the cache: %t, want %t", address, fromCache, cached)
			}
		}
	}
	limit := 600e3
	if cached {
		limit = 60e3
	}
	b.Logf("%d files, %.0f bytes over the network", files, b.bytes)
	if files != 4 || b.bytes > limit {
		b.Errorf("%d files and %.0f bytes, want 4 and at most %.0f", files, b.bytes, limit)
	}
	b.loaded, b.bytes = map[string]bool{}, 0
}

// do makes actions in turn. If one fails, do ends the test and says what the page shows.
func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.fail(err)
	}
}

func (b *browser) fail(err error) {
	b.Helper()
	b.wantNoProblem()
	text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body.innerText`))
	b.Fatalf("%v; the page shows:\n%s", err, text)
}

// picture writes the top of the page into a file.
func (b *browser) picture(file string) {
	b.Helper()
	b.do(chromedp.ScrollIntoView(chromedp.CSS("header")))
	picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(file, picture, 0o644)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// click clicks with the mouse on an element, once it is visible.
func (b *browser) click(selector string) {
	b.Helper()
	at := chromedp.CSS(selector)
	b.do(chromedp.WaitVisible(at), chromedp.ScrollIntoView(at), chromedp.Click(at))
}

// choose chooses an option of a <select>.
func (b *browser) choose(selector, value string) {
	b.Helper()
	at := chromedp.CSS(selector)
	b.do(chromedp.WaitVisible(at), chromedp.ScrollIntoView(at), chromedp.Focus(at))
	_, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](fmt.Sprintf(`(() => {
		const at = document.querySelector(%q);
		at.value = %q;
		return at.dispatchEvent(new Event("change", {bubbles: true}));
	})()`, selector, value)))
	if err != nil {
		b.fail(err)
	}
}

// text returns the text of an element, once it is visible.
func (b *browser) text(selector string) string {
	b.Helper()
	at := chromedp.CSS(selector)
	b.do(chromedp.WaitVisible(at))
	text, err := chromedp.Run(b.ctx, chromedp.TextContent(at))
	if err != nil {
		b.fail(err)
	}
	return text
}
