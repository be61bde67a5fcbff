package ops

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxListed is how many connections the page lists.
const maxListed = 500

// A view is what somebody wants to see of the connections.
type view struct {
	Find string // a part of a UUID, name, user or address; empty: all
	Sort string // one of orders; empty: the first
}

// An order is one by which connections are listed.
type order struct {
	ID, Title string
	compare   func(a, b *connection) int
}

var orders = []order{
	{"opened", "longest connected", func(a, b *connection) int { return cmp.Compare(a.ID, b.ID) }},
	{"newest", "latest first", func(a, b *connection) int { return cmp.Compare(b.ID, a.ID) }},
	{"name", "name", func(a, b *connection) int { return cmp.Compare(a.name(), b.name()) }},
	{"in", "most messages from it", func(a, b *connection) int { return cmp.Compare(b.in, a.in) }},
	{"out", "most messages to it", func(a, b *connection) int { return cmp.Compare(b.out, a.out) }},
	{"queue", "longest queue", func(a, b *connection) int { return cmp.Compare(b.QueuedBytes, a.QueuedBytes) }},
}

// maxFind bounds a search, in bytes.
const maxFind = 200

func parseView(query url.Values) view {
	v := view{Find: strings.ToValidUTF8(strings.TrimSpace(query.Get("find")), "")}
	v.Find = v.Find[:min(len(v.Find), maxFind)]
	for _, o := range orders {
		if o.ID == query.Get("sort") {
			v.Sort = o.ID
		}
	}
	return v
}

// list returns the connections that v asks for, and how many they are before
// the list is cut.
func (v view) list(all []connection) (found []*connection, n int) {
	find := strings.ToLower(v.Find)
	for i := range all {
		if find == "" || all[i].matches(find) {
			found = append(found, &all[i])
		}
	}
	for _, o := range orders[1:] { // it is in the first order already
		if o.ID == v.Sort {
			slices.SortStableFunc(found, o.compare)
		}
	}
	return found[:min(len(found), maxListed)], len(found)
}

func (c *connection) matches(find string) bool {
	has := func(s string) bool { return strings.Contains(strings.ToLower(s), find) }
	for _, client := range c.Clients {
		if has(client.UUID.String()) || has(client.Name) {
			return true
		}
	}
	return has(c.User.Name) || has(c.User.ID) || has(c.RemoteAddr)
}

func (c *connection) name() string {
	if len(c.Clients) == 0 {
		return ""
	}
	return c.Clients[0].Name
}

var connectionColumns = []column{
	{Title: "Name"}, {Title: "UUID", Class: "m"}, {Title: "User"}, {Title: "Address", Class: "m"},
	{Title: "Connected", Class: "n"},
	{Title: "In /s", Class: "n"}, {Title: "Out /s", Class: "n"},
	{Title: "Bytes in /s", Class: "n"}, {Title: "Bytes out /s", Class: "n"},
	{Title: "Queue", Class: "n"}, {Title: "State"},
}

// connectionTable lists the connections of a sample, and says how many it has
// of how many.
func connectionTable(s *sample, v view) (t table, shown string) {
	found, n := v.list(s.connections)
	t = table{ID: "connections", Caption: "Connections", Columns: connectionColumns, Rows: make([]row, len(found))}
	for i, c := range found {
		t.Rows[i] = c.row(s.at)
	}
	switch all := len(s.connections); {
	case len(found) < n:
		shown = fmt.Sprintf("The first %s, and %s more", count(uint64(len(found))), count(uint64(n-len(found))))
	case v.Find != "":
		shown = fmt.Sprintf("%s of %s", count(uint64(n)), count(uint64(all)))
	default:
		shown = fmt.Sprintf("All %s", count(uint64(all)))
	}
	return t, shown
}

func (c *connection) row(now time.Time) row {
	name, id := "–", "–"
	if len(c.Clients) > 0 {
		name, id = visible(c.Clients[0].Name), c.Clients[0].UUID.String()
		if more := len(c.Clients) - 1; more > 0 {
			id += fmt.Sprintf(" +%d", more)
		}
	}
	r := row{Key: strconv.FormatUint(c.ID, 10)}
	state := "ok"
	switch {
	case c.Behind:
		state, r.Mark = "does not read", "alert"
	case len(c.Clients) == 0:
		state, r.Mark = "not registered", "faint"
	}
	r.Cells = []string{
		name, id, orDash(visible(cmp.Or(c.User.Name, c.User.ID))), orDash(c.RemoteAddr),
		duration(now.Sub(c.Opened)),
		number(c.in), number(c.out), byteCount(c.inBytes), byteCount(c.outBytes),
		byteCount(float64(c.QueuedBytes)), state,
	}
	return r
}

func orDash(s string) string { return cmp.Or(s, "–") }
