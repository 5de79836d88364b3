package stack

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/bankmore/bankmore/launcher/runfile"
)

// Profile is what a stack stands on: its databases, its state store and its broker. Tests ask it for what only it can do,
// such as to open the databases or to break something. A profile serves one stack.
type Profile interface {
	// Name is Embedded or Servers.
	Name() string

	// Shared reports whether a database serves several replicas of a service at once, and locks single rows.
	Shared() bool

	// DatabaseURL is the database of the service with that id, as the service is told of it.
	DatabaseURL(id string) string

	// Books says how to open the databases of all services at once, read-only, as the schemas account, transfer and fee: the
	// driver, the source, and the statements that come first.
	Books() (driver, source string, statements []string)

	// Tables is a query for the names of the tables of one of these schemas.
	Tables(schema string) string

	// Broker is the Kafka broker.
	Broker() Server

	// KafkaOptions connect a client to the broker, as its administrator.
	KafkaOptions() []kgo.Opt

	// Servers are those that run outside of the stack, by name.
	Servers() map[string]Server

	// Cut breaks the connection of a service to its database in a transaction of the given function, which do sets off: before
	// COMMIT arrives, or, if committed, after it has been carried out and before it is answered. The stack must have crash
	// points.
	Cut(ctx context.Context, app *App, function string, committed bool, do func()) error

	// ForgetState makes the state store forget everything, while the system runs.
	ForgetState(ctx context.Context) error

	// LoseState loses the state store. No sidecar may run.
	LoseState(ctx context.Context) error

	// WithoutState runs do while every call of the state store fails.
	WithoutState(ctx context.Context, do func()) error

	// LoseDatabases loses the databases of services, which may not run.
	LoseDatabases(ctx context.Context, ids ...string) error

	// Scratch is what `ops verify -backup` has to be told of the place to which it restores a backup.
	Scratch() []string

	// LimitWrites prepares WithoutWrites. The caller must undo it.
	LimitWrites(ctx context.Context) (undo func(context.Context) error, err error)

	// WithoutWrites runs do while no database takes a write, since the disk is full or the server refuses it.
	WithoutWrites(ctx context.Context, do func()) error

	// RefuseRows runs do while a service's table refuses rows that a condition on NEW names, as a constraint would. The event is
	// INSERT or UPDATE.
	RefuseRows(ctx context.Context, id, table, event, condition string, do func()) error

	// LockRow runs do while a session of nobody's holds the one row that a FROM clause of the books names. It fails unless the
	// profile is Shared.
	LockRow(ctx context.Context, from, argument string, do func()) error

	// OwnFault draws a fault that only this profile has, concerning the service with that id: its target is the name of one of
	// Servers, "broker", or "<id> line". Its kind is "kill", "refuse writes", "cut" or "lose answers".
	OwnFault(random *rand.Rand, id string) (target, kind string)

	prepare(ctx context.Context, s *Stack) error // what the stack's processes need, empty
	remove(ctx context.Context) error            // what prepare has made outside of the stack's folder
	processes() []*Process
	adapt(app runfile.App) runfile.App // what the run file says of an app to what this profile says
	serviceEnvironment(app *App) map[string]string
	sidecarEnvironment() map[string]string
}

// The names of the profiles.
const (
	Embedded = "embedded" // SQLite and the embedded broker
	Servers  = "servers"  // PostgreSQL, Redis and Apache Kafka, which the environment names; .ci/backends starts some
)

// NewProfile returns the profile of that name.
func NewProfile(name string) (Profile, error) {
	switch name {
	case Embedded:
		return new(embedded), nil
	case Servers:
		return findServers()
	default:
		return nil, fmt.Errorf("no profile %q: it is %s or %s", name, Embedded, Servers)
	}
}

// schema is where the tables of a service are, in what Books opens.
func schema(id string) string { return strings.TrimSuffix(id, "-svc") }
