package suite_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/bankmore/bankmore/e2e/bank"
)

// theft is the body of a call of the ledger's internal operation. The call would take money out of p's account.
func theft(p bank.Customer) string {
	return fmt.Sprintf(`{"commands":[{"request_id":%q,"account_number":%q,"type":"D","kind":"fee","amount":"1.00","transfer_id":"019ab0f2-5a3e-7c41-9d3b-2f6f0c9e8a11"}]}`, bank.Key(), p.Number)
}

// No path, however it is encoded, and no header leads through the ingress to an internal operation.
func TestIngressKeepsTheInsideInside(t *testing.T) {
	ana := system.NewCustomer(t, "Ana Alvo", "100.00")
	paths := []string{
		"/internal", "/internal/", "/internal/movements", "//internal/movements", "/api/../internal/movements", "/api/account/../../internal/movements",
		"/api/account/..//../internal/movements", "/./internal/movements", "/api/./../internal/movements", "/api/account/.././../internal/movements",
		"/%69nternal/movements", "/internal%2Fmovements", "/api/%2e%2e/internal/movements", "/api/%2E%2E%2Finternal%2Fmovements", "/api/..%2finternal/movements",
		"/api/account/..%2f..%2finternal/movements", "/api/account/%2e%2e/%2e%2e/internal/movements", "/api/account/%252e%252e/%252e%252e/internal/movements",
		"/api/account/..%5c..%5cinternal/movements", `/api/account/..\..\internal/movements`, "/api/account/..;/..;/internal/movements", "/api/account/%2e%2e%3b/internal/movements",
		"/api/account%2f..%2f..%2finternal%2fmovements", "/api/account/balance/../../../internal/movements", "/INTERNAL/movements", "/api/account/internal/movements",
		"/api/account/exists/..%2f..%2f..%2f..%2finternal%2fmovements", "/api/account/exists/..%2F..%2F..%2F..%2Fmetrics", "/api/account?/../internal/movements",
		"/events/transfers-completed", "//events/transfers-completed", "/api/fee/../../events/transfers-completed", "/api/fee/..%2f..%2fevents%2ftransfers-completed",
		"/v1.0/invoke/account-svc/method/internal/movements", "/v1.0/state/statestore", "/v1.0/publish/pubsub/transfers-completed", "/v1.0/metadata", "/v1.0/healthz", "/v1.0/shutdown",
		"/api/account/../../v1.0/metadata", "/api/account/..%2f..%2fv1.0%2fmetadata", "/dapr/subscribe", "/dapr/config", "/api/account/../../dapr/config",
		"/metrics", "/readyz", "/api/account/../../metrics", "/api/account/..%2f..%2fmetrics", "http://account-svc/internal/movements", "/debug/pprof/", "/config/",
		"/api/account/balance%3Fx", "/api/account/balance%23", "/api/account/exists/a%3fb", "/api/account/exists/a%23b",
	}
	headers := map[string]string{
		"plain":            "",
		"app id":           "dapr-app-id: account-svc\r\n",
		"app id, twice":    "Dapr-App-Id: account-svc\r\nDAPR-APP-ID: account-svc\r\n",
		"caller":           "dapr-caller-app-id: transfer-svc\r\ndapr-caller-namespace: default\r\n",
		"the app's token":  "dapr-api-token: " + system.AppToken + "\r\ndapr-app-id: account-svc\r\n",
		"underlined":       "dapr_api_token: " + system.AppToken + "\r\ndapr_app_id: account-svc\r\n",
		"rewritten path":   "X-Original-URL: /internal/movements\r\nX-Rewrite-URL: /internal/movements\r\nX-Forwarded-Prefix: /internal\r\n",
		"method override":  "X-HTTP-Method-Override: POST\r\n",
		"hop by hop token": "Connection: dapr-app-id, dapr-api-token\r\n",
	}
	leavesNoTrace(t, func() {
		for _, path := range paths {
			for what, header := range headers {
				for _, method := range []string{"POST", "GET"} {
					answer := sendRaw(t, method, path, "Content-Type: application/json\r\nAuthorization: Bearer "+ana.Token+"\r\n"+header, theft(ana))
					if answer.Status < 400 || answer.Status >= 500 {
						t.Errorf("%s %s, %s: %d %.200s", method, path, what, answer.Status, answer.Body)
					}
				}
			}
		}
	})
	ana.WantBalance(t, "100.00")
}

// Dapr's headers from a client change nothing on the paths that are open.
func TestIngressIgnoresDaprHeaders(t *testing.T) {
	ana := system.NewCustomer(t, "Ana Porta", "7.00")
	for what, header := range map[string]string{
		"another app":       "dapr-app-id: fee-svc\r\n",
		"an absent app":     "dapr-app-id: nowhere\r\n",
		"another namespace": "dapr-app-id: account-svc.other\r\n",
		"a caller":          "dapr-caller-app-id: transfer-svc\r\n",
		"a wrong token":     "dapr-api-token: wrong\r\n",
		"hop by hop":        "Connection: dapr-app-id\r\n",
		"hop by hop, close": "Connection: close, dapr-app-id, dapr-api-token\r\n",
		"a callee":          "dapr-callee-app-id: fee-svc\r\n",
	} {
		answer := sendRaw(t, "GET", "/api/account/balance", "Authorization: Bearer "+ana.Token+"\r\n"+header, "")
		if answer.Status != http.StatusOK || !strings.Contains(string(answer.Body), `"7.00"`) {
			t.Errorf("%s: %d %s", what, answer.Status, answer.Body)
		}
	}
}

// Requests with unusual headers and queries get an answer of the API or a refusal, never a 5xx.
func TestOddHeaders(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Cabeçalho", "50.00"), system.NewCustomer(t, "Bia Cabeçalho", "")
	token := "Authorization: Bearer " + ana.Token + "\r\n"
	for what, header := range map[string]string{
		"user agent":           token + "User-Agent: \xff\xfe\r\n",
		"any header":           token + "X-Other: a\xffb\r\n",
		"Latin 1":              token + "X-Name: Jo\xe3o\r\n",
		"UTF-8":                token + "X-Name: João 🔑\r\n",
		"cookie":               token + "Cookie: a=\xff\r\n",
		"language":             token + "Accept-Language: \xff\r\n",
		"accept":               token + "Accept: \xff\r\n",
		"origin":               token + "Origin: \xff\r\n",
		"media type":           token + "Content-Type: \xff\r\n",
		"request id":           token + "X-Request-ID: \xff\r\n",
		"forwarded":            token + "X-Forwarded-For: \xff\r\nForwarded: \xff\r\n",
		"trace":                token + "traceparent: garbage\r\ntracestate: \xff\r\nbaggage: \xff\r\n",
		"trace, almost right":  token + "traceparent: 00-00000000000000000000000000000000-0000000000000000-01\r\n",
		"gRPC":                 token + "grpc-timeout: 1n\r\ngrpc-trace-bin: !!\r\nx-bin: \xff\r\n",
		"encoding":             token + "Accept-Encoding: gzip, br, \xff\r\nTE: trailers\r\n",
		"upgrade":              token + "Upgrade: websocket\r\n",
		"bearer":               "Authorization: Bearer \xff\r\n",
		"no token":             "Authorization: Bearer\r\n",
		"authorization, twice": token + "Authorization: Basic YTpi\r\n",
		"a long header":        token + "X-Long: " + strings.Repeat("x", 20<<10) + "\r\n",
		"many headers":         token + strings.Repeat("X-Many: x\r\n", 500),
		"a name that is none":  token + "X-\xff: a\r\n",
		"a line that is none":  token + "nothing\r\n",
		"two lengths":          token + "Content-Length: 7\r\n",
		"expectation":          token + "Expect: 100-continue\r\n",
		"two hosts":            token + "Host: elsewhere\r\n",
	} {
		if answer := sendRaw(t, "GET", "/api/account/balance", header, ""); answer.Status >= 500 {
			t.Errorf("%s: %d %.200s", what, answer.Status, answer.Body)
		}
	}
	if answer := sendRaw(t, "GET", "/api/account/balance", token+"Transfer-Encoding: chunked\r\n", "0\r\n\r\n"); answer.Status >= 500 {
		t.Errorf("chunks beside a length: %d %.200s", answer.Status, answer.Body)
	}
	for _, query := range []string{"cursor=%ff", "cursor=%00", "limit=%", "from=%zz", "cursor=" + strings.Repeat("A", 10000), "a;b", "&&&===", "limit=1&limit=2", "to=9999-99-99", "%ff=%ff"} {
		for _, path := range []string{"/api/account/statement?", "/api/transfer/list?", "/api/fee/my?"} {
			if answer := sendRaw(t, "GET", path+query, token, ""); answer.Status >= 500 {
				t.Errorf("%s%.50s: %d %.200s", path, query, answer.Status, answer.Body)
			}
		}
	}
	for what, key := range map[string]string{"bytes": "\xff", "Latin 1": "a\xe7\xe3o", "empty": "", "half a quote": `"a`, "long": strings.Repeat("x", 300)} {
		body := fmt.Sprintf(`{"destination_account_number":%q,"amount":"1.00"}`, bia.Number)
		answer := sendRaw(t, "POST", "/api/transfer", token+"Content-Type: application/json\r\nIdempotency-Key: "+key+"\r\n", body)
		if answer.Status != http.StatusBadRequest {
			t.Errorf("Idempotency-Key, %s: %d %.200s", what, answer.Status, answer.Body)
		}
	}
	system.CheckBooks(t)
}

// At a service's own port, only its sidecar may call what is internal.
func TestInternalRoutesWantTheAppToken(t *testing.T) {
	ana := system.NewCustomer(t, "Ana Token Interno", "100.00")
	leavesNoTrace(t, func() {
		for _, url := range []string{
			system.Apps["account-svc"].URL + "/internal/movements",
			system.Apps["account-svc"].URL + "/internal/movements/",
			system.Apps["fee-svc"].URL + "/events/transfers-completed",
			system.Apps["fee-svc"].URL + "/events/transfers-completed/",
		} {
			for what, token := range map[string]string{"no token": "", "a wrong token": "wrong", "a customer's token": ana.Token, "half the token": system.AppToken[:20]} {
				header := ana.Header()
				if token != "" {
					header.Set("dapr-api-token", token)
				}
				bank.WantAnswer(t, what+" at "+url, system.Send(t, "POST", url, theft(ana), header), http.StatusForbidden, "INVALID_TOKEN")
			}
		}
	})
	ana.WantBalance(t, "100.00")

	header := ana.Header()
	header.Set("dapr-api-token", system.AppToken)
	answer := system.Send(t, "POST", system.Apps["account-svc"].URL+"/internal/movements", `{"commands":[]}`, header)
	bank.WantAnswer(t, "the right token", answer, http.StatusBadRequest, "INVALID_ARGUMENT") // so it was the token that was missing
}
