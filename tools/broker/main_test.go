package main

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// One member is gone, and the next ones die while they wait to join. Another member, which gives up a join after 30 s like
// daprd's client and tries again, still gets into the group. (The chaos suite found this: it kills sidecars that have just been
// restarted.)
func TestGroupOutlivesMembersThatDieWhileJoining(t *testing.T) {
	const patience = 30 * time.Second // of daprd's client
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topics...),
		kfake.BrokerConfigs(map[string]string{"group.min.session.timeout.ms": "100"}))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	hurryJoins(cluster)

	gone := member(t, cluster)
	first, err := join(t.Context(), gone)
	if err != nil || first.ErrorCode != 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	var dying []*kgo.Client
	for range 8 { // several, since the broker notices some of their deaths by chance
		client := member(t, cluster)
		dying = append(dying, client)
		go join(t.Context(), client)
	}
	time.Sleep(100 * time.Millisecond)
	for _, client := range dying {
		client.Close()
	}
	time.Sleep(2 * session) // the first has sent no heartbeat

	for began := time.Now(); ; {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		last := member(t, cluster)
		answer, err := join(ctx, last)
		cancel()
		if err == nil && answer.ErrorCode == 0 {
			return
		}
		last.Close()
		if time.Since(began) > 2*patience {
			t.Fatalf("the group does not come together: %+v, %v", answer, err)
		}
	}
}

const session = 500 * time.Millisecond

func member(t *testing.T, cluster *kfake.Cluster) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RequestRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// join asks to be a member, as clients of the protocol before version 4 do: in one request.
func join(ctx context.Context, client *kgo.Client) (*kmsg.JoinGroupResponse, error) {
	request := kmsg.NewPtrJoinGroupRequest()
	request.Group, request.ProtocolType = "fee-svc", "consumer"
	request.SessionTimeoutMillis = int32(session.Milliseconds())
	request.RebalanceTimeoutMillis = int32((time.Minute).Milliseconds())
	request.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
	answer, err := request.RequestWith(ctx, client)
	if err == nil && answer.MemberID != "" && answer.ErrorCode != 0 { // the broker has given us an id and wants a second request with it
		request.MemberID = answer.MemberID
		answer, err = request.RequestWith(ctx, client)
	}
	return answer, err
}
