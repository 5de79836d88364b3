//go:build k8s

package k8s_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Every caller and operation through real sidecars: those that are needed get to the service, all others are refused by the
// sidecar of the one that is called. A service answers an empty batch with 400, and a customer without a token with 401.
func TestAccessControl(t *testing.T) {
	internal := []string{"/internal/movements", "/internal/balances", "/internal/closed-accounts"}
	operations := []string{"POST /events/transfers-completed", "GET /metrics", "GET /healthz", "GET /swagger/"}
	for _, path := range internal {
		operations = append(operations, "POST "+path, "GET "+path)
	}
	// What the service itself answers to what is allowed, by the path's beginning: to an empty batch, to a question without a
	// cursor, and to a customer without a token.
	answer := func(path string) int {
		switch {
		case strings.HasPrefix(path, "/api/"):
			return http.StatusUnauthorized
		case path == "/internal/movements", path == "/internal/balances":
			return http.StatusBadRequest
		default:
			return http.StatusOK
		}
	}
	front := map[string]string{"account-svc": "GET /api/account/balance", "transfer-svc": "GET /api/transfer/list", "fee-svc": "GET /api/fee/my"}
	for _, operation := range front {
		operations = append(operations, operation)
	}
	allowed := map[string][]string{
		"transfer-svc account-svc": {"POST /internal/movements", "POST /internal/closed-accounts"},
		"fee-svc account-svc":      {"POST /internal/movements", "POST /internal/balances", "POST /internal/closed-accounts"},
		"ingress account-svc":      {front["account-svc"], "GET /healthz", "GET /swagger/"},
		"ingress transfer-svc":     {front["transfer-svc"], "GET /healthz"},
		"ingress fee-svc":          {front["fee-svc"], "GET /healthz"},
	}
	for _, caller := range apps {
		if caller == "account-svc" { // calls nobody; its network policy would make each attempt a wait
			continue
		}
		t.Run(caller, func(t *testing.T) {
			t.Parallel()
			url, apiToken := sidecar(t, caller), token(t, caller)
			for _, callee := range apps {
				if caller == callee || callee == "ingress" || (caller != "ingress" && callee != "account-svc") {
					continue // nobody asks the rules about oneself; the network lets no other pair through (TestNetworkPolicies)
				}
				for _, operation := range operations {
					method, path, _ := strings.Cut(operation, " ")
					status, body := invoke(t, url, apiToken, callee, method, path)
					denied := status == http.StatusForbidden && strings.Contains(body, "access control policy has denied access")
					if slices.Contains(allowed[caller+" "+callee], operation) {
						if want := answer(path); status != want {
							t.Errorf("%s calls %s of %s: %d %s, want %d", caller, operation, callee, status, body, want)
						}
					} else if !denied {
						t.Errorf("%s may call %s of %s: %d %s", caller, operation, callee, status, body)
					}
				}
			}
		})
	}
}

// CVE-2026-41491 and its relatives, as the ingress's own sidecar gets them: with Caddy in front they do not get so far.
func TestAccessControlOfDisguisedPaths(t *testing.T) {
	url, apiToken := sidecar(t, "ingress"), token(t, "ingress")
	for _, path := range []string{
		"/api/account/..%2f..%2finternal/movements",
		"/api/account/%2e%2e/%2e%2e/internal/movements",
		"/api/account/%2E%2E%2F%2E%2E%2Finternal%2Fmovements",
		"/api/account/../../internal/movements",
		"/healthz/..%2finternal/movements",
		"//internal/movements",
		"/%2finternal/movements",
		"/internal%2fmovements",
		"/INTERNAL/movements",
		"/internal/movements/",
		"/internal/movements%23/api/account/",
		"/internal/movements%3f/api/account/",
		"/internal/movements%00",
		"/v1.0/invoke/account-svc/method/internal/movements",
		"/v1.0/invoke/account-svc/method/api%2faccount%2f..%2f..%2finternal%2fmovements",
		"/api/account/..%252f..%252finternal/movements",
		"/api/account/%252e%252e%252f%252e%252e%252finternal%252fmovements",
	} {
		// Refused by the rules or by Dapr's own check of paths, or not found by the service: never the handler's 400.
		status, body := invoke(t, url, apiToken, "account-svc", http.MethodPost, path)
		forbidden := status == http.StatusForbidden || status == http.StatusInternalServerError && strings.Contains(body, "method contains forbidden character")
		if !forbidden && status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, status, body)
		}
		resp, err := http.Get(ingress(t) + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("after %s the ingress answers %d", path, resp.StatusCode)
		}
	}
}
