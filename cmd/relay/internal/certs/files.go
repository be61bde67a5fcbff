package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Files are the names of a server's TLS files, all of them PEM.
type Files struct {
	Certificate string // the server's, and its chain
	Key         string // its private key; empty: in the file Certificate
	ClientCA    string // authorities; every client must show a certificate by one of them; empty: clients are not asked
}

// contents are what the files held at one moment.
type contents struct {
	certificate, key, clientCA []byte
	err                        error // a file cannot be read
}

// loaded is what can be used of them.
type loaded struct {
	config *tls.Config
	leaf   *x509.Certificate
	sum    [sha256.Size]byte // of the contents
}

func (l *loaded) expired(now time.Time) bool { return now.After(l.leaf.NotAfter) }
func (l *loaded) end() string                { return l.leaf.NotAfter.UTC().Format("2006-01-02 15:04 MST") }

// baseConfig is what does not depend on the files.
func baseConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"}, // WebSockets are spoken over nothing else here

		DynamicRecordSizingDisabled: true, // what is flushed at once is one large record
	}
}

func (f Files) read() contents {
	var c contents
	c.certificate, c.err = os.ReadFile(f.Certificate)
	if c.err == nil {
		c.key, c.err = os.ReadFile(f.Key)
	}
	if c.err == nil && f.ClientCA != "" {
		c.clientCA, c.err = os.ReadFile(f.ClientCA)
	}
	return c
}

// sum tells contents apart without keeping them: there is a key in them.
func (c contents) sum() [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d %v\n", len(c.certificate), len(c.key), c.err)
	h.Write(c.certificate)
	h.Write(c.key)
	h.Write(c.clientCA)
	return [sha256.Size]byte(h.Sum(nil))
}

// parse makes the configuration of a server, of all the files or of none.
func (f Files) parse(c contents) (*loaded, error) {
	if missing, ok := errors.AsType[*fs.PathError](c.err); ok {
		return nil, fmt.Errorf("cannot read %s: %w; see %s", missing.Path, missing.Err, f.flags(missing.Path))
	}
	if c.err != nil {
		return nil, c.err
	}
	certificate, err := tls.X509KeyPair(c.certificate, c.key)
	if err != nil {
		return nil, fmt.Errorf("the certificate in %s and the key in %s cannot be used together: %w; both should be PEM, and belong to each other",
			f.Certificate, f.Key, err)
	}
	config := baseConfig()
	config.Certificates = []tls.Certificate{certificate}
	if f.ClientCA != "" {
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(c.clientCA) {
			return nil, fmt.Errorf("no certificate in %s: it should hold those of the clients' authorities, as PEM (BEGIN CERTIFICATE); see --tls-client-ca", f.ClientCA)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return &loaded{config: config, leaf: certificate.Leaf, sum: c.sum()}, nil
}

func (f Files) flags(path string) string {
	if path == f.ClientCA {
		return "--tls-client-ca"
	}
	return "--tls-cert and --tls-key"
}
