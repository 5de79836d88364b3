package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// tag is the version that an overlay gives to an image.
func tag(image string) string { return `name: ` + image + `\n +newTag: "?([^"\n]+)` }

// A version that stands in more than one place is the same in each.
func TestVersionsAgree(t *testing.T) {
	root := root(t)
	const compose, dev, production = "compose.yaml", "k8s/overlays/dev/kustomization.yaml", "k8s/overlays/production/kustomization.yaml"
	type place struct{ file, pattern string }
	for what, places := range map[string][]place{
		"Go":         {{"go.work", `(?m)^go (\S+)`}, {"README.md", `Go (\S+) or later`}, {"README.md", `Go (\S+) ou mais novo`}},
		"Dapr":       {{"tools/daprd/go.mod", `dapr/dapr v(\S+)`}, {compose, `daprio/daprd:(\S+)`}, {"docs/kubernetes.md", `Dapr (\d[\d.]+\d)`}, {"docs/kubernetes.md", `dapr/dapr --version (\S+)`}},
		"Caddy":      {{"tools/caddy/go.mod", `caddy/v2 v(\S+)`}, {compose, `image: caddy:(\S+)`}, {dev, tag("caddy")}, {production, tag("caddy")}},
		"Kafka":      {{".ci/kafka/pom.xml", `<artifactId>kafka[_-]\S+\s+<version>(.*)</version>`}, {compose, `image: apache/kafka:(\S+)`}, {dev, tag("apache/kafka")}},
		"PostgreSQL": {{compose, `image: postgres:(\S+)`}, {dev, tag("postgres")}, {"ops/backup.Dockerfile", `POSTGRES_VERSION=(\S+)`}},
		"Redis":      {{compose, `image: redis:(\S+)`}, {dev, tag("redis")}},
	} {
		want := ""
		for _, p := range places {
			text, err := os.ReadFile(filepath.Join(root, p.file))
			if err != nil {
				t.Fatal(err)
			}
			found := regexp.MustCompile(p.pattern).FindAllSubmatch(text, -1)
			if len(found) == 0 {
				t.Errorf("%s: nothing like %s in %s", what, p.pattern, p.file)
			}
			for _, match := range found {
				if got := string(match[1]); want == "" {
					want = got
				} else if got != want {
					t.Errorf("%s: %s in %s, and %s in %s", what, got, p.file, want, places[0].file)
				}
			}
		}
	}
}
