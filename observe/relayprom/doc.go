/*
Package relayprom lets Prometheus see relay clients.

	var clients observe.Clients
	prometheus.MustRegister(relayprom.New(&clients))
	http.Handle("/metrics", promhttp.Handler())

	c, err := relay.Dial(ctx, address)
	if err != nil {
		return err
	}
	if err := clients.Add("orders", c); err != nil {
		return err
	}
	defer clients.Remove(c) // after the end, whose figures count, too
	defer c.Close()

Every series has the labels client, the name given to Add or AddGroup, and relay,
the address without userinfo and query. Clients of one name and one relay are one
series: what they count is added up, of times the longest is shown.

# Metrics

	relay_client_instances                   gauge
	relay_client_connected                   gauge
	relay_client_connects_total              counter  result
	relay_client_disconnects_total           counter  code
	relay_client_silent_total                counter
	relay_client_backoff_seconds             gauge
	relay_client_rtt_seconds                 gauge
	relay_client_confirm_seconds             gauge
	relay_client_messages_sent_total         counter
	relay_client_bytes_sent_total            counter
	relay_client_messages_received_total     counter
	relay_client_bytes_received_total        counter
	relay_client_messages_undelivered_total  counter
	relay_client_messages_in_doubt_total     counter
	relay_client_messages_resent_total       counter
	relay_client_dropped_total               counter  queue policy
	relay_client_decode_errors_total         counter
	relay_client_events_lost_total           counter
	relay_client_outbox_messages             gauge
	relay_client_unconfirmed_messages        gauge
	relay_client_inbox_messages              gauge
	relay_client_inbox_bytes                 gauge

Labels have these values, and no others:

	result        connected token network tls status registration abandoned
	code          0 1000 to 1015, 4000 to 4004
	queue policy  outbox refuse, inbox drop_oldest, inbox drop_newest, inbox disconnect, inbox closed

# What to be woken for

	relay_client_connected < relay_client_instances            for minutes: not connected
	rate(relay_client_connects_total{result!~"connected|abandoned"}[5m]) why
	increase(relay_client_messages_in_doubt_total[5m]) > 0     sent, and perhaps lost
	increase(relay_client_dropped_total{queue="inbox"}[5m]) > 0 certainly lost
	relay_client_inbox_bytes                                   grows: the program does not read
	relay_client_unconfirmed_messages                          grows: the relay does not deliver
*/
package relayprom
