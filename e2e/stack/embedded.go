package stack

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/twmb/franz-go/pkg/kgo"
	_ "modernc.org/sqlite" // the driver that the services use

	"github.com/bankmore/bankmore/launcher/process"
	"github.com/bankmore/bankmore/launcher/runfile"
)

// embedded is the profile of `make run`: a file of SQLite for each service and for the state store, and a broker of our own.
type embedded struct {
	stack   *Stack
	broker  *Process
	address string // of the broker
}

func (*embedded) Name() string { return Embedded }

func (*embedded) Shared() bool { return false }

func (e *embedded) DatabaseURL(id string) string { return "sqlite:" + e.stack.Apps[id].Database }

func (e *embedded) Books() (driver, source string, statements []string) {
	for _, id := range Services {
		uri := "file:" + (&url.URL{Path: e.stack.Apps[id].Database}).EscapedPath() + "?mode=ro"
		statements = append(statements, fmt.Sprintf("ATTACH '%s' AS %s", uri, schema(id)))
	}
	return "sqlite", "file::memory:?_pragma=busy_timeout(5000)", statements
}

func (*embedded) Tables(schema string) string {
	return fmt.Sprintf("SELECT name FROM %s.sqlite_schema WHERE type = 'table'", schema)
}

func (e *embedded) Broker() Server { return e.broker }

func (e *embedded) KafkaOptions() []kgo.Opt { return []kgo.Opt{kgo.SeedBrokers(e.address)} }

func (*embedded) Servers() map[string]Server { return nil }

// Cut kills the service, since SQLite runs in it.
func (e *embedded) Cut(ctx context.Context, app *App, function string, committed bool, do func()) error {
	point := "commit.before"
	if committed {
		point = "commit.after"
	}
	armed, err := app.Service.Arm(point, Kill, function)
	if err != nil {
		return err
	}
	do()
	if err := armed.Killed(ctx); err != nil {
		return err
	}
	return app.Service.Start(ctx)
}

// suffixes are those of a database's files.
var suffixes = []string{"", "-wal", "-shm"}

func (e *embedded) stateFile() string { return filepath.Join(e.stack.Dir, dataDir, "state.db") }

// onFile runs a statement on a database that others may have open.
func onFile(ctx context.Context, path, statement string) error {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, statement)
	return err
}

func (e *embedded) ForgetState(ctx context.Context) error {
	return onFile(ctx, e.stateFile(), "DELETE FROM state")
}

func (e *embedded) LoseState(context.Context) error { return removeFiles(e.stateFile()) }

// removeFiles removes a database.
func removeFiles(path string) error {
	var errs []error
	for _, suffix := range suffixes {
		errs = append(errs, os.RemoveAll(path+suffix))
	}
	return errors.Join(errs...)
}

func (e *embedded) WithoutState(ctx context.Context, do func()) (err error) {
	if err := onFile(ctx, e.stateFile(), "ALTER TABLE state RENAME TO state_gone"); err != nil {
		return err
	}
	defer func() {
		err = onFile(context.WithoutCancel(ctx), e.stateFile(), "ALTER TABLE state_gone RENAME TO state")
	}()
	do()
	return nil
}

func (e *embedded) LoseDatabases(_ context.Context, ids ...string) error {
	var errs []error
	for _, id := range ids {
		errs = append(errs, removeFiles(e.stack.Apps[id].Database))
	}
	return errors.Join(errs...)
}

// Scratch is nothing, since verify reads the files of a backup as they are.
func (*embedded) Scratch() []string { return nil }

// room is how much the databases may grow on the small disk, in bytes.
const room = 32 << 20

func (e *embedded) smallDisk() string { return filepath.Join(e.stack.Dir, dataDir, "disk") }

// LimitWrites moves the databases to a small file system of their own, which takes root to mount.
func (e *embedded) LimitWrites(ctx context.Context) (undo func(context.Context) error, err error) {
	home, disk, size := filepath.Dir(e.stack.Apps[Services[0]].Database), e.smallDisk(), int64(room)
	for _, id := range Services {
		info, err := os.Stat(e.stack.Apps[id].Database)
		if err != nil {
			return nil, err
		}
		size += 2 * info.Size()
	}
	if err := os.MkdirAll(disk, 0o700); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d,mode=700", size), "tmpfs", disk).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("a small disk, which root can mount: %w: %s", err, out)
	}
	undo = func(ctx context.Context) error {
		err := e.moveDatabases(ctx, disk, home)
		if out, unmountErr := exec.CommandContext(ctx, "umount", disk).CombinedOutput(); unmountErr != nil {
			err = errors.Join(err, fmt.Errorf("umount: %w: %s", unmountErr, out))
		}
		return err
	}
	if err := e.moveDatabases(ctx, home, disk); err != nil {
		return nil, errors.Join(err, undo(context.WithoutCancel(ctx)))
	}
	return undo, nil
}

// moveDatabases stops each service, moves its database to another folder, and starts the service there.
func (e *embedded) moveDatabases(ctx context.Context, from, to string) error {
	for _, id := range Services {
		app := e.stack.Apps[id]
		if app.Service.Running() {
			if err := app.Service.Terminate(); err != nil {
				return err
			}
		}
		for _, suffix := range suffixes {
			if err := moveFile(filepath.Join(from, id+".db"+suffix), filepath.Join(to, id+".db"+suffix)); err != nil {
				return err
			}
		}
		app.Database = filepath.Join(to, id+".db")
		app.Service.SetEnv("DATABASE_URL", e.DatabaseURL(id))
		if err := app.Service.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// moveFile copies a file over another, which it removes if there is nothing to copy.
func moveFile(from, to string) error {
	raw, err := os.ReadFile(from)
	if errors.Is(err, fs.ErrNotExist) {
		return os.RemoveAll(to)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(to, raw, 0o600)
}

// WithoutWrites fills the small disk.
func (e *embedded) WithoutWrites(_ context.Context, do func()) (err error) {
	ballast := filepath.Join(e.smallDisk(), "ballast")
	file, err := os.Create(ballast)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(ballast)) }()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := file.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			return err
		}
	}
	do()
	return nil
}

func (e *embedded) RefuseRows(ctx context.Context, id, table, event, condition string, do func()) (err error) {
	path := e.stack.Apps[id].Database
	if err := onFile(ctx, path, fmt.Sprintf(`CREATE TRIGGER refused_on_purpose BEFORE %s ON %s WHEN %s
		BEGIN SELECT RAISE(ABORT, 'refused on purpose'); END`, event, table, condition)); err != nil {
		return err
	}
	defer func() { err = onFile(context.WithoutCancel(ctx), path, "DROP TRIGGER refused_on_purpose") }()
	do()
	return nil
}

func (*embedded) LockRow(context.Context, string, string, func()) error {
	return errors.New("SQLite has no locks of rows")
}

// OwnFault is one more fault of the broker, since this profile has no servers and no lines.
func (*embedded) OwnFault(*rand.Rand, string) (target, kind string) { return "broker", "kill" }

func (e *embedded) prepare(_ context.Context, s *Stack) error {
	e.stack, e.address = s, loopback(s.ports.take())
	e.broker = s.process("broker", []string{s.programs.broker, "-address", e.address, "-data", filepath.Join(dataDir, "broker")}, nil, toolGrace,
		process.Listens(e.address))
	return nil
}

func (*embedded) remove(context.Context) error { return nil }

func (e *embedded) processes() []*Process { return []*Process{e.broker} }

func (*embedded) adapt(app runfile.App) runfile.App { return app }

func (e *embedded) serviceEnvironment(app *App) map[string]string {
	app.Database = filepath.Join(e.stack.Dir, dataDir, app.ID+".db")
	return map[string]string{"BANKMORE_ENV": "local", "DATABASE_URL": "sqlite:" + app.Database}
}

func (e *embedded) sidecarEnvironment() map[string]string {
	return map[string]string{"KAFKA_BOOTSTRAP_SERVERS": e.address}
}
