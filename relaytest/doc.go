// Package relaytest provides a relay for tests, in the way of net/http/httptest:
//
//	r := relaytest.New(t)
//	alice, bob := r.Client("alice"), r.Client("bob")
//
// [New] listens on a loopback port. [NewInMemory] needs no socket: everything
// it waits on is a channel or a timer, so that inside a [testing/synctest]
// bubble an hour of outage and backoff passes in milliseconds. Both run the real
// server and the real client, to the byte.
//
// What relays do to their clients on bad days is done on demand: [Relay.Stop]
// and [Relay.Start] are a crash and a restart, [Relay.Shutdown] a polite one,
// [Relay.Cut] breaks the connections, [Relay.Freeze] leaves them open and dead,
// [Relay.Refuse] lets nobody connect, [Relay.Respond] answers the handshake with
// an HTTP status, and [Relay.Reject] closes with a code instead of registering.
//
// Where the client under test is not in this process, or not in Go, [NewChaos] is
// a relay that does all of that and more, and the address that a client dials
// says what: ws://127.0.0.1:8765/close/1011?times=1. The command "relay chaos"
// runs it, and [ChaosIndex] lists what an address can say. In memory it goes
// behind a [Relay]:
//
//	r := relaytest.NewInMemory(t)
//	r.Handle(relaytest.NewChaos(t))
//	c, err := relay.New(r.URL+"/half-open?after=2s", relay.WithDialContext(r.DialContext))
package relaytest
