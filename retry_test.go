package relay_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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

func TestWhichHTTPStatusIsRetried(t *testing.T) {
	tests := map[int]verdict{
		200: permanent, 204: permanent,
		301: permanent, 302: permanent, 303: permanent, 307: permanent, 308: permanent,
		400: permanent, 401: permanent, 403: permanent, 404: permanent, 405: permanent, 407: permanent,
		410: permanent, 421: permanent, 426: permanent, 451: permanent,
		408: retried, 425: retried, 429: retried,
		500: retried, 501: retried, 502: retried, 503: retried, 504: retried, 520: retried, 599: retried,
	}
	for status, want := range tests {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
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

// closeCodes are all that mean something, and some that mean nothing to us.
var closeCodes = map[int]verdict{
	1000: retried, 1001: retried, 1002: retried, 1003: retried, 1005: retried, 1007: retried, 1008: retried, 1009: retried,
	1010: retried, 1011: retried, 1012: retried, 1013: retried, 3000: retried,
	4000: retried, 4003: retried, 4005: retried, 4999: retried,
	4001: permanent, 4002: permanent, 4004: permanent,
}

func TestWhichCloseCodeIsRetriedBeforeRegistering(t *testing.T) {
	for code, want := range closeCodes {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := relaytest.NewInMemory(t)
				var attempts atomic.Int64
				reason := closeReason(code)
				r.Script(func(conn transport.Conn) {
					attempts.Add(1)
					answer(conn)
					_ = conn.Close(code, reason)
				})
				err := judge(t, r.Client("a"), &attempts, want)
				refused, ok := errors.AsType[*relay.RegistrationError](err)
				if !ok {
					t.Fatalf("%v is no *RegistrationError", err)
				}
				if refused.Code != code || refused.Reason != reason {
					t.Errorf("code %d and reason %q, want %d and %q", refused.Code, refused.Reason, code, reason)
				}
				if closed, ok := errors.AsType[*transport.CloseError](err); !ok || closed.Code != code {
					t.Errorf("%v does not hold the *transport.CloseError", err)
				}
				if !strings.Contains(err.Error(), fmt.Sprint(code)) || !strings.Contains(err.Error(), reason) {
					t.Errorf("%q does not tell code and reason", err)
				}
			})
		})
	}
}

func TestWhichCloseCodeIsRetriedAfterRegistering(t *testing.T) {
	for code, want := range closeCodes {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := relaytest.NewInMemory(t)
				var attempts atomic.Int64
				reason := closeReason(code)
				r.Script(func(conn transport.Conn) {
					attempts.Add(1)
					answer(conn, okReply)
					time.Sleep(time.Millisecond)
					_ = conn.Close(code, reason)
				})
				err := judge(t, r.Client("a"), &attempts, want)
				closed, ok := errors.AsType[*transport.CloseError](err)
				if !ok {
					t.Fatalf("%v is no *transport.CloseError", err)
				}
				if closed.Code != code || closed.Reason != reason {
					t.Errorf("code %d and reason %q, want %d and %q", closed.Code, closed.Reason, code, reason)
				}
				if taken, ok := errors.AsType[*relay.RegistrationError](err); ok != bool(want) || ok && taken.Code != code {
					t.Errorf("%v: want a *RegistrationError if, and only if, the client has ended", err)
				}
			})
		})
	}
}

func closeReason(code int) string {
	if code == 1005 { // means: a close frame without a code, hence without a reason
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
