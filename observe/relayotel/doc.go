/*
Package relayotel lets OpenTelemetry see relay clients.

	var clients observe.Clients
	registration, err := relayotel.Register(&clients, relayotel.Providers{}) // metrics
	…
	defer registration.Unregister()

	c, err := relay.Dial(ctx, address)
	…
	err = clients.Add("orders", c)
	…
	watched, err := relayotel.Wrap(c, relayotel.Providers{}) // spans and durations
	…
	err = watched.Send(ctx, m)

Metrics and spans are independent of each other: use either, or both, with the
providers given or the global ones.

# Metrics

Register makes the figures of all clients observable. They have the attributes
relay.client.name, the name given to Add or AddGroup; relay.address, the address
without userinfo and query; server.address and server.port; and those below.
Clients of one name and one relay are added up, of times the longest is shown.

	relay.client.instances             up-down  {client}
	relay.client.connected             up-down  {client}
	relay.client.connects              counter  {attempt}     result
	relay.client.disconnects           counter  {connection}  code
	relay.client.silent                counter  {connection}
	relay.client.backoff               gauge    s
	relay.client.rtt                   gauge    s
	relay.client.confirm               gauge    s
	messaging.client.sent.messages     counter  {message}     messaging.system messaging.operation.name
	relay.client.bytes_sent            counter  By
	messaging.client.consumed.messages counter  {message}     messaging.system messaging.operation.name
	relay.client.bytes_received        counter  By
	relay.client.messages_undelivered  counter  {message}
	relay.client.messages_in_doubt     counter  {message}
	relay.client.messages_resent       counter  {message}
	relay.client.dropped               counter  {message}     queue policy
	relay.client.decode_errors         counter  {frame}
	relay.client.events_lost           counter  {event}
	relay.client.outbox_messages       up-down  {message}
	relay.client.unconfirmed_messages  up-down  {message}
	relay.client.inbox_messages        up-down  {message}
	relay.client.inbox_bytes           up-down  By

What they mean is told by the Help of observe.Metrics, and by package relayprom the
values of result, code, queue and policy.

A client that was wrapped has a histogram, too, with the attributes
messaging.system (always proxystore_relay), messaging.operation.name (connect, send,
flush or receive), server.address, server.port, and error.type if it failed (see
[ErrorType]):

	messaging.client.operation.duration  s

# Spans

The spans of a wrapped client are named connect, send, flush and receive, are of kind
client, and have the attributes of the histogram, and messaging.operation.type,
messaging.client.id (our UUID), messaging.destination.name (the peer's UUID) and
messaging.message.body.size. What a message says is in none of them, nor is a token.

The protocol has no room for the context of a trace: whoever wants the receiver's
span to be a child of the sender's has to carry the context inside
[relay.Message.Description], with a propagator of OpenTelemetry's.
*/
package relayotel
