package relaytest_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay/server"
)

// on the wire, each row of the table does what it says: byte for byte, and to
// the second.
var wireCases = map[string]func(t *testing.T, g *ground){
	"/": func(t *testing.T, g *ground) {
		alice, bob := g.registered("/", aliceID), g.registered("/slow?delay=1ms", bobID)
		alice.send(1, message(aliceID, bobID, "hello"))
		bob.expect("text " + message(aliceID, bobID, "hello"))
	},
	"/close/CODE": func(t *testing.T, g *ground) {
		for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4000, 4001, 4002, 4003, 4004, 4999} {
			c := g.upgraded(fmt.Sprintf("/close/%d?reason=r", code))
			c.register(aliceID)
			c.expect(fmt.Sprintf("close %d r", code))
			c.send(8, "")
			c.expect("end after 0 bytes")
		}
		c := g.upgraded("/close/none")
		c.register(aliceID)
		c.expect("close")
		g.upgraded("/close/1012?on=upgrade").expect("close 1012 ")

		c = g.registered("/close/4003?n=3", aliceID)
		c.echoed(aliceID, "one")
		c.echoed(aliceID, "two")
		c.send(1, message(aliceID, aliceID, "three"))
		c.expect("close 4003 Message length exceeds limit.")
		start := time.Now()
		c.expect("end after 0 bytes")
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("waited %v for the client's close frame", d)
		}
		start = time.Now()
		c = g.registered("/close/1011?after=7s", aliceID)
		c.expect("close 1011 keepalive ping timeout")
		if d := time.Since(start); d != 7*time.Second {
			t.Errorf("closed after %v", d)
		}
	},
	"/cut": func(t *testing.T, g *ground) {
		reply := 2 + 2 + len(success) - 2 // a short frame: a head of two bytes
		for at := range reply {
			c := g.upgraded(fmt.Sprintf("/cut?at=%d", at))
			c.register(aliceID)
			c.expect(fmt.Sprintf("end after %d bytes", at))
		}
		for _, at := range []int{0, 1, 50} {
			answer, err := io.ReadAll(g.open(fmt.Sprintf("/cut?on=upgrade&at=%d", at)).conn)
			if len(answer) != at || err != nil {
				t.Errorf("%q, %v: not %d bytes", answer, err, at)
			}
		}
		c := g.registered("/cut?n=2&at=9", aliceID)
		c.echoed(aliceID, "one")
		c.send(1, message(aliceID, aliceID, "two"))
		c.expect("end after 9 bytes")
		c = g.registered("/cut?after=1s&with=reset", aliceID)
		if got := c.next(); !strings.Contains(got, "connection reset") {
			t.Error(got)
		}
	},
	"/half-open": func(t *testing.T, g *ground) {
		start := time.Now()
		c := g.registered("/half-open?after=3s", aliceID)
		c.echoed(aliceID, "alive")
		c.silent(4*time.Second, false)
		bob := g.registered("/", bobID)
		c.send(1, message(aliceID, bobID, "dead"))
		bob.silent(5*time.Second, true)
		c.send(9, "ping")
		c.silent(time.Hour, false) // the relay itself has given up long since
		if d := time.Since(start); d < time.Hour {
			t.Error(d)
		}
		c.send(8, "")
		c.silent(time.Hour, false)
		for _, path := range []string{"/half-open?on=register", "/half-open?n=1"} {
			c := g.upgraded(path)
			c.register(bobID)
			if strings.Contains(path, "n=1") {
				c.expect("text " + success)
				c.send(1, message(bobID, bobID, "dead"))
			}
			c.silent(time.Hour, false)
		}
		c = g.open("/half-open?on=upgrade")
		c.silent(time.Hour, false)
	},
	"/no-reply": func(t *testing.T, g *ground) {
		c := g.upgraded("/no-reply")
		c.register(aliceID)
		c.send(9, "are you there")
		c.expect("pong are you there")
		c.silent(15*time.Second, true)
		c.send(9, "still")
		c.expect("pong still")
	},
	"/deaf": func(t *testing.T, g *ground) {
		c, bob := g.registered("/deaf?n=2", aliceID), g.registered("/", bobID)
		c.echoed(aliceID, "one")
		c.send(1, message(aliceID, bobID, "two"))
		c.send(1, message(aliceID, aliceID, "three"))
		c.send(9, "p")
		c.expect("pong p")
		bob.send(1, message(bobID, aliceID, "to the deaf"))
		c.expect("text " + message(bobID, aliceID, "to the deaf"))
		bob.silent(10*time.Second, true)
	},
	"/stall": func(t *testing.T, g *ground) {
		c, bob := g.registered("/stall?n=2", aliceID), g.registered("/", bobID)
		start := time.Now()
		c.echoed(aliceID, "one")
		for i := range 5 {
			c.send(1, message(aliceID, bobID, fmt.Sprint(i)))
		}
		c.send(9, "early") // still read, as websockets does
		c.expect("pong early")
		for i := range 20 {
			c.send(1, message(aliceID, bobID, fmt.Sprint(i)))
		}
		c.send(9, "late") // no longer read
		bob.silent(15*time.Second, true)
		bob.send(1, message(bobID, aliceID, "news"))
		c.expect("text "+message(bobID, aliceID, "news"), "close 1011 keepalive ping timeout")
		if d := time.Since(start); d != 40*time.Second {
			t.Errorf("closed after %v", d)
		}
		c = g.registered("/stall?for=5s", aliceID)
		start = time.Now()
		c.send(1, message(aliceID, bobID, "x"))
		c.expect("close 1011 keepalive ping timeout")
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("closed after %v", d)
		}
	},
	"/slow": func(t *testing.T, g *ground) {
		start := time.Now()
		c := g.upgraded("/slow?delay=200ms&bytes=10")
		handshake := time.Since(start)
		start = time.Now()
		c.register(aliceID)
		c.expect("text " + success)
		pieces := (2 + len(success) + 9) / 10
		if d := time.Since(start); d != time.Duration(pieces)*200*time.Millisecond || handshake < 2*time.Second {
			t.Errorf("the handshake took %v, %d pieces %v", handshake, pieces, d)
		}
	},
	"/limit": func(t *testing.T, g *ground) {
		for _, test := range []struct{ query, want string }{
			{"size=500", "close 1009 frame exceeds limit of 500 bytes"},
			{"size=500&code=4003", "close 4003 Message length exceeds limit."},
		} {
			c := g.registered("/limit?"+test.query, aliceID)
			overhead := len(message(aliceID, aliceID, ""))
			c.echoed(aliceID, strings.Repeat("x", 500-overhead))
			c.send(1, message(aliceID, aliceID, strings.Repeat("x", 501-overhead)))
			c.expect(test.want)
		}
		c := g.upgraded("/limit?size=10")
		c.register(aliceID)
		c.expect("close 1009 frame exceeds limit of 10 bytes")
	},
	"/refuse": func(t *testing.T, g *ground) {
		c := g.upgraded("/refuse?message=No.")
		c.register(aliceID)
		c.expect(`text {"success": false, "message": "No.", "error": true, "message_type": "relay_response"}`)
		c.send(9, "open")
		c.expect("pong open")
	},
	"/garbage": func(t *testing.T, g *ground) {
		kinds := map[string]string{
			"text": "text this is not JSON", "list": "text []", "type": `text {"message_type": "greeting"}`,
			"binary": "binary 00010203", "utf8": "text \xff\xfe\xff", "frame": "frame 83 opcode 3 is reserved",
		}
		for kind, want := range kinds {
			c := g.upgraded("/garbage?kind=" + kind)
			c.register(aliceID)
			c.expect(want)
			c = g.registered("/garbage?n=1&kind="+kind, aliceID)
			c.send(1, message(aliceID, aliceID, "one"))
			c.expect(want, "text "+message(aliceID, aliceID, "one"))
			c.echoed(aliceID, "two")
			c = g.registered("/garbage?after=1s&kind="+kind, aliceID)
			c.expect(want)
			c.echoed(aliceID, "alive")
		}
		answer, err := io.ReadAll(g.open("/garbage?on=upgrade").conn)
		if string(answer) != "garbage, and no HTTP\r\n\r\n" || err != nil {
			t.Errorf("%q, %v", answer, err)
		}
	},
	"/status/CODE": func(t *testing.T, g *ground) {
		for _, code := range []int{200, 400, 401, 403, 404, 407, 408, 425, 429, 500, 502, 503, 504} {
			if got := g.open(fmt.Sprintf("/status/%d", code)).answer(); got.StatusCode != code || got.Header.Get("Retry-After") != "" {
				t.Error(code, got.Status, got.Header)
			}
		}
		got := g.open("/status/503?retry-after=Fri,+31+Dec+1999+23:59:59+GMT").answer()
		if got.StatusCode != 503 || got.Header.Get("Retry-After") != "Fri, 31 Dec 1999 23:59:59 GMT" {
			t.Error(got.Status, got.Header)
		}
	},
	"/redirect": func(t *testing.T, g *ground) {
		got := g.open("/redirect?code=307&to=/close/4001").answer()
		if got.StatusCode != http.StatusTemporaryRedirect || got.Header.Get("Location") != "/close/4001" {
			t.Error(got.Status, got.Header)
		}
		if got := g.open("/redirect").answer(); got.StatusCode != http.StatusFound || got.Header.Get("Location") != "/" {
			t.Error(got.Status, got.Header)
		}
	},
}

func TestChaos_OnTheWire(t *testing.T) {
	if got, want := slices.Sorted(maps.Keys(wireCases)), slices.Sorted(slices.Values(paths())); !slices.Equal(got, want) {
		t.Errorf("tested is %q, the table has %q", got, want)
	}
	for path, test := range wireCases {
		t.Run(strings.Trim(strings.ReplaceAll(path, "/", " "), " "), func(t *testing.T) { onGround(t, test) })
	}
}

// What a client has not survived it must come back from: so a fault can be had
// once, or a few times.
func TestChaos_TimesCountsConnectionsOfAnAddress(t *testing.T) {
	onGround(t, func(t *testing.T, g *ground) {
		for _, key := range []string{"", "&key=other"} {
			for i := range 5 {
				c := g.upgraded("/close/1013?times=3" + key)
				c.register(aliceID)
				if want := map[bool]string{true: "close 1013 ", false: "text " + success}[i < 3]; c.next() != want {
					t.Errorf("connection %d is not answered %q", i+1, want)
				}
				_ = c.conn.Close()
			}
		}
		for i := range 3 {
			want := map[bool]int{true: 502, false: 101}[i < 1]
			if got := g.open("/status/502?times=1").answer(); got.StatusCode != want {
				t.Errorf("handshake %d: %s", i+1, got.Status)
			}
		}
	})
}

// Nobody has to read the source to find out what an address may say.
func TestChaos_WrongAddresses(t *testing.T) {
	onGround(t, func(t *testing.T, g *ground) {
		for _, test := range []struct {
			path   string
			status int
			want   string
		}{
			{"/clsoe/1011", 404, "no such behaviour; this is what there is\n"},
			{"/deaf/1011", 404, "/close/CODE\n"},
			{"/?on=register", 400, `/: no parameter "on"; there is none`},
			{"/close", 400, `/close/CODE: CODE should be 1000 to 1003, 1007 to 1014, 3000 to 4999, or none for a close frame without a code, not ""`},
			{"/close/1005", 400, `not "1005"`},
			{"/close/999", 400, `not "999"`},
			{"/close/1000/1", 400, `not "1000/1"`},
			{"/close/1011?when=now", 400, `no parameter "when"; there is on, n, after, reason, times, key`},
			{"/close/1011?on=never", 400, `on should be register, message, after, upgrade, not "never"`},
			{"/close/1011?on=register&on=after", 400, "on is given twice"},
			{"/close/1011?after=soon", 400, `after should be a duration, 0s to 1h0m0s, not "soon"`},
			{"/close/1011?after=2h", 400, `not "2h"`},
			{"/close/1011?on=register&after=1s", 400, "after is for on=after"},
			{"/close/1011?on=register&n=1", 400, "n is for on=message"},
			{"/close/1011?n=0", 400, `n should be 1 to 1000000, not "0"`},
			{"/close/1011?times=0", 400, "times should be 1 to 1000000"},
			{"/close/1011?reason=" + strings.Repeat("x", 124), 400, "up to 123 bytes"},
			{"/close/1011?%zz", 400, "the query cannot be read"},
			{"/no-reply?on=register", 400, `no parameter "on"; there is times, key`},
			{"/status/101", 400, "CODE should be 200 to 599"},
			{"/status/503?retry-after=a%0D%0AX:b", 400, "without control characters"},
			{"/redirect?to=//elsewhere", 400, "to should be a path that begins with one slash"},
			{"/redirect?to=http://elsewhere", 400, "to should be a path"},
			{"/redirect?code=200", 400, "code should be 302, 301, 303, 307, 308"},
			{"/stall?for=2h", 400, "for should be a duration, 1ms to 1h0m0s"},
			{"/" + strings.Repeat("x", 5000), 404, "more than 4096 bytes"},
		} {
			answer := g.open(test.path).answer()
			body, _ := io.ReadAll(answer.Body)
			if answer.StatusCode != test.status || !strings.Contains(string(body), test.want) {
				t.Errorf("%.80s: %s %s\nwant %d %s", test.path, answer.Status, body, test.status, test.want)
			}
		}
	})
}

// Every example of the index is one, and a browser gets the index.
func TestChaos_Index(t *testing.T) {
	onGround(t, func(t *testing.T, g *ground) {
		conn := dialled(t, g.relay)
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: relay.test\r\nConnection: close\r\n\r\n")
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
			t.Fatalf("%s, %v", answer, err)
		}
		examples := 0
		for line := range strings.Lines(string(answer)) {
			if len(strings.TrimRight(line, "\r\n")) > 80 && !strings.HasPrefix(line, "Date") {
				t.Errorf("too long: %s", line)
			}
			path, ok := strings.CutPrefix(strings.TrimSpace(line), "ws://relay.test")
			if !ok {
				continue
			}
			examples++
			status := g.open(path).answer().StatusCode
			if status == http.StatusNotFound || status == http.StatusBadRequest {
				t.Errorf("%s is answered %d", path, status)
			}
		}
		if want := len(paths()); examples != want {
			t.Errorf("%d examples of %d behaviours", examples, want)
		}
	})
}

// A Chaos is bounded, and takes all of it along when it ends.
func TestChaos_IsBoundedAndEnds(t *testing.T) {
	const places = 1024
	for name, end := range map[string]func(g *ground) error{
		"Close":    func(g *ground) error { g.chaos.Close(); return nil },
		"Shutdown": func(g *ground) error { return g.chaos.Shutdown(g.t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			onGround(t, func(t *testing.T, g *ground) {
				var all []*raw
				opened := []string{"/", "/half-open", "/half-open?on=register", "/no-reply", "/deaf", "/stall", "/slow?delay=1m", "/refuse", "/garbage?after=1h"}
				for i := range places {
					path := "/half-open?on=upgrade"
					if i < len(opened) {
						path = opened[i]
					}
					c := g.open(path)
					if i < len(opened) && !strings.HasPrefix(path, "/slow") {
						c.answer()
						c.register(fmt.Sprintf("aaaaaaaa-0000-4000-8000-%012d", i))
					}
					all = append(all, c)
				}
				synctest.Wait()
				crowded := g.open("/").answer()
				if crowded.StatusCode != http.StatusServiceUnavailable || crowded.Header.Get("Retry-After") == "" {
					t.Errorf("connection %d: %s", places+1, crowded.Status)
				}
				start := time.Now()
				if err := end(g); err != nil {
					t.Error(err)
				}
				if d := time.Since(start); d > 20*time.Second {
					t.Errorf("ended after %v", d)
				}
				for i, c := range all {
					_ = c.conn.SetReadDeadline(time.Now().Add(time.Second))
					if _, err := io.Copy(io.Discard, c.conn); err != nil && !strings.Contains(err.Error(), "reset") {
						t.Errorf("connection %d is still open: %v", i, err)
					}
				}
				if late := g.open("/").answer(); late.StatusCode != http.StatusServiceUnavailable {
					t.Error("after the end:", late.Status)
				}
				g.chaos.Close() // again
				t.Logf("%d connections ended in %v", len(all), time.Since(start))
			}, server.WithWriteTimeout(time.Second))
		})
	}
}

// A client that leaves takes its connection along, whatever it suffered.
func TestChaos_AClientThatLeavesLeavesNothing(t *testing.T) {
	onGround(t, func(t *testing.T, g *ground) {
		for _, path := range []string{"/", "/half-open", "/half-open?on=upgrade", "/half-open?on=register", "/no-reply", "/deaf", "/stall", "/slow?delay=1s", "/refuse", "/garbage", "/close/1000?after=1h"} {
			for range 200 { // in all, more than there is room for
				c := g.open(path)
				if !strings.Contains(path, "upgrade") {
					c.answer()
					c.register(aliceID)
				}
				_ = c.conn.Close()
			}
			synctest.Wait()
		}
		<-time.After(time.Minute)
		if got := g.open("/").answer(); got.StatusCode != http.StatusSwitchingProtocols {
			t.Error("no room is left:", got.Status)
		}
	})
}
