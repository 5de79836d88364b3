package stack

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"gopkg.in/yaml.v3"

	"github.com/bankmore/bankmore/launcher/runfile"
)

// Server is what a stack depends on and a test may take away.
type Server interface {
	Start(ctx context.Context) error // until it is ready
	Kill() error
}

// Backends are the servers of production, as the environment names them; .ci/backends starts some. They serve one stack
// at a time, since topics have fixed names.
type Backends struct {
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

// RealBackends finds the servers. BACKENDS_BOOKS names the database with a schema per service, for a system that runs
// already (At); a stack makes one of its own.
func RealBackends() (*Backends, error) {
	b := &Backends{env: map[string]string{}, database: os.Getenv("BACKENDS_BOOKS")}
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
func (b *Backends) prepare(ctx context.Context, name string) error {
	b.database = strings.ToLower(strings.ReplaceAll(name, "-", "_"))
	if err := b.administer(ctx, "CREATE DATABASE "+b.database); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, b.DatabaseURL(""))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, id := range Services {
		if _, err := conn.Exec(ctx, "CREATE SCHEMA "+schema(id)); err != nil {
			return err
		}
	}
	if err := b.FlushRedis(ctx); err != nil {
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

func (b *Backends) remove(ctx context.Context) error {
	return b.administer(ctx, "DROP DATABASE IF EXISTS "+b.database+" WITH (FORCE)")
}

func (b *Backends) administer(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, b.env["BACKENDS_POSTGRES_URL"])
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// schema is where a service's tables are. (In production each service has a database and a role of its own, as in
// compose/postgres; here they share one of each, so that one query can compare what they hold. That none needs
// another's tables is seen on SQLite, where each has its own file.)
func schema(id string) string { return strings.TrimSuffix(id, "-svc") }

// DatabaseURL is the stack's database, as the service with that id sees it, or as a whole if id is "".
func (b *Backends) DatabaseURL(id string) string {
	u, err := url.Parse(b.env["BACKENDS_POSTGRES_URL"])
	if err != nil {
		return "" // which nothing accepts
	}
	u.Path = "/" + b.database
	if id != "" {
		query := u.Query()
		query.Set("search_path", schema(id))
		u.RawQuery = query.Encode()
	}
	return u.String()
}

// FlushRedis makes Redis forget everything.
func (b *Backends) FlushRedis(ctx context.Context) error {
	options, err := redis.ParseURL(b.env["REDIS_URL"])
	if err != nil {
		return err
	}
	client := redis.NewClient(options)
	return errors.Join(client.FlushDB(ctx).Err(), client.Close())
}

// KafkaOptions connect a client to the broker, as its administrator.
func (b *Backends) KafkaOptions() []kgo.Opt {
	return b.kafkaOptions("BACKENDS_KAFKA_USERNAME", "BACKENDS_KAFKA_PASSWORD")
}

// ServicesKafkaOptions connect a client to the broker as the services' user.
func (b *Backends) ServicesKafkaOptions() []kgo.Opt {
	return b.kafkaOptions("KAFKA_USERNAME", "KAFKA_PASSWORD")
}

func (b *Backends) kafkaOptions(user, password string) []kgo.Opt {
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
func (b *Backends) emptyTopics(ctx context.Context) error {
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
	ends, err := admin.ListEndOffsets(ctx, "transfers-completed", "fee-charges", "transfers-completed-dead-letter")
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
func (b *Backends) Server(name string) Backend { return Backend{b.env["BACKENDS_CONTROL"], name} }

// RefuseWrites has PostgreSQL answer every write with an error, until AcceptWrites.
func (b *Backends) RefuseWrites(ctx context.Context) error {
	return b.Server("postgres").run(ctx, "refuse")
}

// AcceptWrites undoes RefuseWrites.
func (b *Backends) AcceptWrites(ctx context.Context) error {
	return b.Server("postgres").run(ctx, "accept")
}

// Backend is a server that a command starts and stops.
type Backend struct{ command, server string }

// Start implements Server.
func (c Backend) Start(ctx context.Context) error { return c.run(ctx, "start") }

// Kill implements Server.
func (c Backend) Kill() error { return c.run(context.Background(), "stop") }

// Pause keeps Redis from answering; Resume lets it go on. Other servers refuse.
func (c Backend) Pause() error { return c.run(context.Background(), "pause") }

// Resume lets a paused server go on.
func (c Backend) Resume() error { return c.run(context.Background(), "resume") }

func (c Backend) run(ctx context.Context, action string) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, c.command, action, c.server).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", action, c.server, err, out)
	}
	return nil
}

// serviceEnvironment is what production gives to a service.
func (b *Backends) serviceEnvironment(id string) map[string]string {
	return map[string]string{
		"BANKMORE_ENV":  "production",
		"DATABASE_URL":  b.DatabaseURL(id),
		"REDIS_URL":     b.env["REDIS_URL"],
		"SSL_CERT_FILE": b.env["SSL_CERT_FILE"],
	}
}

func (b *Backends) sidecarEnvironment() map[string]string {
	env := maps.Clone(b.env)
	maps.DeleteFunc(env, func(name, _ string) bool { return !slices.Contains(forSidecars, name) })
	return env
}

// production turns what the run file says of an app into what production says.
func production(app runfile.App) runfile.App {
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
