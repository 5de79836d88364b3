package suite_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/contract"
)

// docs/bankmore.http can be sent from top to bottom, and each request gets the status that its handler asserts.
func TestHTTPFile(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "docs", "bankmore.http"))
	if err != nil {
		t.Fatal(err)
	}
	variables, requests := readHTTPFile(t, string(text))
	if len(requests) < 15 {
		t.Fatalf("the file has %d requests", len(requests))
	}
	ana, bia := bank.NewCPF(), bank.NewCPF()
	system.KeepSecret(ana, bank.Formatted(ana), bia, bank.Formatted(bia))
	for name, value := range map[string]string{"base": system.URL(), "cpf_ana": bank.Formatted(ana), "cpf_bia": bank.Formatted(bia)} {
		if variables[name] == "" {
			t.Fatalf("the file has no variable %s", name)
		}
		variables[name] = value
	}
	for _, request := range requests {
		request.send(t, variables)
	}
	system.CheckBooks(t)
}

// httpRequest is a request of a file in the format of the HTTP client of JetBrains' IDEs.
type httpRequest struct {
	title, line, body string
	headers           []string
	status            int                 // that the handler asserts
	keep              map[string][]string // variables, and the path in the answer of what they are set to
}

var (
	fileVariable = regexp.MustCompile(`(?m)^@(\w+) = (.+)$`)
	handler      = regexp.MustCompile(`(?s)^(.*?)\n*> \{%\n(.*)\n%\}$`)
	asserted     = regexp.MustCompile(`^client\.test\("(\d+)", \(\) => client\.assert\(response\.status === (\d+)\)\);$`)
	kept         = regexp.MustCompile(`^client\.global\.set\("(\w+)", response\.body((?:\.\w+|\[\d+\])+)\);$`)
	placeholder  = regexp.MustCompile(`\{\{([^{}]+)\}\}`)
	step         = regexp.MustCompile(`\w+`)
)

// readHTTPFile reads the variables of a file, and its requests. A request begins with ### and has comments, a request line,
// headers, after an empty line a body, and then a handler, of which only these two statements are known.
func readHTTPFile(t *testing.T, text string) (variables map[string]string, requests []httpRequest) {
	t.Helper()
	variables = map[string]string{}
	for _, found := range fileVariable.FindAllStringSubmatch(text, -1) {
		variables[found[1]] = found[2]
	}
	for _, part := range strings.Split(text, "\n### ")[1:] {
		found := handler.FindStringSubmatch(strings.TrimSpace(part))
		if found == nil {
			t.Fatalf("a request has no handler: %s", part)
		}
		head, body, _ := strings.Cut(found[1], "\n\n")
		lines := strings.Split(head, "\n")
		request := httpRequest{title: lines[0], body: body, keep: map[string][]string{}}
		for _, line := range lines[1:] {
			switch {
			case strings.HasPrefix(line, "#"):
			case request.line == "":
				request.line = line
			default:
				request.headers = append(request.headers, line)
			}
		}
		for line := range strings.Lines(found[2]) {
			line = strings.TrimSpace(line)
			if status := asserted.FindStringSubmatch(line); status != nil && status[1] == status[2] {
				request.status, _ = strconv.Atoi(status[1])
			} else if set := kept.FindStringSubmatch(line); set != nil {
				request.keep[set[1]] = step.FindAllString(set[2], -1)
			} else {
				t.Fatalf("%s: nobody knows %q", request.title, line)
			}
		}
		requests = append(requests, request)
	}
	return variables, requests
}

// send sends the request, checks its status, and sets the variables that the handler sets. A GET is sent again while its answer
// lacks what one of them is set to, as the file tells its readers to do.
func (r httpRequest) send(t *testing.T, variables map[string]string) {
	t.Helper()
	fill := func(text string) string {
		return placeholder.ReplaceAllStringFunc(text, func(found string) string {
			name := found[2 : len(found)-2]
			if name == "$uuid" {
				return uuid.NewString()
			}
			value, ok := variables[name]
			if !ok {
				t.Fatalf("%s: nobody has set %s", r.title, found)
			}
			return value
		})
	}
	method, url, _ := strings.Cut(fill(r.line), " ")
	headers, body, ctx := http.Header{}, []byte(fill(r.body)), t.Context()
	for _, line := range r.headers {
		name, value, _ := strings.Cut(fill(line), ": ")
		headers.Add(name, value)
	}
	if r.status >= http.StatusBadRequest {
		ctx = contract.BadRequest(ctx)
	}
	bank.Eventually(t, 20*time.Second, func() error {
		answer, err := system.API.Send(ctx, method, url, body, headers)
		if err != nil || answer.Status != r.status {
			t.Fatalf("%s: %d %s, want %d; %v", r.title, answer.Status, answer.Body, r.status, err)
		}
		for name, path := range r.keep {
			value, ok := within(answer.Body, path)
			if !ok && method != http.MethodGet {
				t.Fatalf("%s: %s has no %v", r.title, answer.Body, path)
			} else if !ok {
				return fmt.Errorf("%s: %s has no %v", r.title, answer.Body, path)
			}
			variables[name] = value
		}
		return nil
	})
}

// within returns the text at a path of names and indexes in a JSON document.
func within(document []byte, path []string) (string, bool) {
	var value any
	if err := json.Unmarshal(document, &value); err != nil {
		return "", false
	}
	for _, step := range path {
		switch in := value.(type) {
		case map[string]any:
			value = in[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(in) {
				return "", false
			}
			value = in[i]
		default:
			return "", false
		}
	}
	text, ok := value.(string)
	return text, ok
}
