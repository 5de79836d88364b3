// Package browser_test uses the documentation of the API as its readers do, with clicks, and the API as a page of another origin
// does: in a real browser.
package browser_test

import (
	"flag"
	"os"
	"testing"

	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/stack"
)

var (
	system *bank.Bank

	program    = flag.String("chromium", "", "the browser; or else the first one of the usual names that is installed")
	screenshot = flag.String("screenshot", "", "where to put a picture of the page (PNG)")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(bank.Run(m, stack.Options{}, func(b *bank.Bank) { system = b }, []bank.Check{bank.NoCrash}))
}
