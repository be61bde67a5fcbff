package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// An authority signs certificates.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	a := &authority{key: newKey(t)}
	der := create(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, a.key, a.key)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

// issue makes a certificate for 127.0.0.1, and its key, as PEM.
func (a *authority) issue(t *testing.T, serial int64, end time.Time) (cert, key []byte) {
	own := newKey(t)
	der := create(t, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"},
		NotBefore: end.AddDate(-1, 0, 0), NotAfter: end,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, own, a.key)
	keyDER, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func create(t *testing.T, c, parent *x509.Certificate, subject, signer *ecdsa.PrivateKey) []byte {
	t.Helper()
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, subject.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// A site is a folder with a server's files.
type site struct {
	*authority
	Files
	dir string
	log *log
}

func newSite(t *testing.T) *site {
	dir := t.TempDir()
	s := &site{authority: newAuthority(t), dir: dir, log: new(log)}
	s.Files = Files{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	return s
}

func (s *site) write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// install writes a new certificate with its key.
func (s *site) install(t *testing.T, serial int64, end time.Time) {
	t.Helper()
	cert, key := s.issue(t, serial, end)
	s.write(t, s.Certificate, cert)
	s.write(t, s.Key, key)
}

func (s *site) load(t *testing.T) *Pair {
	t.Helper()
	p, err := Load(s.Files, slog.New(slog.NewTextHandler(s.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// log is what has been logged.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// take returns what has been logged since the last time.
func (l *log) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text.String()
	l.text.Reset()
	return text
}

// serve echoes on TLS connections, and returns its address.
func serve(t *testing.T, p *Pair) string {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := tls.NewListener(inner, p.TLSConfig())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return l.Addr().String()
}

// dial connects, sees that bytes come back, and returns the certificate's
// serial number.
func dial(t *testing.T, address string, config *tls.Config) (*tls.Conn, int64, error) {
	t.Helper()
	c, err := tls.Dial("tcp", address, config)
	if err != nil {
		return nil, 0, err
	}
	t.Cleanup(func() { c.Close() })
	return c, c.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), echo(c)
}

// connect makes a hundred connections that see the serial number.
func connect(t *testing.T, address string, config *tls.Config, want int64) (live []*tls.Conn) {
	t.Helper()
	for range 100 {
		c, serial, err := dial(t, address, config)
		if err != nil || serial != want {
			t.Fatalf("serial %d, %v, want %d", serial, err, want)
		}
		live = append(live, c)
	}
	return live
}

// pipes makes n connections in memory that see the serial number.
func pipes(t *testing.T, p *Pair, config *tls.Config, n int, want int64) (live []*tls.Conn) {
	t.Helper()
	config = config.Clone()
	config.ServerName = "127.0.0.1"
	for range n {
		here, there := net.Pipe()
		server, client := tls.Server(there, p.TLSConfig()), tls.Client(here, config)
		var echoing sync.WaitGroup
		echoing.Go(func() { _, _ = io.Copy(server, server) })
		t.Cleanup(func() { here.Close(); echoing.Wait() })
		if err := echo(client); err != nil {
			t.Fatal(err)
		}
		if serial := client.ConnectionState().PeerCertificates[0].SerialNumber.Int64(); serial != want {
			t.Errorf("serial %d, want %d", serial, want)
		}
		live = append(live, client)
	}
	return live
}

func stillThere(t *testing.T, live []*tls.Conn) {
	t.Helper()
	for i, c := range live {
		if err := echo(c); err != nil {
			t.Errorf("live connection %d of %d: %v", i, len(live), err)
		}
	}
}

func echo(c net.Conn) error {
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

func (a *authority) roots() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool}
}

func year() time.Time { return time.Now().AddDate(1, 0, 0) }
