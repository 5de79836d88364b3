package stack

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver of Books
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"gopkg.in/yaml.v3"

	"github.com/bankmore/bankmore/launcher/runfile"
)

// The topics of the services, as the outside world knows them.
const (
	CompletedTopic  = "transfers-completed"
	DeadLetterTopic = "transfers-completed-dead-letter"
	ChargesTopic    = "fee-charges"
)

// Server is what a stack depends on and a test may take away.
type Server interface {
	Start(ctx context.Context) error // until it is ready
	Kill() error
}

// ServersProfile is the profile of production: PostgreSQL, Redis and Apache Kafka, as the environment names them. They serve one
// stack at a time, since topics have fixed names.
type ServersProfile struct {
	env      map[string]string
	database string
}

// required are the variables that name the servers. The sidecars read those that components/production refers to.
var (
	required = append([]string{
		"BACKENDS_POSTGRES_URL", "BACKENDS_KAFKA_USERNAME", "BACKENDS_KAFKA_PASSWORD", "BACKENDS_CONTROL", "REDIS_URL",
	}, forSidecars...)

	forSidecars = []string{
		"REDIS_HOST", "REDIS_PASSWORD", "REDIS_TLS",
		"KAFKA_BOOTSTRAP_SERVERS", "KAFKA_USERNAME", "KAFKA_PASSWORD", "KAFKA_DISABLE_TLS", "SSL_CERT_FILE",
	}
)

// findServers finds them. BACKENDS_BOOKS names the database with a schema per service, for a system that runs already (At);
// a stack makes one of its own.
func findServers() (*ServersProfile, error) {
	b := &ServersProfile{env: map[string]string{}, database: os.Getenv("BACKENDS_BOOKS")}
	var missing []string
	for _, name := range required {
		if b.env[name] = os.Getenv(name); b.env[name] == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf(`these variables are not set: %s; eval "$(.ci/backends env)"`, strings.Join(missing, ", "))
	}
	return b, nil
}

// prepare makes an empty database with a schema per service, and empties Redis and the topics.
func (b *ServersProfile) prepare(ctx context.Context, s *Stack) error {
	if err := keepNamesApart(s.Dir); err != nil {
		return err
	}
	b.database = strings.ToLower(strings.ReplaceAll(filepath.Base(s.Dir), "-", "_"))
	if err := b.administer(ctx, "CREATE DATABASE "+b.database); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, b.WholeURL())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, id := range Services {
		if _, err := conn.Exec(ctx, "CREATE SCHEMA "+schema(id)); err != nil {
			return err
		}
	}
	if err := b.ForgetState(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for { // a broker that has never had a consumer needs a moment
		err := b.emptyTopics(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(pollInterval)
	}
}

// remove also lets PostgreSQL take writes, which somebody who was interrupted in WithoutWrites has not done.
func (b *ServersProfile) remove(ctx context.Context) error {
	return errors.Join(b.Server("postgres").run(ctx, "accept"), b.administer(ctx, "DROP DATABASE IF EXISTS "+b.database+" WITH (FORCE)"))
}

// administer runs a statement, also while PostgreSQL is read-only by default.
func (b *ServersProfile) administer(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, b.env["BACKENDS_POSTGRES_URL"])
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "SET default_transaction_read_only = off"); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return err
}

// Name implements Profile.
func (*ServersProfile) Name() string { return Servers }

// Shared implements Profile.
func (*ServersProfile) Shared() bool { return true }

// DatabaseURL is the stack's database, with the schema of the service with that id. (In production each service has a
// database and a role of its own, as in compose/postgres; here they share one of each, so that one query can compare what
// they hold. That none needs another's tables is seen on SQLite, where each has its own file.)
func (b *ServersProfile) DatabaseURL(id string) string { return b.url(schema(id)) }

// WholeURL is the stack's database, of whose schemas none is chosen.
func (b *ServersProfile) WholeURL() string { return b.url("") }

func (b *ServersProfile) url(schema string) string {
	u, err := url.Parse(b.env["BACKENDS_POSTGRES_URL"])
	if err != nil {
		return "" // which nothing accepts
	}
	u.Path = "/" + b.database
	if schema != "" {
		query := u.Query()
		query.Set("search_path", schema)
		u.RawQuery = query.Encode()
	}
	return u.String()
}

// Books implements Profile.
func (b *ServersProfile) Books() (driver, source string, statements []string) {
	return "pgx", b.WholeURL(), []string{"SET default_transaction_read_only = on"}
}

// Tables finds also those that are another database's.
func (*ServersProfile) Tables(schema string) string {
	return "SELECT table_name FROM information_schema.tables WHERE table_type <> 'VIEW' AND table_schema = '" + schema + "'"
}

// Broker implements Profile.
func (b *ServersProfile) Broker() Server { return b.Server("kafka") }

// Servers implements Profile.
func (b *ServersProfile) Servers() map[string]Server {
	all := map[string]Server{}
	for _, name := range []string{"postgres", "redis", "kafka"} {
		all[name] = b.Server(name)
	}
	return all
}

// Cut ends the connections of the service, or lets COMMIT pass and swallows its answer.
func (*ServersProfile) Cut(ctx context.Context, app *App, function string, committed bool, do func()) error {
	before, err := app.Service.Arm("commit.before", Stall, function)
	if err != nil {
		return err
	}
	do()
	if err := before.Reached(ctx); err != nil {
		return err
	}
	if !committed {
		return errors.Join(app.Line.Cut(ctx), before.Release())
	}
	after, err := app.Service.Arm("commit.after", Stall, function)
	if err != nil {
		return err
	}
	if err := errors.Join(app.Line.LoseAnswers(), before.Release(), after.Reached(ctx)); err != nil {
		return err
	}
	return errors.Join(app.Line.Start(ctx), after.Release())
}

// LoseState makes Redis forget everything, and the cached balances with it.
func (b *ServersProfile) LoseState(ctx context.Context) error { return b.ForgetState(ctx) }

// WithoutState stops Redis.
func (b *ServersProfile) WithoutState(ctx context.Context, do func()) (err error) {
	redis := b.Server("redis")
	if err := redis.Kill(); err != nil {
		return err
	}
	defer func() { err = redis.Start(context.WithoutCancel(ctx)) }()
	do()
	return nil
}

// LoseDatabases drops the schemas of the services.
func (b *ServersProfile) LoseDatabases(ctx context.Context, ids ...string) error {
	conn, err := pgx.Connect(ctx, b.WholeURL())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, id := range ids {
		if _, err := conn.Exec(ctx, "DROP SCHEMA "+schema(id)+" CASCADE"); err != nil {
			return err
		}
	}
	return nil
}

// Scratch implements Profile.
func (b *ServersProfile) Scratch() []string {
	return []string{"-scratch", b.env["BACKENDS_POSTGRES_URL"]}
}

// LimitWrites has nothing to prepare.
func (*ServersProfile) LimitWrites(context.Context) (undo func(context.Context) error, err error) {
	return func(context.Context) error { return nil }, nil
}

// WithoutWrites has PostgreSQL answer every write with an error.
func (b *ServersProfile) WithoutWrites(ctx context.Context, do func()) (err error) {
	postgres := b.Server("postgres")
	if err := postgres.run(ctx, "refuse"); err != nil {
		return err
	}
	defer func() { err = postgres.run(context.WithoutCancel(ctx), "accept") }()
	do()
	return nil
}

// RefuseRows implements Profile.
func (b *ServersProfile) RefuseRows(ctx context.Context, id, table, event, condition string, do func()) (err error) {
	conn, err := pgx.Connect(ctx, b.DatabaseURL(id))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, fmt.Sprintf(`
		CREATE FUNCTION refused_on_purpose() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN RAISE EXCEPTION 'refused on purpose' USING ERRCODE = 'check_violation'; END $$;
		CREATE TRIGGER refused_on_purpose BEFORE %s ON %s FOR EACH ROW WHEN (%s) EXECUTE FUNCTION refused_on_purpose()`, event, table, condition)); err != nil {
		return err
	}
	defer func() { _, err = conn.Exec(context.WithoutCancel(ctx), "DROP FUNCTION refused_on_purpose CASCADE") }()
	do()
	return nil
}

// LockRow implements Profile.
func (b *ServersProfile) LockRow(ctx context.Context, from, argument string, do func()) error {
	conn, err := pgx.Connect(ctx, b.WholeURL())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) // which gives the row back
	if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
		return err
	}
	tag, err := conn.Exec(ctx, "SELECT 1 FROM "+from+" FOR UPDATE", argument)
	if err != nil {
		return err
	}
	if tag.RowsAffected() != 1 {
		return fmt.Errorf("%d rows of %s are locked, not one", tag.RowsAffected(), from)
	}
	do()
	return nil
}

// OwnFault implements Profile.
func (*ServersProfile) OwnFault(random *rand.Rand, id string) (target, kind string) {
	switch random.IntN(5) {
	case 0:
		return "postgres", "kill"
	case 1:
		return "postgres", "refuse writes"
	case 2:
		return id + " line", "cut"
	case 3:
		return id + " line", "lose answers"
	default:
		return id + " line", "kill"
	}
}

func (*ServersProfile) processes() []*Process { return nil }

// ForgetState makes Redis forget everything.
func (b *ServersProfile) ForgetState(ctx context.Context) error {
	options, err := redis.ParseURL(b.env["REDIS_URL"])
	if err != nil {
		return err
	}
	client := redis.NewClient(options)
	return errors.Join(client.FlushDB(ctx).Err(), client.Close())
}

// KafkaOptions implements Profile.
func (b *ServersProfile) KafkaOptions() []kgo.Opt {
	return b.kafkaOptions("BACKENDS_KAFKA_USERNAME", "BACKENDS_KAFKA_PASSWORD")
}

// ServicesKafkaOptions connect a client to the broker as the services' user.
func (b *ServersProfile) ServicesKafkaOptions() []kgo.Opt {
	return b.kafkaOptions("KAFKA_USERNAME", "KAFKA_PASSWORD")
}

func (b *ServersProfile) kafkaOptions(user, password string) []kgo.Opt {
	login := scram.Auth{User: b.env[user], Pass: b.env[password]}
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(b.env["KAFKA_BOOTSTRAP_SERVERS"], ",")...),
		kgo.SASL(login.AsSha512Mechanism()),
	}
	if b.env["KAFKA_DISABLE_TLS"] != "true" {
		options = append(options, kgo.DialTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12}))
	}
	return options
}

// emptyTopics makes the topics look new: without records and without anybody's offsets.
func (b *ServersProfile) emptyTopics(ctx context.Context) error {
	client, err := kgo.NewClient(b.KafkaOptions()...)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	groups, err := admin.DeleteGroups(ctx, Services...)
	if err != nil {
		return err
	}
	for _, group := range groups.Sorted() {
		if group.Err != nil && !strings.Contains(group.Err.Error(), "GROUP_ID_NOT_FOUND") {
			return group.Err
		}
	}
	ends, err := admin.ListEndOffsets(ctx, CompletedTopic, ChargesTopic, DeadLetterTopic)
	if err != nil {
		return err
	}
	if err := ends.Error(); err != nil {
		return err
	}
	deleted, err := admin.DeleteRecords(ctx, ends.Offsets())
	if err != nil {
		return err
	}
	return deleted.Error()
}

// Server is one of postgres, redis and kafka.
func (b *ServersProfile) Server(name string) Controlled {
	return Controlled{b.env["BACKENDS_CONTROL"], name}
}

// Controlled is a server that a command starts and stops.
type Controlled struct{ command, server string }

// Start implements Server.
func (c Controlled) Start(ctx context.Context) error { return c.run(ctx, "start") }

// Kill implements Server.
func (c Controlled) Kill() error { return c.run(context.Background(), "stop") }

// Pause keeps Redis from answering; Resume lets it go on. Other servers refuse.
func (c Controlled) Pause() error { return c.run(context.Background(), "pause") }

// Resume lets a paused server go on.
func (c Controlled) Resume() error { return c.run(context.Background(), "resume") }

func (c Controlled) run(ctx context.Context, action string) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, c.command, action, c.server).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", action, c.server, err, out)
	}
	return nil
}

// serviceEnvironment is what production gives to a service.
func (b *ServersProfile) serviceEnvironment(app *App) map[string]string {
	return map[string]string{
		"BANKMORE_ENV":  "production",
		"DATABASE_URL":  b.DatabaseURL(app.ID),
		"REDIS_URL":     b.env["REDIS_URL"],
		"SSL_CERT_FILE": b.env["SSL_CERT_FILE"],
	}
}

func (b *ServersProfile) sidecarEnvironment() map[string]string {
	env := maps.Clone(b.env)
	maps.DeleteFunc(env, func(name, _ string) bool { return !slices.Contains(forSidecars, name) })
	return env
}

// adapt takes the components and the configuration of production.
func (*ServersProfile) adapt(app runfile.App) runfile.App {
	app.ConfigFile = strings.Replace(app.ConfigFile, componentsDir+"/local", componentsDir+"/production", 1)
	app.Resources = slices.Clone(app.Resources)
	for i, path := range app.Resources {
		if path == componentsDir+"/local" {
			app.Resources[i] = componentsDir + "/production"
		}
	}
	return app
}

// keepNamesApart gives production's Configuration the name resolution of the local one: outside of Kubernetes sidecars
// would use mDNS, and find those of other stacks.
func keepNamesApart(dir string) error {
	read := func(environment string) (file string, config map[string]any, err error) {
		file = filepath.Join(dir, componentsDir, environment, "config.yaml")
		raw, err := os.ReadFile(file)
		if err == nil {
			err = yaml.Unmarshal(raw, &config)
		}
		return file, config, err
	}
	_, local, err := read("local")
	if err != nil {
		return err
	}
	file, config, err := read("production")
	if err != nil {
		return err
	}
	config["spec"].(map[string]any)["nameResolution"] = local["spec"].(map[string]any)["nameResolution"]
	raw, err := yaml.Marshal(config)
	if err != nil {
		return err
	}
	return os.WriteFile(file, raw, 0o600)
}
