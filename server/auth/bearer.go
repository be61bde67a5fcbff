package auth

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed73300619/relay/server"
)

// Refusals in the words of ProxyStore's relay.
var (
	errMissing = &server.RefusedError{
		Code:   server.CodeUnauthorized,
		Reason: "UnauthorizedError: Request headers are missing authorization header.",
	}
	errMalformed = &server.RefusedError{
		Code:   server.CodeUnauthorized,
		Reason: "UnauthorizedError: Bearer token in authorization header is malformed.",
	}
	errRevoked = &server.RefusedError{
		Code:   server.CodeForbidden,
		Reason: "ForbiddenError: Token is expired or has been revoked.",
	}
)

// bearer returns the token of a handshake. ProxyStore's rule is exactly "Bearer",
// one space, and a token without spaces, in that case of letters. Two headers are
// malformed: which one a proxy in front has checked, nobody knows.
func bearer(h http.Header) (string, error) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return "", errMissing
	}
	token, ok := strings.CutPrefix(values[0], "Bearer ")
	if !ok || len(values) > 1 || token == "" || strings.Contains(token, " ") {
		return "", errMalformed
	}
	return token, nil
}

// maxID is the length of a user's ID in bytes; OpenID Connect has the same.
const maxID = 255

// validID reports whether a user may have this ID. The replacement character is
// what undecodable ones are turned into, and would make one user of them.
func validID(id string) bool {
	return id != "" && len(id) <= maxID && utf8.ValidString(id) &&
		!strings.ContainsFunc(id, func(r rune) bool { return r == unicode.ReplacementChar || unicode.IsControl(r) })
}
