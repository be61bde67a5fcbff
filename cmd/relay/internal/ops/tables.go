package ops

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/seed73300619/relay/server"
)

// A table of the page. The first cell of a row says what the row is about.
type table struct {
	ID      string   `json:"id"`
	Caption string   `json:"-"`
	Columns []column `json:"-"`
	Rows    []row    `json:"rows"`
}

type column struct {
	Title string
	Class string // "n": figures; "m": monospaced
}

type row struct {
	Key   string   `json:"key"` // of the same row a second later
	Cells []string `json:"cells"`
	Mark  string   `json:"mark,omitempty"` // "" or the class of a row that stands out
}

// historyTable is the plots in figures.
func historyTable(plots []plot) table {
	t := table{ID: "history", Caption: "In figures", Columns: []column{
		{Title: "What"}, {Title: "Now", Class: "n"}, {Title: "Mean", Class: "n"}, {Title: "Peak", Class: "n"},
	}}
	for i, p := range plots {
		name := p.Title
		if plotted[i].total != nil {
			name += " /s"
		}
		t.Rows = append(t.Rows, row{Key: p.ID, Cells: []string{name, p.Now, p.Mean, p.Peak}})
	}
	return t
}

// totals are the tables of what the relay has counted since its start.
func totals(s *server.Stats) []table {
	figure := []column{{Title: "What"}, {Title: "Count", Class: "n"}}
	return []table{
		{ID: "traffic", Caption: "Traffic",
			Columns: []column{{Title: "What"}, {Title: "Messages", Class: "n"}, {Title: "Bytes", Class: "n"}},
			Rows: []row{
				{Key: "received", Cells: []string{"Received", count(s.Received), byteCount(float64(s.ReceivedBytes))}},
				{Key: "forwarded", Cells: []string{"Forwarded", count(s.Forwarded), byteCount(float64(s.ForwardedBytes))}},
				{Key: "bounced", Cells: []string{"Bounced", count(bounces(s)), ""}},
				{Key: "dropped", Cells: []string{"Lost with both ends", count(s.Dropped), ""}},
			}},
		{ID: "bounces", Caption: "Bounces, by reason", Columns: figure, Rows: figures(
			"Receiver not registered", s.BouncedUnknownPeer,
			"Receiver is another user’s", s.BouncedOtherUser,
			"Receiver does not read", s.BouncedUnreadPeer,
			"Receiver left before reading", s.GivenBack,
			"Source not the sender’s", s.BouncedForeignSource,
			"Too large", s.BouncedTooLarge,
		)},
		{ID: "registrations", Caption: "Registrations", Columns: figure, Rows: figures(
			"Accepted", s.Registrations,
			"Takeovers among them", s.Takeovers,
			"Refused: no valid credentials", s.RefusedUnauthorized,
			"Refused: not allowed", s.RefusedForbidden,
			"Refused: another user’s UUID", s.RefusedOwned,
			"Refused: too many of the user", s.RefusedUser,
			"Refused: too many on a connection", s.RefusedRegistrations,
			"Authentication gave no answer", s.RefusedAuth,
		)},
		{ID: "limits", Caption: "Limits that were met", Columns: figure, Rows: figures(
			"Too many connections", s.RejectedConnections,
			"Too many from an address", s.RejectedAddress,
			"Too many unregistered", s.RejectedUnregistered,
			"Came while stopping", s.RejectedStopping,
			"No WebSocket, or foreign origin", s.NotUpgraded,
			"Did not register in time", s.RegisterTimeouts,
			"Did not read in time", s.WriteTimeouts,
			"Slowed down to a rate", s.Throttled,
		)},
		{ID: "closes", Caption: "Closed connections, by code", Columns: []column{{Title: "Code"}, {Title: "Count", Class: "n"}}, Rows: closeRows(s.Closed)},
	}
}

// figures makes rows of labels and the counts behind them.
func figures(pairs ...any) []row {
	rows := make([]row, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		label, n := pairs[i].(string), pairs[i+1].(uint64)
		r := row{Key: label, Cells: []string{label, count(n)}}
		if n == 0 {
			r.Mark = "faint"
		}
		rows = append(rows, r)
	}
	return rows
}

// codes are the close codes with a meaning here; those that are usual are
// listed also when nothing was closed with them.
var codes = map[int]struct {
	meaning string
	usual   bool
}{
	0:                       {"any other", false},
	1000:                    {"normal", true},
	1001:                    {"going away", true},
	1002:                    {"protocol error", false},
	1006:                    {"without a goodbye", true},
	1007:                    {"not UTF-8", false},
	1008:                    {"policy", true},
	1009:                    {"message too large", false},
	1011:                    {"ping timeout, or error", true},
	1013:                    {"try again later", false},
	4000:                    {"unknown message", false},
	server.CodeUnauthorized: {"unauthorized", false},
	server.CodeForbidden:    {"forbidden", false},
	4003:                    {"message too long", false},
	4004:                    {"taken over", true},
}

func closeRows(closed map[int]uint64) []row {
	all := make(map[int]uint64)
	maps.Copy(all, closed)
	for code, c := range codes {
		if c.usual {
			all[code] += 0
		}
	}
	var pairs []any
	for _, code := range slices.Sorted(maps.Keys(all)) {
		pairs = append(pairs, strings.TrimSpace(strconv.Itoa(code)+" "+codes[code].meaning), all[code])
	}
	return figures(pairs...)
}
