package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// binary is the command, built once for the tests that need a process.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "relay")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "relay")
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// patience is how long a test waits for what should come at once.
const patience = 30 * time.Second

// output is what a command has written so far.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed, and replaced, at every write
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await returns what stands behind a mark on its line.
func (o *output) await(t *testing.T, mark string) string {
	t.Helper()
	return o.awaitBehind(t, 0, mark)
}

// awaitBehind is await for what is written behind the first n bytes.
func (o *output) awaitBehind(t *testing.T, n int, mark string) string {
	t.Helper()
	late := time.After(patience)
	for {
		o.mu.Lock()
		text, changed := o.text.String(), o.changed
		o.mu.Unlock()
		if _, after, ok := strings.Cut(text[n:], mark); ok {
			if line, _, whole := strings.Cut(after, "\n"); whole {
				return strings.TrimSpace(line)
			}
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("no %q in the output:\n%s", mark, text)
		}
	}
}

// command is a command line that runs in this process.
type command struct {
	stdout, stderr *output
	interrupt      context.CancelFunc // what a signal does
	exit           chan int           // its exit code, once
}

func start(t *testing.T, stdin io.Reader, args ...string) *command {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &command{stdout: newOutput(), stderr: newOutput(), interrupt: cancel, exit: make(chan int, 1)}
	go func() { c.exit <- run(ctx, args, stdin, c.stdout, c.stderr) }()
	t.Cleanup(cancel)
	return c
}

// wait returns the exit code.
func (c *command) wait(t *testing.T) int {
	t.Helper()
	select {
	case code := <-c.exit:
		return code
	case <-time.After(patience):
		t.Fatalf("still running, with stdout\n%s\nand stderr\n%s", c.stdout, c.stderr)
		return -1
	}
}

// execute runs a command line to its end.
func execute(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	c := start(t, strings.NewReader(stdin), args...)
	code = c.wait(t)
	return code, c.stdout.String(), c.stderr.String()
}

// file writes a file for one test and returns its path.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificate makes a self-signed certificate for a host, as PEM files, too.
func certificate(t *testing.T, host string, end time.Time) (pair tls.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: end.Add(-48 * time.Hour), NotAfter: end, IsCA: true, BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile = file(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	keyFile = file(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, certFile, keyFile
}
