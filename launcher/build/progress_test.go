package build

import (
	"testing"
	"testing/synctest"
	"time"
)

// A job reads recorded output of go and returns the matching status.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &job{part: part{name: "daprd", packages: []string{"."}}, last: record{Packages: 1904, Seconds: 201.4}}
		other := &job{part: part{name: "caddy", packages: []string{"x"}}}
		linked := false
		hear := func(lines ...string) func() {
			return func() {
				for _, line := range lines {
					j.hear(line)
				}
			}
		}
		for _, step := range []struct {
			do   func()
			want string
		}{
			{func() {}, ""},
			{func() { j.begin(0, downloading, nil) }, "daprd: looking for its modules, 2 s"},
			{hear("go: downloading github.com/dapr/dapr v1.18.2"), "daprd: looking for its modules, 1 download so far, 4 s"},
			{func() { time.Sleep(10 * time.Second) }, "daprd: looking for its modules, 1 download so far, nothing new for 14 s, 16 s"},
			{func() { j.finish() }, ""},
			{func() { j.begin(2, compiling, func() { linked = true }) }, "2 of 2 daprd: comparing with what is compiled already, 2 s (the last time: 1904 packages, 201 s)"},
			{hear("internal/goarch", "vendor/golang.org/x/net/idna"), "2 of 2 daprd: compiling, 2 packages so far, 4 s (the last time: 1904 packages, 201 s)"},
			{func() { other.begin(0, downloading, nil) }, "2 of 2 daprd: compiling, 2 packages so far, 6 s (the last time: 1904 packages, 201 s); caddy: looking for its modules, 2 s"},
			{func() { other.finish() }, "2 of 2 daprd: compiling, 2 packages so far, 8 s (the last time: 1904 packages, 201 s)"},
			// The list lacks the package that has been compiled meanwhile.
			{func() {
				j.know("vendor/golang.org/x/net/idna\ngithub.com/dapr/kit/logger\ngopkg.in/yaml.v3\nmain github.com/bankmore/bankmore/tools/daprd\n")
			},
				"2 of 2 daprd: compiling package 2 of 4, 10 s (the last time: 1904 packages, 201 s)"},
			{hear("github.com/dapr/kit/logger", "gopkg.in/yaml.v3"), "2 of 2 daprd: compiling package 4 of 4, 12 s (the last time: 1904 packages, 201 s)"},
			{hear("github.com/bankmore/bankmore/tools/daprd"), "2 of 2 daprd: linking, 14 s (the last time: 1904 packages, 201 s)"},
			{func() { j.finish() }, ""},
		} {
			step.do()
			time.Sleep(2 * time.Second)
			if got, _ := status([]*job{j, other}); got != step.want {
				t.Errorf("%q, want %q", got, step.want)
			}
		}
		if !linked {
			t.Error("nobody is told that it is only linked")
		}
		if got, want := j.sum(), "daprd: 1 module downloaded in 16 s, 5 packages compiled in 12 s, linked in 2 s"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got, want := j.finish(), (record{Packages: 5, Seconds: 14}); got != want {
			t.Errorf("to remember: %v, want %v", got, want)
		}
	})
}

// The messages of go are kept for the error; names of packages and modules are not.
func TestMessagesAreKept(t *testing.T) {
	j := &job{part: part{packages: []string{"."}}}
	j.begin(1, compiling, func() {})
	for line, progress := range map[string]bool{
		"go: downloading golang.org/x/sys v0.40.0": true,
		"golang.org/x/sys/unix":                    true,
		"# golang.org/x/sys/unix":                  false,
		"./main.go:3:15: undefined: nothing":       false,
		"go: golang.org/x/sys@v0.40.0: Get \"https://proxy.example\": dial tcp: lookup proxy.example: no such host": false,
		"": false,
	} {
		if got := j.hear(line); got != progress {
			t.Errorf("%q is progress: %t, want %t", line, got, progress)
		}
	}
}
