// Package server is a relay server: clients connect by WebSocket, register a
// UUID, and send each other messages by UUID.
//
// A [Server] is an [http.Handler], so it goes wherever handlers go: alone in
// an http.Server, under a path of a larger mux, behind TLS. On the wire it is
// ProxyStore's relay server, error texts and close codes included; clients
// written for that one need not know which they talk to.
//
// Each connection has a goroutine, which the Server owns. It reads and routes: it
// puts a message, as the bytes that came in, into the queue of the connection
// that registered the receiver's UUID. Another one is there only while something is
// in the connection's own queue. It writes that, many messages per system call, and
// pings. The queue is bounded in bytes: a sender that is faster than its receiver is
// slowed down for a moment, and a receiver that does not read at all costs its
// senders nothing but bounces: their message comes back with its error set.
//
// Everybody may register what is free, unless [WithAuthenticator] says who is
// who: then a UUID is its user's, and users do not reach each other. Everything
// that a peer can use up has a bound, with a default; see the options.
//
// [Server.Stats] and [Server.Connections] tell what goes on.
// [Server.Shutdown] ends it all: queues are flushed, connections closed with
// 1001, and no goroutine is left.
package server
