package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/seed73300619/relay/server"
	"github.com/seed73300619/relay/server/auth"
)

// An authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	a.certificate = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.certificate = a.sign(t, a.certificate).Leaf
	a.pool.AddCert(a.certificate)
	return a
}

func (a *authority) sign(t *testing.T, template *x509.Certificate) tls.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key, Leaf: leaf}
}

// client makes a client's certificate.
func (a *authority) client(t *testing.T, subject pkix.RDNSequence, uris ...string) tls.Certificate {
	t.Helper()
	raw, err := asn1.Marshal(subject)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), RawSubject: raw,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, uri := range uris {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = append(template.URIs, u)
	}
	return a.sign(t, template)
}

var (
	commonName   = asn1.ObjectIdentifier{2, 5, 4, 3}
	organization = asn1.ObjectIdentifier{2, 5, 4, 10}
)

// subject is a distinguished name of pairs, the most general first.
func subject(pairs ...any) (s pkix.RDNSequence) {
	for i := 0; i < len(pairs); i += 2 {
		s = append(s, pkix.RelativeDistinguishedNameSET{{Type: pairs[i].(asn1.ObjectIdentifier), Value: pairs[i+1]}})
	}
	return s
}

func verified(certificate tls.Certificate) *server.Credentials {
	return &server.Credentials{TLS: &tls.ConnectionState{
		PeerCertificates: []*x509.Certificate{certificate.Leaf},
		VerifiedChains:   [][]*x509.Certificate{{certificate.Leaf}},
	}}
}

func TestACertificateNamesItsUser(t *testing.T) {
	a := newAuthority(t)
	plain := subject(organization, "Example", commonName, "alice")
	for _, test := range []struct {
		name    string
		subject pkix.RDNSequence
		uris    []string
		want    server.User
	}{
		{"by its subject", plain, nil, server.User{ID: "CN=alice,O=Example", Name: "alice"}},
		{"in another order", subject(commonName, "alice", organization, "Example"), nil, server.User{ID: "O=Example,CN=alice", Name: "alice"}},
		{"with two common names", subject(commonName, "bob", commonName, "alice"), nil, server.User{ID: "CN=alice,CN=bob", Name: "alice"}},
		{"with a comma", subject(commonName, "alice,O=Example"), nil, server.User{ID: `CN=alice\,O=Example`, Name: "alice,O=Example"}},
		{"without a common name", subject(organization, "Example"), nil, server.User{ID: "O=Example"}},
		{"by its URI", plain, []string{"spiffe://example.org/alice"}, server.User{ID: "spiffe://example.org/alice", Name: "alice"}},
		{"by its URI alone", nil, []string{"spiffe://example.org/alice"}, server.User{ID: "spiffe://example.org/alice"}},
		{"by its subject, having two URIs", plain, []string{"spiffe://a/a", "spiffe://b/b"}, server.User{ID: "CN=alice,O=Example", Name: "alice"}},
		{"by its subject, its URI being relative", plain, []string{"CN=bob"}, server.User{ID: "CN=alice,O=Example", Name: "alice"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			user, err := auth.Certificate{}.Authenticate(t.Context(), verified(a.client(t, test.subject, test.uris...)))
			if err != nil || user != test.want {
				t.Errorf("%+v, %v, want %+v", user, err, test.want)
			}
		})
	}
}

func TestWhoHasNoVerifiedCertificateIsRefused(t *testing.T) {
	a := newAuthority(t)
	good := a.client(t, subject(commonName, "alice"))
	notVerified := verified(good)
	notVerified.TLS.VerifiedChains = nil
	emptyChain := verified(good)
	emptyChain.TLS.VerifiedChains = [][]*x509.Certificate{{}}
	expired := *good.Leaf
	expired.NotAfter = time.Now().Add(-time.Second)
	for _, test := range []struct {
		name        string
		credentials *server.Credentials
		code        int
		reason      string
	}{
		{"without TLS", bearing("Bearer token"), 4001, "UnauthorizedError: A verified client certificate is required."},
		{"without a certificate", &server.Credentials{TLS: new(tls.ConnectionState)}, 4001, "UnauthorizedError: A verified client certificate is required."},
		{"with one that was not verified", notVerified, 4001, "UnauthorizedError: A verified client certificate is required."},
		{"with an empty chain", emptyChain, 4001, "UnauthorizedError: A verified client certificate is required."},
		{"with one that names nobody", verified(a.client(t, nil)), 4001, "UnauthorizedError: The client certificate names nobody."},
		{"with one that has expired", verified(tls.Certificate{Leaf: &expired}), 4002, "ForbiddenError: The client certificate has expired."},
	} {
		t.Run(test.name, func(t *testing.T) {
			user, err := auth.Certificate{}.Authenticate(t.Context(), test.credentials)
			expectRefused(t, user, err, test.code, test.reason)
		})
	}
}

// secure serves h with mutual TLS as far as a client has a certificate.
func (a *authority) secure(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: a.pool}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}
