package observe

import (
	"strconv"
	"strings"
	"sync"

	"github.com/seed73300619/relay"
)

// Kind says how the values of a metric behave.
type Kind uint8

// The kinds of metrics.
const (
	Counter Kind = iota // only grows
	Gauge               // what it is now
)

func (k Kind) String() string {
	if k == Gauge {
		return "gauge"
	}
	return "counter"
}

// Metric is a figure of clients, for whoever exports it. Its values are the
// [Point]s of each [Sum]; the labels of a series are "client", "relay" and those of
// Labels.
type Metric struct {
	Name   string   // Prometheus's: relay_client_…, with its unit and, for a counter, _total
	Help   string   // one sentence
	Kind   Kind     // Counter or Gauge
	Unit   string   // in UCUM, as OpenTelemetry wants it: "s", "By", or what is counted, such as "{message}"
	Labels []string // names; usually none
	Points []Point  // always the same ones
}

// Point is one value of a metric.
type Point struct {
	Values []string // of the labels, in their order
	Of     func(*Sum) float64
}

// Dotted returns the metric's name for OpenTelemetry, which wants it without the
// unit and with a namespace: relay.client.backoff for relay_client_backoff_seconds.
func (m *Metric) Dotted() string {
	name := strings.TrimSuffix(strings.TrimSuffix(m.Name, "_total"), "_seconds")
	return strings.Replace(name, "relay_client_", "relay.client.", 1)
}

// Metrics returns all metrics, always the same ones in the same order. Don't
// change them.
func Metrics() []Metric { return table() }

var table = sync.OnceValue(func() []Metric {
	return []Metric{
		{"relay_client_instances", "Clients there are.", Gauge, "{client}", nil,
			one(func(s *Sum) float64 { return float64(s.Instances) })},
		{"relay_client_connected", "Clients that are registered with the relay.", Gauge, "{client}", nil,
			one(func(s *Sum) float64 { return float64(s.Connected) })},
		{"relay_client_connects_total", "Attempts to connect, by result: connected; failed because of the token source, the network, TLS, an HTTP status, or at the registration; abandoned because the client ended.", Counter, "{attempt}", []string{"result"}, []Point{
			count("connected", func(s *relay.Stats) uint64 { return s.Connects }),
			count("token", func(s *relay.Stats) uint64 { return s.FailedToken }),
			count("network", func(s *relay.Stats) uint64 { return s.FailedNetwork }),
			count("tls", func(s *relay.Stats) uint64 { return s.FailedTLS }),
			count("status", func(s *relay.Stats) uint64 { return s.FailedStatus }),
			count("registration", func(s *relay.Stats) uint64 { return s.FailedRegistration }),
			count("abandoned", func(s *relay.Stats) uint64 { return s.Abandoned }),
		}},
		{"relay_client_disconnects_total", "Registered connections that ended, by close code: 1000 is our goodbye, 1006 none at all, 0 any code without a meaning here.", Counter, "{connection}", []string{"code"},
			codes()},
		{"relay_client_silent_total", "Connections given up because nothing was heard from the relay.", Counter, "{connection}", nil,
			counted(func(s *relay.Stats) uint64 { return s.Silent })},
		{"relay_client_backoff_seconds", "Pause before the next attempt to connect; 0: none. The longest of all clients.", Gauge, "s", nil,
			one(func(s *Sum) float64 { return s.Stats.Backoff.Seconds() })},
		{"relay_client_rtt_seconds", "Time from the last ping to its pong; 0: none yet. The longest of all clients.", Gauge, "s", nil,
			one(func(s *Sum) float64 { return s.Stats.RoundTrip.Seconds() })},
		{"relay_client_confirm_seconds", "Time that the relay's last confirmation took; 0: none yet. The longest of all clients.", Gauge, "s", nil,
			one(func(s *Sum) float64 { return s.Stats.ConfirmTime.Seconds() })},

		{"relay_client_messages_sent_total", "Messages written to the relay, those written again included.", Counter, "{message}", nil,
			counted(func(s *relay.Stats) uint64 { return s.Sent })},
		{"relay_client_bytes_sent_total", "Size of the messages written to the relay, encoded.", Counter, "By", nil,
			counted(func(s *relay.Stats) uint64 { return s.SentBytes })},
		{"relay_client_messages_received_total", "Messages from the relay, those of our own that it could not deliver included.", Counter, "{message}", nil,
			counted(func(s *relay.Stats) uint64 { return s.Received })},
		{"relay_client_bytes_received_total", "Size of the messages from the relay, encoded.", Counter, "By", nil,
			counted(func(s *relay.Stats) uint64 { return s.ReceivedBytes })},
		{"relay_client_messages_undelivered_total", "Messages of our own that the relay sent back because it could not deliver them.", Counter, "{message}", nil,
			counted(func(s *relay.Stats) uint64 { return s.Returned })},
		{"relay_client_messages_in_doubt_total", "Messages written to a connection that ended before the relay had confirmed them.", Counter, "{message}", nil,
			counted(func(s *relay.Stats) uint64 { return s.InDoubt })},
		{"relay_client_messages_resent_total", "Messages written again because they were in doubt.", Counter, "{message}", nil,
			counted(func(s *relay.Stats) uint64 { return s.Resent })},
		{"relay_client_dropped_total", "Messages let go: from the outbox, refused because they are too large or cannot be encoded; from a full inbox, by its policy; from the inbox of a client that was closed, unread.", Counter, "{message}", []string{"queue", "policy"}, []Point{
			count("outbox refuse", func(s *relay.Stats) uint64 { return s.Refused }),
			count("inbox drop_oldest", func(s *relay.Stats) uint64 { return s.DroppedOldest }),
			count("inbox drop_newest", func(s *relay.Stats) uint64 { return s.DroppedNewest }),
			count("inbox disconnect", func(s *relay.Stats) uint64 { return s.DroppedDisconnect }),
			count("inbox closed", func(s *relay.Stats) uint64 { return s.DroppedUnread }),
		}},
		{"relay_client_decode_errors_total", "Frames from the relay that were no message.", Counter, "{frame}", nil,
			counted(func(s *relay.Stats) uint64 { return s.Malformed })},
		{"relay_client_events_lost_total", "Events that the program did not read in time.", Counter, "{event}", nil,
			counted(func(s *relay.Stats) uint64 { return s.EventsLost })},

		{"relay_client_outbox_messages", "Messages accepted and not yet written.", Gauge, "{message}", nil,
			one(func(s *Sum) float64 { return float64(s.Stats.Outbox) })},
		{"relay_client_unconfirmed_messages", "Messages written and not yet confirmed by the relay.", Gauge, "{message}", nil,
			one(func(s *Sum) float64 { return float64(s.Stats.Unconfirmed) })},
		{"relay_client_inbox_messages", "Messages received and not yet taken by the program.", Gauge, "{message}", nil,
			one(func(s *Sum) float64 { return float64(s.Stats.Inbox) })},
		{"relay_client_inbox_bytes", "Memory of the messages received for which the inbox channel has no room.", Gauge, "By", nil,
			one(func(s *Sum) float64 { return float64(s.Stats.InboxBytes) })},
	}
})

func one(of func(*Sum) float64) []Point { return []Point{{Of: of}} }

func counted(of func(*relay.Stats) uint64) []Point {
	return one(func(s *Sum) float64 { return float64(of(&s.Stats)) })
}

// count is the point of a counter with label values, separated by a blank.
func count(values string, of func(*relay.Stats) uint64) Point {
	return Point{strings.Fields(values), func(s *Sum) float64 { return float64(of(&s.Stats)) }}
}

func codes() (points []Point) {
	for code := range (relay.Disconnects{}).All() {
		points = append(points, count(strconv.Itoa(code), func(s *relay.Stats) uint64 { return s.Disconnects.Of(code) }))
	}
	return points
}
