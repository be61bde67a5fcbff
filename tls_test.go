package relay_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/server"
	"github.com/seed73300619/relay/transport"
)

// certificate makes one of an authority of its own, for a name and 127.0.0.1.
func certificate(t *testing.T, name string, ips []net.IP, until time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: ips,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// secureRelay serves a relay with TLS, or without if the config is nil, and
// counts the connections to it.
func secureRelay(t *testing.T, config *tls.Config) (url string, opened *atomic.Int64) {
	t.Helper()
	s, err := server.New()
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewUnstartedServer(s)
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	opened = new(atomic.Int64)
	h.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	if config == nil {
		h.Start()
	} else {
		h.TLS = config
		h.StartTLS()
	}
	t.Cleanup(h.Close)
	t.Cleanup(func() { _ = s.Shutdown(t.Context()) }) // its context has ended: at once
	return "wss://" + h.Listener.Addr().String(), opened
}

// is reports whether an error of type E is in a chain.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// A certificate or a TLS version does not mend itself: each failure is typed, is
// permanent after the one attempt, and the program is told why.
func TestT46_TLSFailuresArePermanentAndInsecureWarns(t *testing.T) {
	loopback := []net.IP{net.IPv4(127, 0, 0, 1)}
	good, ca := certificate(t, "relay.test", loopback, time.Now().Add(time.Hour))
	elsewhere, elsewhereCA := certificate(t, "elsewhere.test", nil, time.Now().Add(time.Hour))
	expired, expiredCA := certificate(t, "relay.test", loopback, time.Now().Add(-time.Hour))
	serve := func(c tls.Certificate, versions ...uint16) *tls.Config {
		config := &tls.Config{Certificates: []tls.Certificate{c}}
		if len(versions) > 0 {
			config.MinVersion, config.MaxVersion = versions[0], versions[0]
		}
		return config
	}
	trust := func(pool *x509.CertPool) []relay.Option {
		return []relay.Option{relay.WithTLSConfig(&tls.Config{RootCAs: pool})}
	}
	insecure := []relay.Option{relay.WithInsecureSkipVerify()}
	byHand := func(verify func(tls.ConnectionState) error) []relay.Option {
		return []relay.Option{relay.WithTLSConfig(&tls.Config{InsecureSkipVerify: true, VerifyConnection: verify})}
	}
	version := func(err error) bool { return strings.Contains(err.Error(), "version") }
	tests := []struct {
		name    string
		server  *tls.Config // nil: no TLS
		options []relay.Option
		is      func(error) bool // nil: it works
		warns   bool
	}{
		{"a certificate of an authority that is given", serve(good), trust(ca), nil, false},
		{"TLS 1.2", serve(good, tls.VersionTLS12), trust(ca), nil, false},
		{"an unknown authority, not verified", serve(good), insecure, nil, true},
		{"an expired certificate, not verified", serve(expired), insecure, nil, true},
		{"not verified in spite of a config, given before", serve(good), append(trust(elsewhereCA), insecure...), nil, true},
		{"not verified in spite of a config, given after", serve(good), append(insecure, trust(elsewhereCA)...), nil, true},
		{"not verified, by a config", serve(good), byHand(nil), nil, true},
		{"verified in the program's own way", serve(good), byHand(func(tls.ConnectionState) error { return nil }), nil, false},
		{"an unknown authority", serve(good), nil, is[x509.UnknownAuthorityError], false},
		{"another authority than that which is given", serve(good), trust(elsewhereCA), is[x509.UnknownAuthorityError], false},
		{"a certificate for another host", serve(elsewhere), trust(elsewhereCA), is[x509.HostnameError], false},
		{"an expired certificate", serve(expired), trust(expiredCA), func(err error) bool {
			invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
			return ok && invalid.Reason == x509.Expired
		}, false},
		{"TLS 1.0", serve(good, tls.VersionTLS10), trust(ca), version, false},
		{"TLS 1.1", serve(good, tls.VersionTLS11), trust(ca), version, false},
		{"TLS 1.1, not verified", serve(good, tls.VersionTLS11), insecure, version, true},
		{"a port without TLS", nil, trust(ca), is[tls.RecordHeaderError], false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			url, opened := secureRelay(t, test.server)
			said := newEar()
			c, err := relay.New(url, append(test.options, said.logger(), relay.WithBackoff(time.Millisecond, time.Millisecond))...)
			if err != nil {
				t.Fatal(err)
			}
			err = c.Connect(t.Context())
			state, done := c.State(), c.Err()
			_ = c.Close()
			if n := said.count("msg=\"the relay's certificate is not verified"); n != map[bool]int{true: 1}[test.warns] {
				t.Errorf("%d warnings", n)
			}
			if n := opened.Load(); n != 1 {
				t.Errorf("%d connections, want one", n)
			}
			if test.is == nil {
				if err != nil || state != relay.Connected {
					t.Error(state, err)
				}
				return
			}
			handshake, ok := errors.AsType[*transport.HandshakeError](err)
			if !ok || handshake.Step != transport.StepTLS || !test.is(err) || !test.is(done) {
				t.Errorf("%v: not the typed error", err)
			}
			if state != relay.Closed || !errors.Is(err, relay.ErrClosed) || !strings.Contains(err.Error(), "tls") {
				t.Errorf("state %v, error %v; want the end, and the step named", state, err)
			}
		})
	}
}

func TestWithInsecureSkipVerifyLeavesTheProgramsConfigAlone(t *testing.T) {
	config := new(tls.Config)
	if _, err := relay.New("wss://localhost", relay.WithTLSConfig(config), relay.WithInsecureSkipVerify()); err != nil {
		t.Fatal(err)
	}
	if config.InsecureSkipVerify {
		t.Error("the program's own config was changed")
	}
}

func TestAPlainAddressOnATLSPortEndsTheClient(t *testing.T) {
	good, _ := certificate(t, "relay.test", nil, time.Now().Add(time.Hour))
	url, _ := secureRelay(t, &tls.Config{Certificates: []tls.Certificate{good}})
	_, err := relay.Dial(t.Context(), "ws"+strings.TrimPrefix(url, "wss"))
	if handshake, ok := errors.AsType[*transport.HandshakeError](err); !ok || handshake.Status != 400 {
		t.Errorf("%v, want status 400", err)
	}
}
