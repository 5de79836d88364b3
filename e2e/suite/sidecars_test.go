package suite_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	common "github.com/dapr/dapr/pkg/proto/common/v1"
	runtime "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/stack"
)

const apiTokenHeader = "dapr-api-token"

// A sidecar serves only its app. Without the API token nobody on the machine can move money through it, publish an event, or read
// or forge an answer in the state store, by HTTP or by gRPC.
func TestSidecarsWantTheAPIToken(t *testing.T) {
	ana := system.NewCustomer(t, "Ana Vizinha", "100.00")
	leavesNoTrace(t, func() {
		for _, id := range append([]string{stack.Ingress}, stack.Services...) {
			for what, token := range map[string]string{"no token": "", "a wrong token": "wrong", "the app's token": system.AppToken, "half the token": system.APIToken[:20]} {
				who := fmt.Sprintf("%s, %s", id, what)
				for _, call := range httpCalls {
					if got := overHTTP(t, system.Apps[id], call, theft(ana), token); got != http.StatusUnauthorized {
						t.Errorf("%s: %s %s: status %d, want 401", who, call.method, call.path, got)
					}
				}
				for method, request := range grpcCalls(theft(ana)) {
					if err := overGRPC(t, system.Apps[id], method, request, token, new(emptypb.Empty)); status.Code(err) != codes.Unauthenticated {
						t.Errorf("%s: %s: %v, want Unauthenticated", who, method, err)
					}
				}
			}
		}
	})
	ana.WantBalance(t, "100.00")
}

// With the token, such calls succeed.
func TestSidecarsServeTheirApps(t *testing.T) {
	for _, id := range append([]string{stack.Ingress}, stack.Services...) {
		app := system.Apps[id]
		invoke := httpCall{"GET", "/v1.0/invoke/account-svc/method/api/schema/account", ""}
		if got := overHTTP(t, app, invoke, "", system.APIToken); got != http.StatusOK {
			t.Errorf("%s: invocation by HTTP: status %d", id, got)
		}
		out := new(common.InvokeResponse)
		err := overGRPC(t, app, daprAPI+"InvokeService", &runtime.InvokeServiceRequest{Id: "account-svc", Message: &common.InvokeRequest{
			Method: "api/schema/account", HttpExtension: &common.HTTPExtension{Verb: common.HTTPExtension_GET},
		}}, system.APIToken, out)
		if err != nil || len(out.GetData().GetValue()) == 0 {
			t.Errorf("%s: invocation by gRPC: %v", id, err)
		}
	}

	publisher, mark := system.Apps["fee-svc"], bank.Key()
	publish := httpCall{"POST", "/v1.0/publish/pubsub/" + bank.ChargesTopic + "?metadata.rawPayload=true", "application/json"}
	if got := overHTTP(t, publisher, publish, `{"mark":"`+mark+`"}`, system.APIToken); got != http.StatusNoContent {
		t.Errorf("publishing by HTTP: status %d", got)
	}
	err := overGRPC(t, publisher, daprAPI+"PublishEvent", &runtime.PublishEventRequest{
		PubsubName: "pubsub", Topic: bank.ChargesTopic, Data: []byte(`{"mark":"` + mark + `"}`), Metadata: map[string]string{"rawPayload": "true"},
	}, system.APIToken, new(emptypb.Empty))
	if err != nil {
		t.Errorf("publishing by gRPC: %v", err)
	}

	for _, id := range []string{"account-svc", "transfer-svc"} {
		app, name := system.Apps[id], bank.Key()
		save := httpCall{"POST", "/v1.0/state/statestore", "application/json"}
		body := fmt.Sprintf(`[{"key":%q,"value":"v","metadata":{"ttlInSeconds":"60"}}]`, name)
		if got := overHTTP(t, app, save, body, system.APIToken); got != http.StatusNoContent {
			t.Errorf("%s: saving by HTTP: status %d", id, got)
		}
		out := new(runtime.GetStateResponse)
		err := overGRPC(t, app, daprAPI+"GetState", &runtime.GetStateRequest{StoreName: "statestore", Key: name}, system.APIToken, out)
		if err != nil || string(out.GetData()) != `"v"` {
			t.Errorf("%s: reading by gRPC: %q, %v", id, out.GetData(), err)
		}
	}
}

type httpCall struct{ method, path, contentType string }

// httpCalls are ways to do harm through a sidecar's HTTP port. The second is what a form on a web page can send.
var httpCalls = []httpCall{
	{"POST", "/v1.0/invoke/account-svc/method/internal/movements", "application/json"},
	{"POST", "/v1.0/invoke/account-svc/method/internal/movements", "text/plain"},
	{"GET", "/v1.0/invoke/account-svc/method/api/schema/account", ""},
	{"POST", "/v1.0/publish/pubsub/transfers-completed", "application/json"},
	{"POST", "/v1.0-alpha1/publish/bulk/pubsub/transfers-completed", "application/json"},
	{"POST", "/v1.0/state/statestore", "application/json"},
	{"GET", "/v1.0/state/statestore/k", ""},
	{"POST", "/v1.0/state/statestore/bulk", "application/json"},
	{"POST", "/v1.0/state/statestore/transaction", "application/json"},
	{"DELETE", "/v1.0/state/statestore/k", ""},
	{"GET", "/v1.0/metadata", ""},
	{"GET", "/v1.0/secrets/secrets/bulk", ""},
	{"POST", "/v1.0/shutdown", ""},
}

const daprAPI = "/dapr.proto.runtime.v1.Dapr/"

// grpcCalls are the same by gRPC, by method. The last is not the sidecar's: it would pass the call on to an app.
func grpcCalls(body string) map[string]proto.Message {
	return map[string]proto.Message{
		daprAPI + "InvokeService": &runtime.InvokeServiceRequest{Id: "account-svc", Message: &common.InvokeRequest{
			Method: "internal/movements", ContentType: "application/json", HttpExtension: &common.HTTPExtension{Verb: common.HTTPExtension_POST},
		}},
		daprAPI + "PublishEvent":                &runtime.PublishEventRequest{PubsubName: "pubsub", Topic: bank.CompletedTopic, Data: []byte(body)},
		daprAPI + "BulkPublishEvent":            &runtime.BulkPublishRequest{PubsubName: "pubsub", Topic: bank.CompletedTopic},
		daprAPI + "BulkPublishEventAlpha1":      &runtime.BulkPublishRequest{PubsubName: "pubsub", Topic: bank.CompletedTopic},
		daprAPI + "SaveState":                   &runtime.SaveStateRequest{StoreName: "statestore", States: []*common.StateItem{{Key: "k"}}},
		daprAPI + "GetState":                    &runtime.GetStateRequest{StoreName: "statestore", Key: "k"},
		daprAPI + "GetBulkState":                &runtime.GetBulkStateRequest{StoreName: "statestore", Keys: []string{"k"}},
		daprAPI + "DeleteState":                 &runtime.DeleteStateRequest{StoreName: "statestore", Key: "k"},
		daprAPI + "ExecuteStateTransaction":     &runtime.ExecuteStateTransactionRequest{StoreName: "statestore"},
		daprAPI + "GetMetadata":                 &runtime.GetMetadataRequest{},
		daprAPI + "GetBulkSecret":               &runtime.GetBulkSecretRequest{StoreName: "secrets"},
		daprAPI + "Shutdown":                    &runtime.ShutdownRequest{},
		"/dapr.proto.runtime.v1.Another/Method": &emptypb.Empty{},
	}
}

// overHTTP calls a sidecar and returns the status of its answer. token may be "".
func overHTTP(t *testing.T, app *stack.App, call httpCall, body, token string) int {
	t.Helper()
	header := http.Header{}
	if call.contentType != "" {
		header.Set("Content-Type", call.contentType)
	}
	if token != "" {
		header.Set(apiTokenHeader, token)
	}
	answer, err := client.New(client.URLs{}, nil).Send(t.Context(), call.method, app.Dapr+call.path, []byte(body), header)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status
}

// overGRPC calls a sidecar. token may be "".
func overGRPC(t *testing.T, app *stack.App, method string, request proto.Message, token string, answer proto.Message) error {
	t.Helper()
	conn, err := grpc.NewClient(app.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "dapr-app-id", "account-svc"), 10*time.Second)
	defer cancel()
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, apiTokenHeader, token)
	}
	return conn.Invoke(ctx, method, request, answer)
}
