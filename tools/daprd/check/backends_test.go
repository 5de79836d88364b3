package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const wayIn = `apiVersion: v1
kind: Service
metadata:
  name: ingress
spec:
  ports:
    - name: http
      port: 80
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: way
spec:
  rules:
    - backendRefs:
        - name: ingress
          port: 80
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: other
spec:
  defaultBackend:
    service:
      name: ingress
      port: {number: 80}
  rules:
    - http:
        paths:
          - path: /api
            pathType: Prefix
            backend:
              service:
                name: ingress
                port: {name: http}
`

// Whatever stands in front of a Service names a port that the Service has.
func TestBackendsExist(t *testing.T) {
	for _, test := range []struct{ old, replacement, want string }{
		{"", "", ""},
		{"          port: 80", "          port: 443", "HTTPRoute way: no Service ingress has the port 443"},
		{"        - name: ingress\n", "        - name: egress\n", "HTTPRoute way: no Service egress has the port 80"},
		{"        - name: ingress\n", "        - name: egress\n          kind: Bucket\n", ""},
		{"{number: 80}", "{number: 81}", "Ingress other: no Service ingress has the port 81"},
		{"{name: http}", "{name: https}", "Ingress other: no Service ingress has the port https"},
		{"    - name: http\n      port: 80", "    - name: https\n      port: 443", "HTTPRoute way: no Service ingress has the port 80"},
	} {
		path := filepath.Join(t.TempDir(), "rendered.yaml")
		if err := os.WriteFile(path, []byte(strings.Replace(wayIn, test.old, test.replacement, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := check(path, ""); (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%q for %q: %v, want %q", test.replacement, test.old, err, test.want)
		}
	}
}
