package backup

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bankmore/bankmore/platform/sqldb"
)

// ErrNoProgram says that one of PostgreSQL's programs is not installed.
var ErrNoProgram = errors.New("no client programs of PostgreSQL here (Debian's package postgresql-client)")

// postgresSource holds an exported snapshot for pg_dump. So the moments of the three copies are milliseconds apart, however
// long each dump takes.
type postgresSource struct {
	db       *sqldb.DB
	tx       *sql.Tx
	url      string
	schema   string
	snapshot string
}

func beginPostgres(ctx context.Context, url string, c *Copy) (source, error) {
	if _, err := exec.LookPath("pg_dump"); err != nil {
		return nil, errors.Join(ErrNoProgram, err)
	}
	db, err := sqldb.OpenReadOnly(ctx, url)
	if err != nil {
		return nil, err
	}
	tx, err := db.Snapshot(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s := postgresSource{db: db, tx: tx, url: url}
	var schema sql.NullString
	var moment time.Time
	err = tx.QueryRowContext(ctx, "SELECT clock_timestamp(), current_schema(), pg_export_snapshot()").Scan(&moment, &schema, &s.snapshot)
	if err == nil && !schema.Valid {
		err = errors.New("there is no schema of its search path")
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.schema = schema.String
	c.Engine, c.File, c.Schema, c.Moment = PostgreSQL, c.Service+".dump", s.schema, moment.UTC()
	return s, nil
}

func (s postgresSource) copy(ctx context.Context, to *os.File) error {
	cmd, err := program(ctx, s.url, "pg_dump", "--format=custom", "--schema="+quoted(s.schema), "--snapshot="+s.snapshot, "--no-owner", "--no-privileges")
	if err != nil {
		return err
	}
	cmd.Stdout = to
	return run(cmd)
}

func (s postgresSource) close() error { return errors.Join(s.tx.Rollback(), s.db.Close()) }

// ByHand returns the commands for an operator to run, in this order, on a machine that has pg_dump.
func ByHand(dir string) string {
	var b strings.Builder
	for _, service := range Services {
		fmt.Fprintf(&b, "pg_dump --format=custom --no-owner --no-privileges --file=%s \"$%s_DATABASE_URL\"\n",
			filepath.Join(dir, service+".dump"), strings.ToUpper(service))
	}
	return b.String()
}

// vacantPostgres returns an error if the copy's schema holds a table already.
func vacantPostgres(ctx context.Context, c Copy, url string) (err error) {
	if _, err := exec.LookPath("pg_restore"); err != nil {
		return errors.Join(ErrNoProgram, err)
	}
	db, err := sqldb.OpenReadOnly(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var table sql.NullString
	if err := db.Read().QueryRowContext(ctx, "SELECT min(tablename) FROM pg_tables WHERE schemaname = $1", c.Schema).Scan(&table); err != nil {
		return err
	}
	if table.Valid {
		return fmt.Errorf("the database has a table %s.%s: restore into an empty one", c.Schema, table.String)
	}
	return nil
}

func restorePostgres(ctx context.Context, file string, c Copy, url string) (err error) {
	db, err := sqldb.Open(ctx, url)
	if err != nil {
		return err
	}
	if err := errors.Join(createSchema(ctx, db, c.Schema), db.Close()); err != nil {
		return err
	}
	cmd, err := program(ctx, url, "pg_restore", "--exit-on-error", "--single-transaction", "--schema="+c.Schema, "--no-owner", "--no-privileges",
		"--dbname=", file) // an empty name: libpq takes PGDATABASE
	if err != nil {
		return err
	}
	if err := run(cmd); err != nil {
		return err
	}
	looking, err := sqldb.OpenReadOnly(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, looking.Close()) }()
	// Without statistics the services' first query plans would read whole tables, and the services keep their plans.
	_, err = looking.Read().ExecContext(ctx, "ANALYZE")
	return err
}

// createSchema creates a schema unless it exists. (CREATE SCHEMA IF NOT EXISTS needs the right to create schemas even if the
// schema exists.)
func createSchema(ctx context.Context, db *sqldb.DB, name string) error {
	var there bool
	err := db.Read().QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)", name).Scan(&there)
	if err != nil || there {
		return err
	}
	_, err = db.Exec(ctx, "CREATE SCHEMA "+quoted(name))
	return err
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// passed maps URL parameters to the environment variables of libpq for them. libpq has no variables for the other parameters:
// pgx's own ones and settings of the server.
var passed = map[string]string{
	"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY",
	"connect_timeout": "PGCONNECT_TIMEOUT", "target_session_attrs": "PGTARGETSESSIONATTRS",
}

// systemRoots is the file in which Debian and Alpine keep the certificates of trusted CAs.
const systemRoots = "/etc/ssl/certs/ca-certificates.crt"

// program returns the command for one of PostgreSQL's programs. It connects to rawURL as the services do. It gets the parts of
// the URL in its environment, for two reasons: libpq would read the URL differently, and only its own user can see the password
// there.
func program(ctx context.Context, rawURL, name string, args ...string) (*exec.Cmd, error) {
	config, err := pgx.ParseConfig(rawURL) // its errors leave the password out
	if err != nil {
		return nil, err
	}
	given, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("not a URL") // the cause would repeat the password
	}
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // of PostgreSQL
	cmd.Env = append(os.Environ(), "PGHOST="+config.Host, "PGPORT="+strconv.Itoa(int(config.Port)), "PGDATABASE="+config.Database,
		"PGUSER="+config.User, "PGPASSWORD="+config.Password)
	query := given.Query()
	for parameter, variable := range passed {
		if query.Has(parameter) {
			cmd.Env = append(cmd.Env, variable+"="+query.Get(parameter))
		}
	}
	if verifies := strings.HasPrefix(query.Get("sslmode"), "verify-"); verifies && !query.Has("sslrootcert") {
		roots := os.Getenv("SSL_CERT_FILE") // as Go does it
		if roots == "" {
			roots = systemRoots
		}
		cmd.Env = append(cmd.Env, "PGSSLROOTCERT="+roots)
	}
	return cmd, nil
}

func run(cmd *exec.Cmd) error {
	var problems bytes.Buffer
	cmd.Stderr = &problems
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd.Args[0], err, &problems)
	}
	return nil
}
