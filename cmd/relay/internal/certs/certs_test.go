package certs

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestT45_WhatIsOnTheDiskIsUsedOnceItIsGood(t *testing.T) {
	s := newSite(t)
	s.install(t, 1, year())
	good2, key2 := s.issue(t, 2, year())
	expired, expiredKey := s.issue(t, 3, time.Now().Add(-time.Hour))
	p := s.load(t)
	address := serve(t, p)
	live := connect(t, address, s.roots(), 1)

	changes := []struct {
		name   string
		change func()
		want   int64  // the serial number that clients see
		logs   string // once; empty: nothing
	}{
		{"nothing has changed", func() {}, 1, ""},
		{"the certificate is new, the key is not yet", func() { s.write(t, s.Certificate, good2) }, 1, "private key does not match"},
		{"the key is half written", func() { s.write(t, s.Key, key2[:len(key2)/2]) }, 1, "failed to find any PEM data in key input"},
		{"the key is there", func() { s.write(t, s.Key, key2) }, 2, "TLS files reloaded"},
		{"the files are touched", func() { s.write(t, s.Key, key2) }, 2, ""},
		{"the certificate is gone", func() { os.Remove(s.Certificate) }, 2, "cannot read " + s.Certificate + ": no such file or directory; see --tls-cert and --tls-key"},
		{"it is back", func() { s.write(t, s.Certificate, good2) }, 2, ""},
		{"an expired one takes its place", func() { s.write(t, s.Certificate, expired); s.write(t, s.Key, expiredKey) }, 2, "expired on"},
		{"a good one follows", func() { s.install(t, 4, year()) }, 4, "TLS files reloaded"},
		{"it is empty", func() { s.write(t, s.Certificate, nil) }, 4, "cannot be used together"},
	}
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			c.change()
			p.poll()
			p.poll() // it is logged once, however often one looks
			if _, serial, err := dial(t, address, s.roots()); err != nil || serial != c.want {
				t.Errorf("serial %d, %v, want %d", serial, err, c.want)
			}
			logged := s.log.take()
			if lines := strings.Count(logged, "\n"); (c.logs == "") != (lines == 0) || lines > 1 || !strings.Contains(logged, c.logs) {
				t.Errorf("%d lines logged, want … %s …:\n%s", lines, c.logs, logged)
			}
			if strings.Contains(logged, "PRIVATE KEY") {
				t.Error("a key is in the log")
			}
			stillThere(t, live)
		})
	}
	if done, refused := p.Reloads(); done != 2 || refused != 5 {
		t.Errorf("%d reloads, %d refused, want 2 and 5", done, refused)
	}
}

// As a relay does it, by itself: each change is in force, or refused, by the next
// poll, and who is connected notices nothing.
func TestT45_AChangeIsSeenWithinThePoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = 10 * time.Second
		s := newSite(t)
		s.install(t, 1, year())
		good, key := s.issue(t, 2, year())
		_, otherKey := s.issue(t, 3, year())
		expired, expiredKey := s.issue(t, 4, time.Now().Add(-time.Hour))
		p := s.load(t)
		live := pipes(t, p, s.roots(), 100, 1)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { p.Run(ctx, interval) })
		defer running.Wait()
		defer stop()
		for _, c := range []struct {
			name      string
			cert, key []byte
			want      int64
			logged    string
		}{
			{"half written", good[:len(good)/2], key, 1, "level=ERROR"},
			{"with another key", good, otherKey, 1, "level=ERROR"},
			{"expired", expired, expiredKey, 1, "level=ERROR"},
			{"empty", nil, nil, 1, "level=ERROR"},
			{"good", good, key, 2, "level=INFO"},
		} {
			s.write(t, s.Certificate, c.cert)
			s.write(t, s.Key, c.key)
			time.Sleep(interval)
			synctest.Wait()
			if logged := s.log.take(); strings.Count(logged, "\n") != 1 || !strings.Contains(logged, c.logged) {
				t.Errorf("%s: logged %q, want one line of %s", c.name, logged, c.logged)
			}
			pipes(t, p, s.roots(), 1, c.want)
			stillThere(t, live)
		}
		done, refused := p.Reloads()
		if done != 1 || refused != 4 {
			t.Errorf("%d reloads, %d refused, want 1 and 4", done, refused)
		}
		t.Logf("%d good pairs taken, %d bad ones refused, each within %v; %d connections stayed", done, refused, interval, len(live))
	})
}

func TestReloadSaysWhatIsWrong(t *testing.T) {
	s := newSite(t)
	s.install(t, 1, year())
	p := s.load(t)
	cert, _ := s.issue(t, 2, year())
	s.write(t, s.Certificate, cert)
	for range 2 { // whoever sends SIGHUP again is told again
		if err := p.Reload(); err == nil || !strings.Contains(err.Error(), "cannot be used together") {
			t.Errorf("%v", err)
		}
		if !strings.Contains(s.log.take(), "what was loaded before stays") {
			t.Error("not logged")
		}
	}
	end := year().Add(time.Hour).Truncate(time.Second)
	s.install(t, 3, end)
	if err := p.Reload(); err != nil || !p.NotAfter().Equal(end) {
		t.Errorf("%v, expires %v, want %v", err, p.NotAfter(), end)
	}
}

func TestRunSeesLinksSwapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		// As Kubernetes does: cert.pem -> data/cert.pem, data -> a folder of its own.
		for i := range 2 {
			name := filepath.Join(s.dir, fmt.Sprint(i))
			if err := os.Mkdir(name, 0o700); err != nil {
				t.Fatal(err)
			}
			cert, key := s.issue(t, int64(i), year())
			s.write(t, filepath.Join(name, "cert.pem"), cert)
			s.write(t, filepath.Join(name, "key.pem"), key)
		}
		link := func(to, name string) {
			next := filepath.Join(s.dir, "next")
			if err := os.Symlink(to, next); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(next, filepath.Join(s.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		link("0", "data")
		link("data/cert.pem", "cert.pem")
		link("data/key.pem", "key.pem")
		p := s.load(t)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { p.Run(ctx, 10*time.Second) })
		defer running.Wait()
		defer stop()
		time.Sleep(65 * time.Second) // between two looks
		if done, refused := p.Reloads(); done != 0 || refused != 0 {
			t.Errorf("%d reloads, %d refused before anything changed", done, refused)
		}
		link("1", "data")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if done, refused := p.Reloads(); done != 1 || refused != 0 {
			t.Errorf("%d reloads, %d refused, want 1 and 0", done, refused)
		}
	})
}

func TestTheEndIsWarnedAboutOnce(t *testing.T) {
	tests := []struct {
		name  string
		left  time.Duration
		wants []string // on loading, 10 days later, 10 days later
	}{
		{"a year", 365 * 24 * time.Hour, []string{"", "", ""}},
		{"two weeks and a day", soon + 24*time.Hour, []string{"", "expires soon", "has expired"}},
		{"a day", 24 * time.Hour, []string{"expires soon", "has expired", ""}},
		{"none: it is taken all the same, as there is no other", -time.Hour, []string{"has expired", "", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				s.install(t, 1, time.Now().Add(tt.left))
				p := s.load(t)
				for _, want := range tt.wants {
					p.poll()
					if logged := s.log.take(); (want == "") != (logged == "") || strings.Count(logged, "\n") > 1 || !strings.Contains(logged, want) {
						t.Errorf("logged %q, want one line with %q", logged, want)
					}
					time.Sleep(10 * 24 * time.Hour)
				}
				s.install(t, 2, year())
				p.poll()
				if logged := s.log.take(); !strings.Contains(logged, "TLS files reloaded") {
					t.Errorf("renewed: %q", logged)
				}
			})
		})
	}
}

func TestClientsOfAnAuthority(t *testing.T) {
	s := newSite(t)
	s.install(t, 1, year())
	old, next := newAuthority(t), newAuthority(t)
	s.ClientCA = filepath.Join(s.dir, "clients.pem")
	s.write(t, s.ClientCA, old.pem)
	p := s.load(t)
	address := serve(t, p)
	as := func(a *authority) *tls.Config {
		config := s.roots()
		if a != nil {
			pair, err := tls.X509KeyPair(a.issue(t, 7, year()))
			if err != nil {
				t.Fatal(err)
			}
			config.Certificates = []tls.Certificate{pair}
		}
		return config
	}
	member := as(old)
	member.ClientSessionCache = tls.NewLRUClientSessionCache(1) // it would come back by its ticket
	live, _, err := dial(t, address, member)
	if err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]*tls.Config{"nothing to show": as(nil), "another authority": as(next)} {
		if _, _, err := dial(t, address, config); err == nil {
			t.Errorf("a client with %s was let in", name)
		}
	}

	s.write(t, s.ClientCA, []byte("nonsense"))
	p.poll()
	if logged := s.log.take(); !strings.Contains(logged, "no certificate in "+s.ClientCA) {
		t.Errorf("logged %q", logged)
	}
	if _, _, err := dial(t, address, as(old)); err != nil {
		t.Errorf("the authority that was there before: %v", err)
	}

	s.write(t, s.ClientCA, next.pem)
	p.poll()
	if _, _, err := dial(t, address, as(next)); err != nil {
		t.Errorf("the new authority: %v", err)
	}
	if _, _, err := dial(t, address, member); err == nil {
		t.Error("a client of the authority that was taken out was let in")
	}
	if err := echo(live); err != nil {
		t.Errorf("the live connection: %v", err)
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	s := newSite(t)
	s.install(t, 1, year())
	_, otherKey := s.issue(t, 2, year())
	other, missing, nonsense := filepath.Join(s.dir, "other"), filepath.Join(s.dir, "missing"), filepath.Join(s.dir, "nonsense")
	s.write(t, other, otherKey)
	s.write(t, nonsense, []byte("x"))
	tests := []struct {
		name  string
		files Files
		want  string
	}{
		{"no certificate", Files{missing, s.Key, ""}, "cannot read " + missing + ": no such file or directory; see --tls-cert and --tls-key"},
		{"no key", Files{s.Certificate, missing, ""}, "cannot read " + missing},
		{"no key in the certificate's file", Files{s.Certificate, "", ""}, "cannot be used together"},
		{"another one's key", Files{s.Certificate, other, ""}, "private key does not match public key; both should be PEM"},
		{"no authorities", Files{s.Certificate, s.Key, missing}, "cannot read " + missing + ": no such file or directory; see --tls-client-ca"},
		{"authorities that are none", Files{s.Certificate, s.Key, nonsense}, "no certificate in " + nonsense},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Load(tt.files, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want … %s …", err, tt.want)
			}
		})
	}
	both := filepath.Join(s.dir, "both.pem")
	cert, key := s.issue(t, 3, year())
	s.write(t, both, append(cert, key...))
	if _, err := Load(Files{Certificate: both}, slog.New(slog.DiscardHandler)); err != nil {
		t.Errorf("both in one file: %v", err)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	s := newSite(t)
	s.install(t, 1, year())
	address := serve(t, s.load(t))
	for version, welcome := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		config := s.roots()
		config.MinVersion, config.MaxVersion = version, version
		if _, _, err := dial(t, address, config); (err == nil) != welcome {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}
