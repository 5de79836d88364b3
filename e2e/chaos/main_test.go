// Package chaos_test is the fault matrix: it makes every fault happen, again and again, to the whole system as it runs.
// docs/chaos.md says what each row does and what is checked.
package chaos_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bankmore/bankmore/e2e/bank"
)

// system is what all rows share.
var system *bank.Bank

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if !asked() {
		fmt.Println("the fault matrix runs only when -run names it, as make chaos does")
		if err := flag.Set("test.run", "^$"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run() // which says that there are no tests to run
	}
	code := bank.Run(m, breakable, func(b *bank.Bank) { system = b }, []bank.Check{
		bank.NoCrash, bank.SidecarsComplete, bank.ContractKept, bank.EachVerified, bank.AcrossVerified, bank.LogsHoldNoSecret,
	})
	if code == 0 && !ran {
		fmt.Fprintln(os.Stderr, "FAIL: -run names a test that is not there")
		return 1
	}
	return code
}

// ran is set by the tests that asked looks for.
var ran bool

// asked reports whether -run names one of the tests here, or rows of one, as TestChaos/7. Without that, such as in
// `go test ./...`, none runs, and go test says so: [no tests to run].
func asked() bool {
	pattern, _, _ := strings.Cut(flag.Lookup("test.run").Value.String(), "/")
	return pattern != "" && slices.ContainsFunc([]string{"TestChaos", "TestSoak"}, func(name string) bool {
		named, err := regexp.MatchString(pattern, name)
		return err == nil && named
	})
}
