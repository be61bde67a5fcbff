// Package logfile is a log file that is put aside once a week, under the names
// that ProxyStore's relay gives: server.log is what is being written, and the
// week that began on Sunday the 15th ends up in server.log.2026-11-15.
//
// It also goes along with logrotate: at SIGHUP the file is opened anew.
package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Name is the name of the file that is being written.
const Name = "server.log"

// A File is made by [Open]. Its methods may be called by any goroutine.
type File struct {
	path string
	zone *time.Location

	mu     sync.Mutex // held over writes: they must not mix
	file   *os.File
	rotate time.Time // when the file is to be put aside
	retry  time.Time // not before: it has just failed
}

// Open opens dir/server.log for appending, and makes it and dir if they are
// missing. A file that a past week has left is put aside by the first Write.
func Open(dir string) (*File, error) { return open(dir, time.Local) }

func open(dir string, zone *time.Location) (*File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("cannot make the log's directory, see --log-dir: %w", err)
	}
	f := &File{path: filepath.Join(dir, Name), zone: zone}
	if err := f.reopen(); err != nil {
		return nil, fmt.Errorf("%w, see --log-dir", err)
	}
	return f, nil
}

// Write appends p, after putting the file aside if its week is over. Its error
// is for counting: nothing has to be done, the next Write tries again.
func (f *File) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return 0, fs.ErrClosed
	}
	if now := time.Now(); !now.Before(f.rotate) && !now.Before(f.retry) {
		if err := f.putAside(now); err != nil {
			f.retry = now.Add(time.Minute) // and go on with the file as it is
		}
	}
	return f.file.Write(p)
}

// Reopen opens the file anew, as after it was renamed by logrotate. With an
// error the one that was open stays in use.
func (f *File) Reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return fs.ErrClosed
	}
	return f.reopen()
}

// Close closes the file. What is written afterwards is lost, with
// [fs.ErrClosed].
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

func (f *File) reopen() error {
	began := time.Now()
	if info, err := os.Stat(f.path); err == nil {
		began = info.ModTime() // what is in it may be of a past week
	}
	file, err := os.OpenFile(f.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("cannot open the log: %w", err)
	}
	if f.file != nil {
		_ = f.file.Close() // nothing is buffered
	}
	f.file, f.rotate = file, nextSunday(began.In(f.zone))
	return nil
}

// putAside renames the file if that is still the one which is open, and opens
// a new one.
func (f *File) putAside(now time.Time) error {
	open, err := f.file.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(f.path)
	switch {
	case err == nil && !named.Mode().IsRegular(): // a device or a pipe stays what it is
		f.rotate = nextSunday(now.In(f.zone))
		return nil
	case err == nil && os.SameFile(open, named):
		week := f.rotate.In(f.zone).AddDate(0, 0, -7).Format(time.DateOnly)
		if err := os.Rename(f.path, f.path+"."+week); err != nil {
			return err
		}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return f.reopen()
}

// nextSunday returns the first start of a Sunday after t, in t's time zone.
func nextSunday(t time.Time) time.Time {
	day := t.Day() + 7 - int(t.Weekday())
	sunday := time.Date(t.Year(), t.Month(), day, 0, 0, 0, 0, t.Location())
	if sunday.Weekday() != time.Sunday { // clocks are put forward at that midnight: it is 1 o'clock at once
		sunday = time.Date(t.Year(), t.Month(), day, 1, 0, 0, 0, t.Location())
	}
	return sunday
}
