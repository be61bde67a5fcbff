package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

// at moves the bubble's clock, which starts in the year 2000, forward.
func at(t *testing.T, moment time.Time) {
	t.Helper()
	if moment.Before(time.Now()) {
		t.Fatalf("the clock is at %v already", time.Now())
	}
	time.Sleep(time.Until(moment))
}

// files returns the names in a directory, each with what the file holds.
func files(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e.Name()+"="+string(content))
	}
	return strings.Join(all, " ")
}

// say writes a text that says when it was written.
func say(t *testing.T, f *File, text string) {
	t.Helper()
	if _, err := f.Write([]byte(text)); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func TestAWeekEndsAtMidnightBeforeSunday(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		berlin := zone(t, "Europe/Berlin")
		dir := filepath.Join(t.TempDir(), "logs", "relay") // is made
		at(t, time.Date(2026, 3, 25, 12, 0, 0, 0, berlin)) // a Wednesday
		f, err := open(dir, berlin)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		say(t, f, "wed")
		at(t, time.Date(2026, 3, 28, 23, 59, 59, 0, berlin))
		say(t, f, ",sat")
		at(t, time.Date(2026, 3, 29, 0, 0, 0, 0, berlin)) // of 23 hours: clocks are put forward
		say(t, f, "sun")
		at(t, time.Date(2026, 4, 4, 23, 59, 59, 0, berlin))
		say(t, f, ",sat")
		at(t, time.Date(2026, 4, 20, 9, 0, 0, 0, berlin)) // nothing for two weeks
		say(t, f, "mon")
		if got, want := files(t, dir), "server.log=mon server.log.2026-03-22=wed,sat server.log.2026-03-29=sun,sat"; got != want {
			t.Errorf("%s\nwant\n%s", got, want)
		}
	})
}

func TestAFileOfAPastWeekIsPutAsideAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		old := filepath.Join(dir, Name)
		if err := os.WriteFile(old, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		saturday := time.Date(2026, 11, 7, 18, 0, 0, 0, time.UTC)
		if err := os.Chtimes(old, saturday, saturday); err != nil {
			t.Fatal(err)
		}
		at(t, saturday.AddDate(0, 0, 12))
		f, err := open(dir, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		say(t, f, "new")
		if got, want := files(t, dir), "server.log=new server.log.2026-11-01=old"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

func TestAFileOfThisWeekIsAppendedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		at(t, time.Date(2026, 11, 18, 0, 0, 0, 0, time.UTC))
		for _, text := range []string{"a", "b"} {
			f, err := open(dir, time.UTC)
			if err != nil {
				t.Fatal(err)
			}
			say(t, f, text)
			if err := os.Chtimes(f.path, time.Now(), time.Now()); err != nil { // the disk's clock is not the bubble's
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if got := files(t, dir); got != "server.log=ab" {
			t.Errorf("%s", got)
		}
	})
}

func TestLogrotate(t *testing.T) {
	dir := t.TempDir()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	say(t, f, "before")
	if err := os.Rename(filepath.Join(dir, Name), filepath.Join(dir, "server.log.1")); err != nil {
		t.Fatal(err)
	}
	say(t, f, ",until SIGHUP")
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	say(t, f, "after")
	if got, want := files(t, dir), "server.log=after server.log.1=before,until SIGHUP"; got != want {
		t.Errorf("%s, want %s", got, want)
	}

	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	if _, err := f.Write([]byte("late")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
	if err := f.Reopen(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Reopen after Close: %v", err)
	}
}

func TestAWeekEndsWithAFileThatSomebodyElseHasRenamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		at(t, time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC))
		var both [2]*File // two relays with one directory
		for i := range both {
			f, err := open(dir, time.UTC)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			both[i] = f
			f.rotate = nextSunday(time.Now()) // the disk's clock is not the bubble's
			say(t, f, "old")
		}
		at(t, time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC))
		say(t, both[0], "new")
		say(t, both[1], "new")
		if got, want := files(t, dir), "server.log=newnew server.log.2026-11-15=oldold"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

func TestADiskThatFailsCostsLinesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		at(t, time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC))
		f, err := open(dir, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		say(t, f, "a")
		// What a directory in the way does, a full disk or a lost mount does too.
		blocked := filepath.Join(dir, Name+".2026-11-15")
		if err := os.MkdirAll(filepath.Join(blocked, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
		at(t, time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC))
		say(t, f, "b")
		if err := os.RemoveAll(blocked); err != nil {
			t.Fatal(err)
		}
		say(t, f, "c") // not tried again at each line
		time.Sleep(time.Minute)
		say(t, f, "d")
		if got, want := files(t, dir), "server.log=d server.log.2026-11-15=abc"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := f.Reopen(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Reopen without a directory: %v", err)
		}
		say(t, f, "into a file without a name")
	})
}

func TestADeviceStaysWhatItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Symlink(os.DevNull, filepath.Join(dir, Name)); err != nil {
			t.Skip("no links here:", err)
		}
		f, err := open(dir, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		at(t, f.rotate.AddDate(0, 0, 1))
		say(t, f, "x")
		if got := files(t, dir); got != Name+"=" {
			t.Errorf("%s, want the link alone", got)
		}
	})
}

func TestLinesDoNotMix(t *testing.T) {
	dir := t.TempDir()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	line := strings.Repeat("x", 8191) + "\n"
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for range 50 {
				say(t, f, line)
				_ = f.Reopen()
			}
		})
	}
	writers.Wait()
	content, err := os.ReadFile(filepath.Join(dir, Name))
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat(line, 8*50); string(content) != want {
		t.Errorf("%d bytes, want %d, in whole lines", len(content), len(want))
	}
}

func TestADirectoryThatCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); err == nil || !strings.Contains(err.Error(), "see --log-dir") || !strings.Contains(err.Error(), file) {
		t.Errorf("%v", err)
	}
}

func TestWeeksInTimeZonesWithoutAMidnight(t *testing.T) {
	// In Chile clocks are put forward at midnight: Sunday begins at 1 o'clock.
	santiago := zone(t, "America/Santiago")
	saturday := time.Date(2026, 9, 5, 23, 30, 0, 0, santiago)
	sunday := nextSunday(saturday)
	if got := fmt.Sprint(sunday); !strings.HasPrefix(got, "2026-09-06 01:00:00") {
		t.Errorf("after %v: %v", saturday, got)
	}
	if next := nextSunday(sunday); next.Day() != 13 || next.Hour() != 0 {
		t.Errorf("after %v: %v", sunday, next)
	}
}
