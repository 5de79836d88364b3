package sidecar_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	common "github.com/dapr/dapr/pkg/proto/common/v1"
	runtime "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/bankmore/bankmore/platform/sidecar"
)

// fakeDapr is the part of a sidecar's gRPC API that the client uses, on a loopback port. It keeps its state when the test
// stops and restarts it.
type fakeDapr struct {
	runtime.UnimplementedDaprServer
	address string
	server  *grpc.Server

	mu        sync.Mutex
	tokens    [][]string // of each call
	state     map[string]*common.StateItem
	saved     [][]string // the keys of each transaction
	badKey    string     // cannot be read
	published []*runtime.BulkPublishRequest
	raw       []*runtime.PublishEventRequest
	fail      func(*runtime.BulkPublishRequest) (*runtime.BulkPublishResponse, error)
}

func (f *fakeDapr) port() int {
	_, port, _ := net.SplitHostPort(f.address)
	var n int
	_, _ = fmt.Sscan(port, &n)
	return n
}

func (f *fakeDapr) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", f.address)
	if err != nil {
		t.Fatal(err)
	}
	f.address = l.Addr().String()
	f.server = grpc.NewServer(grpc.UnaryInterceptor(f.note))
	runtime.RegisterDaprServer(f.server, f)
	go func() {
		if err := f.server.Serve(l); err != nil {
			t.Error(err)
		}
	}()
}

func (f *fakeDapr) note(ctx context.Context, in any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	md, _ := metadata.FromIncomingContext(ctx)
	f.tokens = append(f.tokens, md.Get("dapr-api-token"))
	return handle(ctx, in)
}

func (f *fakeDapr) ExecuteStateTransaction(_ context.Context, in *runtime.ExecuteStateTransactionRequest) (*emptypb.Empty, error) {
	if in.GetStoreName() != "statestore" {
		return nil, status.Error(codes.FailedPrecondition, "no such store")
	}
	f.saved = append(f.saved, nil)
	for _, operation := range in.GetOperations() {
		f.saved[len(f.saved)-1] = append(f.saved[len(f.saved)-1], operation.GetRequest().GetKey())
		if operation.GetOperationType() != "upsert" {
			return nil, status.Error(codes.InvalidArgument, "no such operation")
		}
		f.state[operation.GetRequest().GetKey()] = operation.GetRequest()
	}
	return &emptypb.Empty{}, nil
}

func (f *fakeDapr) GetBulkState(_ context.Context, in *runtime.GetBulkStateRequest) (*runtime.GetBulkStateResponse, error) {
	if in.GetParallelism() < 2 {
		return nil, status.Error(codes.InvalidArgument, "keys would be read one by one")
	}
	out := &runtime.GetBulkStateResponse{}
	for _, key := range in.GetKeys() {
		item := &runtime.BulkStateItem{Key: key, Data: f.state[key].GetValue()} // a missing key comes back empty
		if key == f.badKey {
			item.Error = "disk failure"
		}
		out.Items = append(out.Items, item)
	}
	slices.Reverse(out.Items) // daprd promises no order
	return out, nil
}

func (f *fakeDapr) BulkPublishEvent(_ context.Context, in *runtime.BulkPublishRequest) (*runtime.BulkPublishResponse, error) {
	f.published = append(f.published, in)
	if f.fail != nil {
		return f.fail(in)
	}
	return &runtime.BulkPublishResponse{}, nil
}

func (f *fakeDapr) PublishEvent(_ context.Context, in *runtime.PublishEventRequest) (*emptypb.Empty, error) {
	f.raw = append(f.raw, in)
	if in.GetTopic() == "refused" {
		return nil, status.Error(codes.Internal, "broker is down")
	}
	return &emptypb.Empty{}, nil
}

// pair is a running fake and a client of it.
func pair(t *testing.T, token string) (*fakeDapr, *sidecar.Client) {
	t.Helper()
	f := &fakeDapr{address: "127.0.0.1:0", state: map[string]*common.StateItem{}}
	f.start(t)
	t.Cleanup(func() { f.server.Stop() })
	client, err := sidecar.New(sidecar.Config{GRPCPort: f.port(), HTTPPort: 1, APIToken: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return f, client
}

func TestState(t *testing.T) {
	fake, client := pair(t, "")
	store := client.StateStore("statestore")
	err := store.Save(t.Context(), []sidecar.StateItem{
		{Key: "b", Value: []byte(`"é||/"`), TTL: time.Second},
		{Key: "a", Value: []byte(`{"n":1}`), TTL: 24 * time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"a", "b"}}, fake.saved); diff != "" {
		t.Errorf("transactions (-want +got):\n%s", diff)
	}
	if got := fake.state["a"].GetMetadata()["ttlInSeconds"] + " " + fake.state["b"].GetMetadata()["ttlInSeconds"]; got != "86400 1" {
		t.Errorf("ttlInSeconds: %s", got)
	}
	options := fake.state["a"].GetOptions()
	if options.GetConcurrency() != common.StateOptions_CONCURRENCY_LAST_WRITE || options.GetConsistency() != common.StateOptions_CONSISTENCY_STRONG {
		t.Errorf("options: %v", options)
	}
	got, err := store.Get(t.Context(), []string{"missing", "b", "a"})
	want := map[string][]byte{"a": []byte(`{"n":1}`), "b": []byte(`"é||/"`)}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Get: %v (-want +got):\n%s", err, diff)
	}
}

func TestStateFailures(t *testing.T) {
	fake, client := pair(t, "")
	fake.badKey = "bad"
	if got, err := client.StateStore("statestore").Get(t.Context(), []string{"good", "bad"}); err == nil || got != nil {
		t.Errorf("Get of a key that cannot be read: %v, %v: it must not pass for a missing one", got, err)
	}
	err := client.StateStore("other").Save(t.Context(), []sidecar.StateItem{{Key: "a", Value: []byte("1"), TTL: time.Hour}})
	if err == nil {
		t.Error("Save to a store that does not exist")
	}
}

func TestAPIToken(t *testing.T) {
	for _, token := range []string{"", "secret"} {
		fake, client := pair(t, token)
		if _, err := client.StateStore("statestore").Get(t.Context(), []string{"a"}); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Publish(t.Context(), "pubsub", "topic", events("1")); err != nil {
			t.Fatal(err)
		}
		var want []string
		if token != "" {
			want = []string{token}
		}
		if diff := cmp.Diff([][]string{want, want}, fake.tokens); diff != "" {
			t.Errorf("token %q: tokens of the calls (-want +got):\n%s", token, diff)
		}
	}
}

func events(ids ...string) []sidecar.Event {
	out := make([]sidecar.Event, len(ids))
	for i, id := range ids {
		out[i] = sidecar.Event{ID: id, Type: "thing-done", PartitionKey: "key of " + id, Data: []byte(`{"id":"` + id + `"}`)}
	}
	return out
}

func TestPublish(t *testing.T) {
	fake, client := pair(t, "")
	failed, err := client.Publish(t.Context(), "pubsub", "topic", events("1", "2", "3"))
	if err != nil || len(failed) != 0 {
		t.Fatalf("Publish = %v, %v", failed, err)
	}
	if len(fake.published) != 1 {
		t.Fatalf("%d calls, want one", len(fake.published))
	}
	request := fake.published[0]
	if request.GetPubsubName() != "pubsub" || request.GetTopic() != "topic" || len(request.GetEntries()) != 3 {
		t.Errorf("request: %v", request)
	}
	for i, entry := range request.GetEntries() {
		id := fmt.Sprint(i + 1)
		want := map[string]string{"partitionKey": "key of " + id, "cloudevent.id": id, "cloudevent.type": "thing-done"}
		if diff := cmp.Diff(want, entry.GetMetadata()); diff != "" {
			t.Errorf("entry %d (-want +got):\n%s", i, diff)
		}
		if entry.GetContentType() != "application/json" || string(entry.GetEvent()) != `{"id":"`+id+`"}` || entry.GetEntryId() != id {
			t.Errorf("entry %d: %v", i, entry)
		}
	}
}

// Exactly those events count as failed that the broker has not confirmed for sure.
func TestPublishFailures(t *testing.T) {
	failing := func(ids ...string) func(*runtime.BulkPublishRequest) (*runtime.BulkPublishResponse, error) {
		return func(*runtime.BulkPublishRequest) (*runtime.BulkPublishResponse, error) {
			out := &runtime.BulkPublishResponse{}
			for _, id := range ids {
				out.FailedEntries = append(out.FailedEntries, &runtime.BulkPublishResponseFailedEntry{EntryId: id, Error: "no"})
			}
			return out, nil
		}
	}
	all := map[string]bool{"1": true, "2": true, "3": true}
	for name, test := range map[string]struct {
		fail func(*runtime.BulkPublishRequest) (*runtime.BulkPublishResponse, error)
		want map[string]bool
	}{
		"one entry":        {failing("2"), map[string]bool{"2": true}},
		"two entries":      {failing("1", "3"), map[string]bool{"1": true, "3": true}},
		"every entry":      {failing("1", "2", "3"), all},
		"an unknown entry": {failing("2", "?"), all},
		"the call": {func(*runtime.BulkPublishRequest) (*runtime.BulkPublishResponse, error) {
			return nil, status.Error(codes.Internal, "broker is down")
		}, all},
	} {
		fake, client := pair(t, "")
		fake.fail = test.fail
		failed, err := client.Publish(t.Context(), "pubsub", "topic", events("1", "2", "3"))
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if diff := cmp.Diff(test.want, failed); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestPublishRaw(t *testing.T) {
	fake, client := pair(t, "")
	if err := client.PublishRaw(t.Context(), "pubsub", "dead-letter", []byte("no \xff JSON")); err != nil {
		t.Fatal(err)
	}
	got := fake.raw[0]
	if got.GetPubsubName() != "pubsub" || got.GetTopic() != "dead-letter" || string(got.GetData()) != "no \xff JSON" || got.GetMetadata()["rawPayload"] != "true" {
		t.Errorf("request: %v", got)
	}
	if err := client.PublishRaw(t.Context(), "pubsub", "refused", []byte("x")); err == nil {
		t.Error("a refused message is no error")
	}
}

func TestEndedContextEndsTheCall(t *testing.T) {
	_, client := pair(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.StateStore("statestore").Get(ctx, []string{"a"}); status.Code(errors.Unwrap(err)) != codes.Canceled {
		t.Errorf("Get = %v, want a cancellation", err)
	}
	if failed, err := client.Publish(ctx, "pubsub", "topic", events("1")); err == nil || !failed["1"] {
		t.Errorf("Publish = %v, %v", failed, err)
	}
}

// Without its sidecar, calls of a client fail soon. When the sidecar is back, calls of the same client succeed.
func TestClientReconnects(t *testing.T) {
	fake, client := pair(t, "")
	store := client.StateStore("statestore")
	get := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := store.Get(ctx, []string{"a"})
		return err
	}
	if err := get(); err != nil {
		t.Fatal(err)
	}
	fake.server.Stop()
	begin := time.Now()
	if err := get(); err == nil || time.Since(begin) > 2*time.Second {
		t.Errorf("without a sidecar: %v after %v, want an error soon", err, time.Since(begin))
	}
	if failed, err := client.Publish(t.Context(), "pubsub", "topic", events("1")); err == nil || !failed["1"] {
		t.Errorf("without a sidecar, Publish = %v, %v", failed, err)
	}
	fake.start(t)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := get()
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the sidecar is back and calls still fail: %v", err)
		}
	}
}
