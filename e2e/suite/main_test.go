// Package suite_test runs the whole system as its users meet it: three services, each behind a real daprd, a broker that
// speaks Kafka's protocol, and the ingress.
package suite_test

import (
	"flag"
	"os"
	"testing"

	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/stack"
)

// system is what all tests share.
var system *bank.Bank

// runningAt is the front door of a system that runs already, such as on a cluster, for the tests that need no more than
// this door and the books.
var runningAt = flag.String("url", "", "the front door of a system that runs already: try that one")

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	use := func(b *bank.Bank) { system = b }
	if *runningAt != "" {
		return bank.RunAt(m, *runningAt, use, []bank.Check{bank.ContractKept})
	}
	return bank.Run(m, stack.Options{}, use, []bank.Check{
		bank.NoCrash, bank.SidecarsComplete, bank.ContractKept, bank.ContractExercised, bank.EachVerified, bank.AcrossVerified, bank.LogsHoldNoSecret,
	})
}

// ofProfile has the tests that only one profile can show, by its name. They stop servers, or copy files of databases.
var ofProfile = map[string][]struct {
	name string
	run  func(*testing.T)
}{
	stack.Embedded: {
		{"StacksDoNotMix", stacksDoNotMix},
		{"LongStatement", longStatement},
		{"FeeDatabaseRestored", feeDatabaseRestored},
		{"TransferDatabaseRestored", transferDatabaseRestored},
	},
	stack.Servers: {
		{"ServersRestart", serversRestart},
		{"RedisAway", redisAway},
		{"Replicas", replicas},
		{"EventsOfAHungReplica", eventsOfAHungReplica},
		{"ServicesMayNotAdministerKafka", servicesMayNotAdministerKafka},
		{"AlternativeComponents", alternativeComponents},
		{"SlowRedisAtStart", slowRedisAtStart},
		{"SidecarsKeepSecrets", sidecarsKeepSecrets},
		{"Seed", seed},
	},
}

// TestProfile runs the tests that only the profile in use can show.
func TestProfile(t *testing.T) {
	tests := ofProfile[system.Name()]
	if len(tests) == 0 {
		t.Fatalf("the profile %s has no test of its own", system.Name())
	}
	for _, test := range tests {
		t.Run(test.name, test.run)
	}
}
