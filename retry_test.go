package relay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
	"github.com/seed73300619/relay/transport"
)

// The tests of this file are the table "What is retried" of the package
// documentation, row by row.

type verdict bool

const (
	retried   verdict = false
	permanent verdict = true
)

// okReply is the stock relay's answer to a registration.
const okReply = `{"success": true, "message": null, "error": false, "message_type": "relay_response"}`

// answer reads a registration and sends the frames given.
func answer(conn transport.Conn, frames ...string) {
	if _, _, err := conn.ReadFrame(); err != nil {
		return
	}
	tell(conn, frames...)
}

// tell sends frames.
func tell(conn transport.Conn, frames ...string) {
	for _, frame := range frames {
		if conn.WriteFrame([]byte(frame)) != nil {
			return
		}
	}
	_ = conn.Flush()
}

// judge lets a client that wants a connection live with a relay for ten
// minutes, and tells the error that it met: of its end if that is what came,
// else of its latest attempt.
func judge(t *testing.T, c *relay.Client, attempts *atomic.Int64, want verdict) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_ = c.Connect(ctx)
	time.Sleep(10 * time.Minute)
	n := attempts.Load()
	switch {
	case want == permanent && (c.State() != relay.Closed || c.Err() == nil || n != 1):
		t.Errorf("state %v after %d attempts, error %v; want the end after one", c.State(), n, c.Err())
	case want == retried && (c.State() == relay.Closed || n < 8 || n > 30):
		t.Errorf("state %v after %d attempts, error %v; want some ten more attempts", c.State(), n, c.Err())
	}
	if c.Err() != nil {
		if err := c.Connect(t.Context()); !errors.Is(err, relay.ErrClosed) || !errors.Is(err, c.Err()) {
			t.Errorf("Connect after the end: %v, want ErrClosed and %v", err, c.Err())
		}
		return c.Err()
	}
	return lastFailure(c)
}

// lastFailure returns the latest error that an event told.
func lastFailure(c *relay.Client) (err error) {
	for events := c.Events(); ; {
		synctest.Wait()
		select {
		case e := <-events:
			if change, ok := e.(relay.StateChange); ok && change.Err != nil {
				err = change.Err
			}
		default:
			return err
		}
	}
}

// documented is the table "What is retried" as the package documentation prints
// it: what happened, and what follows.
func documented(t *testing.T) map[string]verdict {
	t.Helper()
	file, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(file), "# What is retried\n")
	section, _, _ = strings.Cut(section, "\n# ")
	rows := make(map[string]verdict)
	for _, row := range regexp.MustCompile(`(?m)^\t(.+?) {2,}(retried|permanent)$`).FindAllStringSubmatch(section, -1) {
		rows[row[1]] = row[2] == "permanent"
	}
	if len(rows) < 10 {
		t.Fatalf("the table has %d rows: %v", len(rows), rows)
	}
	return rows
}

// row returns the verdict of the one row that begins so.
func row(t *testing.T, rows map[string]verdict, begins string) verdict {
	t.Helper()
	var found []verdict
	for what, v := range rows {
		if strings.HasPrefix(what, begins) {
			found = append(found, v)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d rows of the documented table begin with %q", len(found), begins)
	}
	return found[0]
}

// documentedStatus is what the documentation says about an HTTP status.
func documentedStatus(t *testing.T, status int) verdict {
	t.Helper()
	rows := documented(t)
	for what, v := range rows {
		if !strings.HasPrefix(what, "HTTP ") {
			continue
		}
		for _, listed := range regexp.MustCompile(`\b\d(\d\d|xx)\b`).FindAllString(what, -1) {
			if listed == fmt.Sprint(status) || listed == fmt.Sprintf("%dxx", status/100) {
				return v
			}
		}
	}
	return row(t, rows, "any other HTTP status")
}

// documentedClose is what the documentation says about a close code.
func documentedClose(t *testing.T, code int, registered bool) verdict {
	t.Helper()
	rows := documented(t)
	for what, v := range rows {
		if strings.HasPrefix(what, fmt.Sprintf("close code %d ", code)) {
			return v
		}
	}
	if registered {
		return row(t, rows, "every other close code, none included")
	}
	return row(t, rows, "registration: no reply, closed with another code")
}

// statuses are those of case T5, and some more.
var statuses = map[int]verdict{
	200: permanent, 204: permanent,
	301: permanent, 302: permanent, 303: permanent, 307: permanent, 308: permanent,
	400: permanent, 401: permanent, 403: permanent, 404: permanent, 405: permanent, 407: permanent,
	410: permanent, 421: permanent, 426: permanent, 451: permanent,
	408: retried, 425: retried, 429: retried,
	500: retried, 501: retried, 502: retried, 503: retried, 504: retried, 520: retried, 599: retried,
}

// For ten minutes of a bubble: a permanent status is met once, another one is
// met again and again; both as the documentation says.
func TestT5_WhichHTTPStatusIsRetried(t *testing.T) {
	for status, want := range statuses {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			if told := documentedStatus(t, status); told != want {
				t.Errorf("documented as permanent: %v, want %v", told, want)
			}
			synctest.Test(t, func(t *testing.T) {
				r := relaytest.NewInMemory(t)
				var attempts atomic.Int64
				r.Handle(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					attempts.Add(1)
					if req.URL.Path != "" && req.URL.Path != "/" {
						t.Errorf("a redirect was followed to %s", req.URL)
					}
					w.Header().Set("Location", r.URL+"/elsewhere")
					w.WriteHeader(status)
					if status != http.StatusNoContent {
						_, _ = fmt.Fprintf(w, "because of %d", status)
					}
				}))
				err := judge(t, r.Client("a"), &attempts, want)
				handshake, ok := errors.AsType[*transport.HandshakeError](err)
				if !ok {
					t.Fatalf("%v is no *transport.HandshakeError", err)
				}
				if handshake.Status != status || handshake.Step != transport.StepUpgrade {
					t.Errorf("status %d at step %v", handshake.Status, handshake.Step)
				}
				if body := fmt.Sprintf("because of %d", status); handshake.Body != body && status != http.StatusNoContent {
					t.Errorf("body %q, want %q", handshake.Body, body)
				}
			})
		})
	}
}

// Byte by byte over sockets, with and without a length, and with more of a body
// than anybody wants: the error has the status and the first KiB.
func TestT5_WhichHTTPStatusIsRetriedOverSockets(t *testing.T) {
	for status, want := range statuses {
		if status == http.StatusNoContent {
			continue // has no body
		}
		for name, size := range map[string]int{"no body": 0, "a short body": 20, "1 KiB": 1 << 10, "a byte more": 1<<10 + 1, "a long body": 100 << 10} {
			t.Run(fmt.Sprintf("%d with %s", status, name), func(t *testing.T) {
				body := strings.Repeat("0123456789abcdef", size/16+1)[:size]
				url, accepted := wireRelay(t, func(conn net.Conn) bool {
					readRequest(conn)
					header := fmt.Sprintf("HTTP/1.1 %d Because\r\nLocation: ws://127.0.0.1:1/\r\n", status)
					if status%2 == 0 {
						header += fmt.Sprintf("Content-Length: %d\r\n", size)
					}
					_, _ = io.WriteString(conn, header+"\r\n"+body)
					if status%2 == 0 {
						swallow(conn) // else the end of the connection is the end of the body
					}
					return false
				})
				c, err := relay.New(url, relay.WithBackoff(time.Millisecond, time.Millisecond))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = c.Close() }()
				c.Inbox()
				if want == permanent {
					<-c.Done()
					err = c.Err()
				} else {
					err = firstBackoff(t, c).Err
					awaitAttempts(t, c, 2)
				}
				refused, ok := errors.AsType[*transport.HandshakeError](err)
				if !ok || refused.Status != status || refused.Step != transport.StepUpgrade {
					t.Fatalf("%v is no *transport.HandshakeError with status %d", err, status)
				}
				if most := min(size, 1<<10); refused.Body != body[:most] {
					t.Errorf("%d bytes of the body, want the first %d of %d", len(refused.Body), most, size)
				}
				if strings.Contains(err.Error(), "0123456789abcdef") {
					t.Errorf("%v repeats the body", err)
				}
				if n := accepted.Load(); want == permanent && n != 1 {
					t.Errorf("%d attempts, want one", n)
				}
			})
		}
	}
}

// closeCodes are those of case T6, and some that mean nothing to us. 1006 is the
// end of a connection without a close frame.
var closeCodes = map[int]verdict{
	1000: retried, 1001: retried, 1002: retried, 1003: retried, 1005: retried, 1006: retried, 1007: retried, 1008: retried, 1009: retried,
	1010: retried, 1011: retried, 1012: retried, 1013: retried, 3000: retried,
	4000: retried, 4003: retried, 4005: retried, 4999: retried,
	4001: permanent, 4002: permanent, 4004: permanent,
}

// farewell ends a connection, byte by byte.
func farewell(conn net.Conn, code int, reason string) {
	switch code {
	case 1006:
		return // and the connection is closed
	case 1005:
		_, _ = io.WriteString(conn, "\x88\x00")
	default:
		_, _ = conn.Write(append([]byte{0x88, byte(2 + len(reason)), byte(code >> 8), byte(code)}, reason...))
	}
	readFrame(conn) // the client's goodbye
}

// One table for all close codes, before and after registering: the code does
// what the documentation says, and code and reason are kept.
func TestT6_WhichCloseCodeIsRetried(t *testing.T) {
	for code, want := range closeCodes {
		for name, registered := range map[string]bool{"before registering": false, "after registering": true} {
			t.Run(fmt.Sprint(code, " ", name), func(t *testing.T) {
				if told := documentedClose(t, code, registered); told != want {
					t.Errorf("documented as permanent: %v, want %v", told, want)
				}
				synctest.Test(t, func(t *testing.T) {
					var attempts atomic.Int64
					reason := closeReason(code)
					c, err := relay.New("ws://relay.test", piped(func(conn net.Conn) {
						attempts.Add(1)
						upgraded(conn)
						readFrame(conn)
						if registered {
							_, _ = io.WriteString(conn, text(okReply))
							time.Sleep(time.Millisecond)
						}
						farewell(conn, code, reason)
					}))
					if err != nil {
						t.Fatal(err)
					}
					err = judge(t, c, &attempts, want)
					checkFarewell(t, err, code, reason, registered)
					if connects := c.Stats().Connects; registered && connects != uint64(attempts.Load()) || !registered && connects != 0 {
						t.Errorf("%d connects in %d attempts", connects, attempts.Load())
					}
					_ = c.Close()
				})
			})
		}
	}
	t.Logf("%d codes, before and after registering", len(closeCodes))
}

// checkFarewell checks that an error keeps code and reason of a close.
func checkFarewell(t *testing.T, err error, code int, reason string, registered bool) {
	t.Helper()
	refused, refusal := errors.AsType[*relay.RegistrationError](err)
	closed, ok := errors.AsType[*transport.CloseError](err)
	if code == 1006 {
		if err == nil || ok || refusal == registered || refusal && refused.Code != 0 {
			t.Errorf("%v: want the loss of a connection, without a code", err)
		}
		return
	}
	if !ok || closed.Code != code || closed.Reason != reason {
		t.Fatalf("%v is no *transport.CloseError with code %d and reason %q", err, code, reason)
	}
	// After registering a *RegistrationError is an end, and nothing else is.
	if want := !registered || bool(closeCodes[code]); refusal != want || refusal && (refused.Code != code || refused.Reason != reason) {
		t.Errorf("%v: want a *RegistrationError %v, with code and reason", err, want)
	}
	if !strings.Contains(err.Error(), fmt.Sprint(code)) || !strings.Contains(err.Error(), reason) {
		t.Errorf("%q does not tell code and reason", err)
	}
}

func closeReason(code int) string {
	if code == 1005 || code == 1006 { // no code, hence no reason
		return ""
	}
	return fmt.Sprintf("reason of %d, ä", code)
}

// What follows are answers to a registration that are not a close.
func TestWhichReplyToARegistrationIsRetried(t *testing.T) {
	const peer = `"aaaaaaaa-0000-4000-8000-000000000001"`
	tests := []struct {
		name string
		send string
		want verdict
		says string
	}{
		{"an error reply", `{"success": false, "message": "ForbiddenError: go away", "error": true, "message_type": "relay_response"}`, permanent, `"ForbiddenError: go away"`},
		{"an error reply that claims success", `{"success": true, "message": "odd", "error": true, "message_type": "relay_response"}`, permanent, `"odd"`},
		{"success false", `{"success": false, "message": "no", "message_type": "relay_response"}`, permanent, `"no"`},
		{"success false without a word", `{"success": false, "message_type": "relay_response"}`, permanent, "refused"},
		{"a message of a peer", `{"source_uuid": ` + peer + `, "source_name": "a", "peer_uuid": ` + peer + `, "description_type": "offer", "description": "", "error": null, "message_type": "peer_connection"}`, permanent, "unexpected message type"},
		{"a registration", `{"name": "a", "uuid": ` + peer + `, "message_type": "relay_registration"}`, permanent, "unexpected message type"},
		{"a message of unknown type", `{"message_type": "welcome"}`, permanent, "unknown message type"},
		{"a message without a type", `{"success": true}`, permanent, "missing field"},
		{"a reply with an extra key", `{"success": true, "extra": 1, "message_type": "relay_response"}`, permanent, "unknown field"},
		{"malformed JSON", `{"success": tru`, permanent, "invalid JSON"},
		{"a list", `[]`, permanent, "not a JSON object"},
		{"an empty frame", ``, permanent, "invalid JSON"},
		{"invalid UTF-8", "{\"message\": \"\xff\", \"message_type\": \"relay_response\"}", permanent, "UTF-8"},
		{"a page of HTML", `<html>Welcome to the hotel</html>`, permanent, "invalid JSON"},
		{"more than a relay ever sends", strings.Repeat(" ", 2<<20), permanent, "too large"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := relaytest.NewInMemory(t)
				var attempts, open atomic.Int64
				r.Script(func(conn transport.Conn) {
					attempts.Add(1)
					open.Add(1)
					answer(conn, test.send)
					untilEnd(conn)
					open.Add(-1)
				})
				err := judge(t, r.Client("a"), &attempts, test.want)
				refused, ok := errors.AsType[*relay.RegistrationError](err)
				if !ok {
					t.Fatalf("%v is no *RegistrationError", err)
				}
				if refused.Code != 0 || !strings.Contains(err.Error(), test.says) {
					t.Errorf("code %d, and %q does not say %q", refused.Code, err, test.says)
				}
				if n := open.Load(); n != 0 {
					t.Errorf("%d connections of failed attempts are still open", n)
				}
			})
		})
	}
}

// untilEnd reads until the connection is over.
func untilEnd(conn transport.Conn) {
	for {
		if _, _, err := conn.ReadFrame(); err != nil {
			return
		}
	}
}

func TestASilentRelayIsRetriedAndItsConnectionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relaytest.NewInMemory(t)
		var attempts, open atomic.Int64
		r.Script(func(conn transport.Conn) {
			attempts.Add(1)
			open.Add(1)
			answer(conn)
			untilEnd(conn)
			open.Add(-1)
		})
		c := r.Client("a")
		start := time.Now()
		err := c.TryConnect(t.Context())
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("it took %v to give the registration up, want its own bound of 10s", took)
		}
		refused, ok := errors.AsType[*relay.RegistrationError](err)
		if !ok || refused.Code != 0 || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no reply") {
			t.Errorf("%#v: want a *RegistrationError about a timeout", err)
		}
		attempts.Store(0)
		_ = judge(t, c, &attempts, retried)
		if n := open.Load(); n > 1 {
			t.Errorf("%d connections are open, the attempt's own at most should be", n)
		}
	})
}

func TestRepliesThatAStockRelayCouldGiveRegister(t *testing.T) {
	for name, reply := range map[string]string{
		"as the stock relay writes it": okReply,
		"minimal":                      `{"message_type":"relay_response"}`,
		"in another order":             `{"message_type": "relay_response", "error": false, "message": "hello", "success": true}`,
		"with white space":             " \r\n\t{ \"message_type\" :\n\"relay_response\" ,\"success\":true }\n ",
		"with a key twice":             `{"success": false, "success": true, "message_type": "relay_response"}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := relaytest.NewInMemory(t)
				r.Script(func(conn transport.Conn) { answer(conn, reply); untilEnd(conn) })
				c := r.Client("a")
				if err := c.TryConnect(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
