package feeapi_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/fee-svc/feeapi"
	"github.com/bankmore/bankmore/transfer-svc/transferapi"
)

// What creates topics and what allows them cannot name a Go constant. The test compares their names with the constants.
func TestTopicsHaveOneName(t *testing.T) {
	want := []string{feeapi.TopicCharged, transferapi.TopicCompleted, feeapi.TopicDeadLetter}
	topic := regexp.MustCompile(`\b(transfers|fee)-[a-z]+(-[a-z]+)*`)
	services := []string{transferapi.AppID, feeapi.AppID}
	for _, file := range []string{"scripts/create-topics.sh", "components/production/pubsub.yaml", "tools/broker/main.go"} {
		text, err := os.ReadFile(filepath.Join("..", "..", file))
		if err != nil {
			t.Fatal(err)
		}
		names := topic.FindAllString(string(text), -1)
		names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(services, name) })
		slices.Sort(names)
		if diff := cmp.Diff(want, slices.Compact(names)); diff != "" {
			t.Errorf("topics of %s (-want +got):\n%s", file, diff)
		}
	}
}
