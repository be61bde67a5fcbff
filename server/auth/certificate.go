package auth

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"time"

	"github.com/seed73300619/relay/server"
)

// Certificate knows clients by the certificates of mutual TLS. The listener's
// [crypto/tls.Config] decides whom to believe, by ClientCAs and a ClientAuth of
// RequireAndVerifyClientCert or VerifyClientCertIfGiven; a certificate that was
// not verified counts for nothing.
//
// The user's ID is the certificate's URI (a SPIFFE ID, for example) if its
// subject alternative names have exactly one URI, and this is an absolute one.
// Otherwise it is the subject's distinguished name as RFC 2253 writes it, every
// attribute in its order, such as "CN=alice,O=Example". The two cannot be
// mistaken for each other. The user's Name is the common name.
//
// A client without a verified certificate, or with one that has neither, is
// refused with 4001; one whose certificate has expired since the handshake with
// 4002. The zero value is ready, and may be used concurrently.
type Certificate struct{}

var (
	errNoCertificate = &server.RefusedError{
		Code:   server.CodeUnauthorized,
		Reason: "UnauthorizedError: A verified client certificate is required.",
	}
	errNameless = &server.RefusedError{
		Code:   server.CodeUnauthorized,
		Reason: "UnauthorizedError: The client certificate names nobody.",
	}
	errExpired = &server.RefusedError{
		Code:   server.CodeForbidden,
		Reason: "ForbiddenError: The client certificate has expired.",
	}
)

// Authenticate implements [server.Authenticator].
func (Certificate) Authenticate(_ context.Context, c *server.Credentials) (server.User, error) {
	if c.TLS == nil || len(c.TLS.VerifiedChains) == 0 || len(c.TLS.VerifiedChains[0]) == 0 {
		return server.User{}, errNoCertificate
	}
	leaf := c.TLS.VerifiedChains[0][0]
	if time.Now().After(leaf.NotAfter) {
		return server.User{}, errExpired
	}
	id := subject(leaf)
	if len(leaf.URIs) == 1 && leaf.URIs[0].IsAbs() {
		id = leaf.URIs[0].String()
	}
	if !validID(id) {
		return server.User{}, errNameless
	}
	return server.User{ID: id, Name: leaf.Subject.CommonName}, nil
}

// subject returns the distinguished name. Subject.String would do, but leaves
// out all common names except the last, and forgets the order.
func subject(leaf *x509.Certificate) string {
	var name pkix.RDNSequence
	if rest, err := asn1.Unmarshal(leaf.RawSubject, &name); err != nil || len(rest) > 0 {
		return ""
	}
	return name.String()
}
