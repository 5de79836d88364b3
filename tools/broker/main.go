// Command broker is the embedded Kafka broker of the local stack. It is one small process with Kafka's wire protocol, consumer
// groups, and files on disk. In production use Apache Kafka.
//
// Records and committed offsets survive a stop and a kill -9, because the broker hands each write to the kernel at once. A power
// cut can lose the last writes unless -sync is given. There are no replicas. The broker does not enforce retention: it never
// deletes a record.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const partitions = 4

var topics = []string{"transfers-completed", "fee-charges", "transfers-completed-dead-letter"}

func main() {
	address := flag.String("address", "127.0.0.1:9092", "where to listen; port 0 takes a free one")
	dataDir := flag.String("data", "", "folder of the log (required)")
	sync := flag.Bool("sync", false, "fsync every write: survives a power cut, much slower")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *address, *dataDir, *sync); err != nil {
		fmt.Fprintln(os.Stderr, "broker:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address, dataDir string, sync bool) error {
	if dataDir == "" {
		return fmt.Errorf("-data is required")
	}
	unlock, err := lock(dataDir)
	if err != nil {
		return err
	}
	defer unlock()

	// Listen here: the library would choose the address itself, and panic if the port is taken.
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	options := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return listener, nil }),
		kfake.DataDir(dataDir),
		kfake.SeedTopics(partitions, topics...),
		kfake.WithLogger(kfake.BasicLogger(os.Stderr, kfake.LogLevelWarn)),
	}
	if sync {
		options = append(options, kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		return err
	}
	hurryJoins(cluster)
	fmt.Println("ready", listener.Addr())
	<-ctx.Done()
	cluster.Close()
	return nil
}

// maxRebalance is the longest time that a group waits for its members to join again, in milliseconds. daprd's client gives up
// a join after 30 s.
const maxRebalance = 10_000

// hurryJoins limits the rebalance timeout that a member asks for to maxRebalance; daprd's client asks for 60 s. If a member dies
// while it waits to join, the library removes it only at the end of this timeout, and each new join starts the timeout again. If
// the timeout were longer than the members wait, the group would never complete a rebalance.
func hurryJoins(cluster *kfake.Cluster) {
	cluster.ControlKey(int16(kmsg.JoinGroup), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		join := request.(*kmsg.JoinGroupRequest)
		join.RebalanceTimeoutMillis = min(join.RebalanceTimeoutMillis, maxRebalance)
		return nil, nil, false // the library goes on
	})
}

// lock returns an error if another broker uses the same files: two brokers would destroy each other's log.
func lock(dataDir string) (unlock func(), err error) {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(dataDir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("another broker uses %s", dataDir)
	}
	return func() { _ = file.Close() }, nil
}
