// Package backup copies the databases of the three services while they run, checks such a copy, and puts it back.
//
// It copies in the order fee-svc, transfer-svc, account-svc. fee-svc records a fee after the transfer is completed, and
// transfer-svc writes a state after the movements are in the ledger. So the cause of everything in an earlier copy is in the
// later ones.
package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/bankmore/bankmore/platform/sqldb"
)

// Services are the services in the order in which their databases are copied.
var Services = []string{"fee", "transfer", "account"}

// URLs are the URLs of the services' databases, in the form of DATABASE_URL. A key is a service's name without "-svc".
type URLs map[string]string

// Manifest says what a backup holds. Make writes it last: a folder without it is no whole backup.
type Manifest struct {
	Copies []Copy `json:"copies"` // in the order in which they were taken
}

// Copy is the copy of one database.
type Copy struct {
	Service string    `json:"service"`
	Engine  string    `json:"engine"`          // SQLite or PostgreSQL
	Schema  string    `json:"schema,omitzero"` // PostgreSQL only
	File    string    `json:"file"`            // in the backup's folder
	Moment  time.Time `json:"moment"`          // everything committed before is in the copy
	Bytes   int64     `json:"bytes"`
	SHA256  string    `json:"sha256"` // of the file, in hexadecimal
}

// The engines.
const (
	SQLite     = "sqlite"
	PostgreSQL = "postgresql"
)

const (
	manifestFile = "backup.json"
	unfinished   = ".unfinished" // suffix of the folder's name until the backup is whole
)

// ErrIncomplete says that a folder holds no whole backup, or that a file of it has changed since.
var ErrIncomplete = errors.New("no whole backup")

// Make copies the databases into the folder dir, which must not exist, and returns what it has copied. Make writes to
// dir.unfinished and renames that to dir once everything is on the disk. After an error it removes dir.unfinished.
func Make(ctx context.Context, dir string, urls URLs) (m Manifest, err error) {
	dir = filepath.Clean(dir)
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return m, errors.Join(fmt.Errorf("%s is there already, and a backup is never overwritten", dir), err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return m, err
	}
	draft := dir + unfinished
	if err := os.Mkdir(draft, 0o700); errors.Is(err, fs.ErrExist) {
		return m, fmt.Errorf("%s is there already: another backup to %s is under way, or was ended before it was whole; then remove it", draft, dir)
	} else if err != nil {
		return m, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(draft))
		}
	}()
	if m.Copies, err = copyAll(ctx, draft, urls); err != nil {
		return m, err
	}
	text, err := json.Marshal(m, jsontext.WithIndent("  "))
	if err != nil {
		return m, fmt.Errorf("encoding the manifest: %w", err)
	}
	if err := write(filepath.Join(draft, manifestFile), func(f *os.File) error {
		_, err := f.Write(append(text, '\n'))
		return err
	}); err != nil {
		return m, err
	}
	return m, errors.Join(syncFolder(draft), os.Rename(draft, dir), syncFolder(filepath.Dir(dir)))
}

// source is a database that is about to be copied.
type source interface {
	// copy writes the copy to a file that exists and is empty.
	copy(ctx context.Context, to *os.File) error
	close() error
}

// copyAll first begins a snapshot of each PostgreSQL database, in the order of Services. Then it copies, which may take long.
// SQLite's snapshot is made when its database is copied.
func copyAll(ctx context.Context, dir string, urls URLs) (copies []Copy, err error) {
	sources := make([]source, len(Services))
	for i, service := range Services {
		c := Copy{Service: service}
		if sources[i], err = begin(ctx, urls[service], &c); err != nil {
			return nil, fmt.Errorf("%s-svc: %w", service, err)
		}
		defer func() { err = errors.Join(err, sources[i].close()) }()
		copies = append(copies, c)
	}
	for i, service := range Services {
		c := &copies[i]
		if c.Moment.IsZero() {
			c.Moment = time.Now().UTC()
		}
		path := filepath.Join(dir, c.File)
		if err := write(path, func(f *os.File) error { return sources[i].copy(ctx, f) }); err != nil {
			return nil, fmt.Errorf("%s-svc: %w", service, err)
		}
		if c.Bytes, c.SHA256, err = digest(path); err != nil {
			return nil, err
		}
	}
	return copies, nil
}

func begin(ctx context.Context, url string, c *Copy) (source, error) {
	if strings.HasPrefix(url, "sqlite:") {
		return beginSQLite(ctx, url, c)
	}
	return beginPostgres(ctx, url, c)
}

// Read returns the manifest of the backup in dir. It returns ErrIncomplete unless every file is as it was written.
func Read(dir string) (m Manifest, err error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return m, fmt.Errorf("%s: %w: it has no %s", dir, ErrIncomplete, manifestFile)
	}
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%s: %w: %s: %w", dir, ErrIncomplete, manifestFile, err)
	}
	var have []string
	for _, c := range m.Copies {
		have = append(have, c.Service)
		if filepath.Base(c.File) != c.File {
			return m, fmt.Errorf("%s: %w: file %q", dir, ErrIncomplete, c.File)
		}
		size, sum, err := digest(filepath.Join(dir, c.File))
		if err != nil {
			return m, fmt.Errorf("%s: %w: %w", dir, ErrIncomplete, err)
		}
		if size != c.Bytes || sum != c.SHA256 {
			return m, fmt.Errorf("%s: %w: %s is not as it was written: %d bytes instead of %d, or other ones", dir, ErrIncomplete, c.File, size, c.Bytes)
		}
	}
	if !slices.Equal(have, Services) {
		return m, fmt.Errorf("%s: %w: it has copies of %q, want %q", dir, ErrIncomplete, have, Services)
	}
	return m, nil
}

// Restore puts the copies of these services back into their databases, which must be empty or not exist. It returns the copies
// that it has put back, also beside an error.
func Restore(ctx context.Context, dir string, services []string, urls URLs) (done []Copy, err error) {
	m, err := Read(dir)
	if err != nil {
		return nil, err
	}
	var chosen []Copy
	for _, c := range m.Copies {
		if !slices.Contains(services, c.Service) {
			continue
		}
		if err := vacant(ctx, c, urls[c.Service]); err != nil { // check all before putting the first one back
			return nil, fmt.Errorf("%s-svc: %w", c.Service, err)
		}
		chosen = append(chosen, c)
	}
	for _, c := range chosen {
		if err := restore(ctx, filepath.Join(dir, c.File), c, urls[c.Service]); err != nil {
			return done, fmt.Errorf("%s-svc: %w", c.Service, err)
		}
		done = append(done, c)
	}
	return done, nil
}

// vacant returns an error unless the database at url is empty or missing, and of the copy's engine.
func vacant(ctx context.Context, c Copy, url string) error {
	switch sqlite := strings.HasPrefix(url, "sqlite:"); {
	case sqlite != (c.Engine == SQLite):
		return fmt.Errorf("the copy is one of %s, and the database is not", c.Engine)
	case sqlite:
		return vacantSQLite(url)
	default:
		return vacantPostgres(ctx, c, url)
	}
}

func restore(ctx context.Context, file string, c Copy, url string) error {
	if c.Engine == SQLite {
		return restoreSQLite(file, url)
	}
	return restorePostgres(ctx, file, c, url)
}

// Check reads a database that was restored from a copy, or an SQLite copy itself. It returns an error if pages or foreign keys
// are damaged.
func Check(ctx context.Context, c Copy, url string) (err error) {
	if c.Engine != SQLite {
		return nil // PostgreSQL has checked both while it restored the copy
	}
	db, err := sqldb.OpenReadOnly(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return checkSQLite(ctx, db)
}

// URL returns the URL at which an SQLite copy can be read.
func URL(dir string, c Copy) string { return "sqlite:" + filepath.Join(dir, c.File) }

// write creates a file that only its owner may read. It returns once the content is on the disk.
func write(path string, content func(f *os.File) error) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := content(f); err != nil {
		return err
	}
	return f.Sync()
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func digest(path string) (size int64, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return 0, "", err
	}
	return size, hex.EncodeToString(h.Sum(nil)), nil
}
