// Package disk keeps private files.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Folder returns the folder of the program's state: bankmore in XDG_STATE_HOME, or else in ~/.local/state. As the XDG Base
// Directory Specification wants it, a relative XDG_STATE_HOME does not count.
func Folder(getenv func(string) string) (string, error) {
	if base := getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "bankmore"), nil
	}
	home := getenv("HOME")
	if home == "" && runtime.GOOS == "windows" {
		home = getenv("USERPROFILE")
	}
	if !filepath.IsAbs(home) {
		return "", errors.New("neither HOME nor XDG_STATE_HOME is an absolute path")
	}
	return filepath.Join(home, ".local", "state", "bankmore"), nil
}

// Write makes or replaces a file that only its owner can read, and the folder for it.
func Write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return Replace(path, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// Replace makes or replaces a file that only its owner can read with what write writes. If write fails, nothing changes. When
// Replace returns nil, the whole file is on the disk: a crash of the machine leaves the old file or the new one.
func Replace(path string, write func(io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	file, err := os.CreateTemp(dir, ".new-*") // with mode 0600
	if err != nil {
		if cause := new(fs.PathError); errors.As(err, &cause) { // about a file that the caller does not know
			err = &fs.PathError{Op: "create", Path: path, Err: cause.Err}
		}
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	err = write(file)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err = os.Rename(file.Name(), path); err != nil {
		return err
	}
	return syncFolder(dir)
}

// Remove removes a file. It is no error if there is no such file. The file may come back if the machine crashes right after.
func Remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func syncFolder(dir string) error {
	if runtime.GOOS == "windows" { // cannot sync folders
		return nil
	}
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}
