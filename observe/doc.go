/*
Package observe makes what relay clients count visible to Prometheus, by package
relayprom, and OpenTelemetry, by package relayotel.

	var clients observe.Clients
	prometheus.MustRegister(relayprom.New(&clients))

	c, err := relay.Dial(ctx, address)
	…
	err = clients.Add("orders", c)
	…
	clients.Remove(c) // after c.Close()

[Clients] says under which names clients are seen; any number of exporters may read
it. [Metrics] is the table of what there is to be seen, for exporters that are not
here.

What an exporter costs: nothing between two scrapes, and a fraction of a
microsecond for each client at a scrape. There are as many series as names and
relays, times the 53 of one client, however many clients come and go. No UUID, no
name of a client, no userinfo or query of an address, no token and no word of a
message is in any of them.
*/
package observe
