package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bankmore/bankmore/ops/internal/backup"
	"github.com/bankmore/bankmore/ops/internal/books"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// makeBackup copies the databases of the three services. The services may run.
func makeBackup(ctx context.Context, out io.Writer, flags *flag.FlagSet, args []string) error {
	if err := service.Parse(flags, args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return fmt.Errorf("%w: backup wants the folder to be made", service.ErrUsage)
	}
	urls, err := urlsOf(backup.Services)
	if err != nil {
		return err
	}
	m, err := backup.Make(ctx, flags.Arg(0), urls)
	if errors.Is(err, backup.ErrNoProgram) {
		return fmt.Errorf("%w; where they are, run this again, or one after the other:\n%s", err, backup.ByHand(flags.Arg(0)))
	}
	if err != nil {
		return err
	}
	list(out, m.Copies)
	fmt.Fprintf(out, "%s is whole\n", flags.Arg(0))
	return nil
}

// restoreBackup puts a backup back into databases that are empty or do not exist.
func restoreBackup(ctx context.Context, out io.Writer, flags *flag.FlagSet, args []string) error {
	if err := service.Parse(flags, args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return fmt.Errorf("%w: restore wants the folder of a backup", service.ErrUsage)
	}
	var services []string
	for _, app := range flags.Args()[1:] {
		name, found := strings.CutSuffix(app, "-svc")
		if !found || !slices.Contains(backup.Services, name) {
			return fmt.Errorf("%w: restore which service? %q is none", service.ErrUsage, app)
		}
		services = append(services, name)
	}
	if len(services) == 0 {
		services = backup.Services
	}
	urls, err := urlsOf(services)
	if err != nil {
		return err
	}
	done, err := backup.Restore(ctx, flags.Arg(0), services, urls)
	list(out, done)
	return err
}

func list(out io.Writer, copies []backup.Copy) {
	for _, c := range copies {
		fmt.Fprintf(out, "%-12s as of %s, %d bytes\n", c.Service+"-svc", c.Moment.Format(time.RFC3339Nano), c.Bytes)
	}
}

// urlsOf returns the results of databaseURLs by service.
func urlsOf(services []string) (backup.URLs, error) {
	all, err := databaseURLs(services...)
	if err != nil {
		return nil, err
	}
	urls := backup.URLs{}
	for i, service := range services {
		urls[service] = all[i]
	}
	return urls, nil
}

// verifyBackup checks that a backup is whole, that its pages and foreign keys are not damaged, and that its books are right:
// each service's own and across the services. It adds the backup's age to the grace period, since what was in flight when
// the backup was made is still in flight there.
func verifyBackup(ctx context.Context, out io.Writer, dir, scratch string, options books.Options) (err error) {
	m, err := backup.Read(dir)
	if err != nil {
		return err
	}
	list(out, m.Copies)
	urls, remove, err := readable(ctx, dir, m, scratch)
	defer func() { err = errors.Join(err, remove()) }()
	if err != nil {
		return err
	}
	options.Grace += time.Since(m.Copies[0].Moment)
	var violated []error
	for _, c := range m.Copies {
		fmt.Fprintln(out, c.Service+"-svc")
		if err := backup.Check(ctx, c, urls[c.Service]); err != nil {
			return fmt.Errorf("%s-svc: %w", c.Service, err)
		}
		if err := serviceVerify(ctx, out, c.Service, urls[c.Service], options.Grace); err != nil {
			violated = append(violated, err)
		}
	}
	fmt.Fprintln(out, "across the services")
	return errors.Join(append(violated, checkBooks(ctx, out, urls["account"], urls["transfer"], urls["fee"], options))...)
}

// readable returns URLs at which the copies can be read. It restores PostgreSQL copies into new databases; remove drops them.
func readable(ctx context.Context, dir string, m backup.Manifest, scratch string) (urls backup.URLs, remove func() error, err error) {
	urls = backup.URLs{}
	var databases []string
	remove = func() (err error) {
		for _, name := range databases {
			err = errors.Join(err, administer(context.WithoutCancel(ctx), scratch, "DROP DATABASE "+name+" WITH (FORCE)"))
		}
		return err
	}
	for _, c := range m.Copies {
		if c.Engine == backup.SQLite {
			urls[c.Service] = backup.URL(dir, c)
			continue
		}
		server, err := url.Parse(scratch)
		if scratch == "" || err != nil {
			return urls, remove, fmt.Errorf("%w: a backup of PostgreSQL is checked by restoring it: -scratch postgres://…, of a user who may create databases", service.ErrUsage)
		}
		name := "bankmore_check_" + strings.ToLower(rand.Text())
		if err := administer(ctx, scratch, "CREATE DATABASE "+name); err != nil {
			return urls, remove, fmt.Errorf("-scratch: %w", err)
		}
		databases = append(databases, name)
		query := server.Query()
		query.Set("search_path", c.Schema)
		server.Path, server.RawQuery = "/"+name, query.Encode()
		urls[c.Service] = server.String()
		if _, err := backup.Restore(ctx, dir, []string{c.Service}, urls); err != nil {
			return urls, remove, err
		}
	}
	return urls, remove, nil
}

// serviceVerify runs a service's own verify. It looks for the service's program beside this one, then in the PATH.
func serviceVerify(ctx context.Context, out io.Writer, service, url string, grace time.Duration) error {
	program := service + "-svc"
	if self, err := os.Executable(); err == nil {
		if beside := filepath.Join(filepath.Dir(self), program); exists(beside) {
			program = beside
		}
	}
	cmd := exec.CommandContext(ctx, program, "verify") //nolint:gosec // one of three names
	cmd.Env = append(os.Environ(), "DATABASE_URL="+url, "VERIFY_MAX_UNFINISHED="+grace.String())
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s verify: %w", program, err)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// administer runs a statement that is not allowed in a transaction.
func administer(ctx context.Context, rawURL, statement string) (err error) {
	db, err := sqldb.Open(ctx, withoutTimeout(rawURL))
	if err != nil {
		return err
	}
	_, err = db.Read().ExecContext(ctx, statement)
	return errors.Join(err, db.Close())
}

// withoutTimeout returns the URL of a PostgreSQL server with statement_timeout off. Before PostgreSQL drops a database, it makes a
// checkpoint, which takes long on a busy server. If the statement timed out, the restored copy would stay there.
func withoutTimeout(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return rawURL // sqldb.Open reports it, without the password
	}
	query := u.Query()
	query.Set("statement_timeout", "0")
	u.RawQuery = query.Encode()
	return u.String()
}
