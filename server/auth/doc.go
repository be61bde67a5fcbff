// Package auth says who the clients of a relay server are. It has three
// implementations of [server.Authenticator], for [server.WithAuthenticator]:
//
//   - [Tokens] knows them by bearer tokens from a file;
//   - [Introspection] asks an OAuth2 server about their bearer tokens, as
//     ProxyStore's relay asks Globus Auth;
//   - [Certificate] reads the client certificates of mutual TLS.
//
// All fail closed. Who gives no or malformed credentials is refused with 4001,
// who gives bad ones with 4002, in ProxyStore's words where it has some. When
// nobody can tell, the error is no [*server.RefusedError]: the server closes
// with 1011, and the client tries again.
//
// No token, client secret or answer of an OAuth2 server is part of an error,
// and nothing is logged here.
package auth
