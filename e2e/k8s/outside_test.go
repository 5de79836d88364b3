//go:build k8s

package k8s_test

import (
	"os/exec"
	"strings"
	"testing"
)

// The end-to-end tests that need no more than a front door and the books, through the cluster's front door: the API does
// here what it does on one machine.
func TestFromOutside(t *testing.T) {
	tests := []string{
		"TestBadInput", "TestOddButGoodInput", "TestEdgesOfHTTP", "TestErrors", "TestRateLimited", "TestTrailingSlash",
		"TestMainJob", "TestReadmeSession", "TestDemo",
		"TestReplay", "TestKeysBelongToTheirCaller", "TestIdempotencyKeyHeader", "TestSameKeyAtOnce", "TestRefusalIsRemembered",
		"TestOppositeTransfers", "TestFeeWaitsForBalance",
		"TestClosedAccountIsRefusedEverywhere", "TestFeesOwedAtClosingAreWaived",
		"TestStatementPagingUnderInserts", "TestStatementPeriod", "TestTransfersAndFeesPage",
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-v", "-count=1", "-timeout", "20m",
		"-run", "^("+strings.Join(tests, "|")+")$", "../suite", "-profile", "servers", "-url", ingress(t))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for _, name := range tests {
		if !strings.Contains(string(out), "\n--- PASS: "+name+" ") {
			t.Errorf("%s has not passed", name)
		}
	}
}
