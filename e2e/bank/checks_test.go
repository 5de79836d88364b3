package bank

import (
	"slices"
	"testing"
)

// Lines of daprd 1.18.2's log, shortened.
const (
	begins   = `level=info msg="Starting Dapr Runtime -- version 1.18.2" app_id=transfer-svc` + "\n"
	failed   = `level=error msg="Failed to init component pubsub (pubsub.kafka/v1): [INIT_COMPONENT_FAILURE]"` + "\n"
	giveUp   = `level=warning msg="Error processing component, daprd will exit gracefully: [INIT_COMPONENT_FAILURE]"` + "\n"
	fatalEnd = `level=fatal msg="Fatal error from runtime: process component pubsub error: [INIT_COMPONENT_FAILURE]"` + "\n"
	running  = `level=info msg="dapr initialized. Status: Running."` + "\n"
)

func TestDoneWithout(t *testing.T) {
	for name, test := range map[string]struct {
		log  string
		want int
	}{
		"every component starts":                          {begins + running, 0},
		"a component fails and the sidecar goes on":       {begins + failed + running, 1},
		"the sidecar ends itself":                         {begins + failed + giveUp + fatalEnd, 0},
		"the sidecar ends itself and is started again":    {begins + failed + giveUp + fatalEnd + begins + running, 0},
		"only the first life went on":                     {begins + failed + running + begins + running, 1},
		"the first life ended itself, the second goes on": {begins + failed + fatalEnd + begins + failed + running, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := doneWithout([]byte(test.log)); len(got) != test.want || slices.Contains(got, "") {
				t.Errorf("doneWithout = %q, want %d lines", got, test.want)
			}
		})
	}
}
