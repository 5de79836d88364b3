package runfile

import (
	"strings"
	"testing"
)

func TestAppsHaveTheCommonSettings(t *testing.T) {
	const text = `
version: 1
common:
  configFilePath: c.yaml
  schedulerHostAddress: " "
  placementHostAddress: ""
  env: {A: common, B: common}
apps:
- appID: one
  command: [program, argument]
  appPort: 1
  daprHTTPPort: 2
  daprGRPCPort: 3
  daprInternalGRPCPort: 4
  metricsPort: 5
  env: {B: own}
  configFilePath: own.yaml
- appID: two
  command: [program]
`
	apps, err := parse([]byte(text))
	if err != nil || len(apps) != 2 {
		t.Fatalf("%d apps, %v", len(apps), err)
	}
	one, two := apps[0], apps[1]
	if env := one.Environment(); env["A"] != "common" || env["B"] != "own" || env["APP_PORT"] != "1" || env["DAPR_HTTP_PORT"] != "2" || env["DAPR_GRPC_PORT"] != "3" {
		t.Errorf("environment %v", env)
	}
	if env := two.Environment(); env["B"] != "common" {
		t.Errorf("environment %v", env)
	}
	const want = "--app-id|one|--app-protocol|http|--app-port|1|--dapr-http-port|2|--dapr-grpc-port|3|--dapr-internal-grpc-port|4|--metrics-port|5|" +
		"--dapr-internal-grpc-listen-address|127.0.0.1|--metrics-listen-address|127.0.0.1|" +
		"--config|own.yaml|--placement-host-address||--scheduler-host-address| "
	if got := strings.Join(one.SidecarArguments(), "|"); got != want {
		t.Errorf("arguments\n%s, want\n%s", got, want)
	}
	if got := strings.Join(two.SidecarArguments(), "|"); !strings.Contains(got, "|--config|c.yaml|") {
		t.Errorf("arguments %s", got)
	}
}

// Read refuses a setting that it does not know, since the Dapr CLI may apply it.
func TestUnknownSettingsAreRefused(t *testing.T) {
	const app = "apps:\n- appID: one\n  command: [program]\n"
	for name, text := range map[string]string{
		"of an app":    app + "  daprdLogDestination: console\n",
		"common":       "common:\n  disableAppHealth: true\n" + app,
		"at the top":   "templates: []\n" + app,
		"no command":   "apps:\n- appID: one\n",
		"no app's id":  "apps:\n- command: [program]\n",
		"another type": app + "  appPort: many\n",
	} {
		if apps, err := parse([]byte(text)); err == nil {
			t.Errorf("%s: %+v", name, apps)
		}
	}
}
