// Command broker is the embedded Kafka broker of the local stack: the real wire protocol, consumer groups and files
// on disk, in one small process. Apache Kafka is what counts in production.
//
// What its files promise: records and committed offsets survive a stop and a kill -9, because every write is handed to
// the kernel at once. A power cut can lose the last moments unless -sync is given. It is one broker without replicas,
// and nothing is ever deleted: retention is not enforced.
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

	// Opened here, because the library would listen wherever it likes and panic over a busy port.
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

// maxRebalance is how long a group waits at most for its members to join again, in milliseconds. daprd's client gives a
// join up after 30 s.
const maxRebalance = 10_000

// hurryJoins bounds the time that a rebalance takes, whatever members ask for (daprd's client: 60 s). The library forgets
// a member that died while it waited to join at the end of that time only, and every join begins it anew: with a time
// longer than its members' patience such a group would never come together again.
func hurryJoins(cluster *kfake.Cluster) {
	cluster.ControlKey(int16(kmsg.JoinGroup), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		join := request.(*kmsg.JoinGroupRequest)
		join.RebalanceTimeoutMillis = min(join.RebalanceTimeoutMillis, maxRebalance)
		return nil, nil, false // the library goes on
	})
}

// lock keeps a second broker off the same files: two of them would destroy each other's log.
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
