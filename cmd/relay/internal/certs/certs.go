// Package certs keeps a TLS server's certificate, its key and the authorities
// of its clients up to date: they are read again when their files change, as
// they do when certbot renews or Kubernetes swaps its links, and at SIGHUP.
//
// The files are taken together or not at all. While what is on the disk cannot
// be used (half written, the key of another certificate, expired in place of
// one that is not) the last that could be used stays, and the log says so, once
// for each change of the files. Connections that are open notice nothing.
package certs

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// soon is how long before its end a certificate is warned about: what renews
// it by itself has usually done so a fortnight earlier.
const soon = 14 * 24 * time.Hour

// A Pair is a certificate with its key, and with the clients' authorities. It
// is made by [Load], and its methods may be called by any goroutine.
type Pair struct {
	files   Files
	log     *slog.Logger
	current atomic.Pointer[loaded]
	reloads atomic.Uint64
	refused atomic.Uint64

	mu     sync.Mutex        // one load at a time
	seen   [sha256.Size]byte // what the files held when they were last tried
	warned string            // the last warning about the certificate's end
}

// Load reads the files. A certificate that has expired is taken, with a
// warning, as there is no better one. An error says which file is missing, or
// what is wrong with it.
func Load(files Files, log *slog.Logger) (*Pair, error) {
	if files.Key == "" {
		files.Key = files.Certificate
	}
	found := files.read()
	l, err := files.parse(found)
	if err != nil {
		return nil, err
	}
	p := &Pair{files: files, log: log, seen: found.sum()}
	p.current.Store(l)
	p.warn()
	return p, nil
}

// TLSConfig returns the configuration of a server that uses, for each new
// connection, the certificate and authorities that are then the latest. It
// speaks TLS 1.2 and later, and HTTP/1.1 only.
func (p *Pair) TLSConfig() *tls.Config {
	config := baseConfig()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return p.current.Load().config, nil
	}
	return config
}

// Run reloads the files when they have changed, which it looks for every
// interval, and warns when the certificate is about to expire, until ctx ends.
func (p *Pair) Run(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.poll()
		case <-ctx.Done():
			return
		}
	}
}

// Reload reads the files now, as at SIGHUP. With an error, which is logged
// too, everything stays as it was.
func (p *Pair) Reload() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.use(p.files.read())
}

// NotAfter returns when the certificate in use expires.
func (p *Pair) NotAfter() time.Time { return p.current.Load().leaf.NotAfter }

// Reloads returns how often, since Load, changed files were taken into use,
// and how often they could not be.
func (p *Pair) Reloads() (done, refused uint64) { return p.reloads.Load(), p.refused.Load() }

func (p *Pair) poll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Their content is compared, not their times: links are swapped, times are
	// coarse and restored, and a few kilobytes every few seconds cost nothing.
	if found := p.files.read(); found.sum() != p.seen {
		_ = p.use(found) // has been logged
	}
	p.warn()
}

// use takes files into use. It is called under mu.
func (p *Pair) use(found contents) error {
	p.seen = found.sum()
	old := p.current.Load()
	if p.seen == old.sum { // nothing new, or restored
		return nil
	}
	l, err := p.files.parse(found)
	if now := time.Now(); err == nil && l.expired(now) && !old.expired(now) {
		err = fmt.Errorf("the new certificate in %s expired on %s: renew it", p.files.Certificate, l.end())
	}
	if err != nil {
		p.refused.Add(1)
		p.log.Error("TLS files cannot be used, what was loaded before stays", "error", err, "expires", old.end())
		return err
	}
	p.current.Store(l)
	p.reloads.Add(1)
	p.log.Info("TLS files reloaded", "certificate", p.files.Certificate, "expires", l.end())
	p.warn()
	return nil
}

// warn tells, once for each certificate, that it expires soon, and once that
// it has. It is called under mu, or before anybody else has the Pair.
func (p *Pair) warn() {
	l, now := p.current.Load(), time.Now()
	var text string
	switch {
	case l.expired(now):
		text = "TLS certificate has expired: clients refuse to connect; renew it"
	case l.leaf.NotAfter.Sub(now) < soon:
		text = "TLS certificate expires soon: renew it"
	}
	if text != "" && text+l.end() != p.warned {
		p.log.Warn(text, "certificate", p.files.Certificate, "expires", l.end())
		p.warned = text + l.end()
	}
}
