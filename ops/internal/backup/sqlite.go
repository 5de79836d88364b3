package backup

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bankmore/bankmore/platform/sqldb"
)

type sqliteSource struct{ db *sqldb.DB }

func beginSQLite(ctx context.Context, url string, c *Copy) (source, error) {
	db, err := sqldb.OpenReadOnly(ctx, url)
	if err != nil {
		return nil, err
	}
	c.Engine, c.File = SQLite, c.Service+".db"
	return sqliteSource{db}, nil
}

// copy copies the database as it is at one moment, including the content of the -wal file. It does not block writers
// (https://www.sqlite.org/lang_vacuum.html).
func (s sqliteSource) copy(ctx context.Context, to *os.File) error {
	_, err := s.db.Read().ExecContext(ctx, "VACUUM INTO $1", to.Name())
	return err
}

func (s sqliteSource) close() error { return s.db.Close() }

func checkSQLite(ctx context.Context, db *sqldb.DB) error {
	var found []string
	for _, query := range []string{
		"SELECT * FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
		`SELECT 'row ' || rowid || ' of ' || "table" || ' refers to nothing in ' || parent FROM pragma_foreign_key_check`,
	} {
		texts, err := texts(db.Read().QueryContext(ctx, query))
		if err != nil {
			return err
		}
		found = append(found, texts...)
	}
	if len(found) > 0 {
		return fmt.Errorf("damaged: %s", strings.Join(found, "; "))
	}
	return nil
}

func texts(rows *sql.Rows, err error) (all []string, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, rows.Err()
}

func vacantSQLite(url string) error {
	path := strings.TrimPrefix(url, "sqlite:")
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if _, err := os.Lstat(path + suffix); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fmt.Errorf("%s is there: move it away first", path+suffix), err)
		}
	}
	return nil
}

func restoreSQLite(file, url string) error {
	path := strings.TrimPrefix(url, "sqlite:")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	draft := path + unfinished
	if err := os.RemoveAll(draft); err != nil { // left by an attempt that was killed
		return err
	}
	err := write(draft, func(to *os.File) error {
		from, err := os.Open(file)
		if err != nil {
			return err
		}
		defer from.Close()
		_, err = io.Copy(to, from)
		return err
	})
	if err != nil {
		return errors.Join(err, os.RemoveAll(draft))
	}
	return errors.Join(os.Rename(draft, path), syncFolder(filepath.Dir(path)))
}
