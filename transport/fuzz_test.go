package transport

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// FuzzT38_UpgradeRequest holds the answer to any request that net/http reads
// against RFC 6455, section 4.2.1, spelled out below, and against gorilla alone.
func FuzzT38_UpgradeRequest(f *testing.F) {
	const good = "GET /path?query HTTP/1.1\r\nHost: relay.test\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	for _, change := range []struct{ old, new string }{
		{"", ""}, {"GET", "POST"}, {"GET", "HEAD"}, {"GET", "get"}, {"HTTP/1.1", "HTTP/1.0"}, {"HTTP/1.1", "HTTP/2.0"}, {"HTTP/1.1", "HTTP/1.2"},
		{"websocket", "WebSocket"}, {"websocket", "h2c, websocket/13, websocket"}, {"websocket", "websocket2"}, {"Upgrade: websocket\r\n", ""}, {"websocket", "\"websocket\""},
		{"keep-alive, Upgrade", "UPGRADE"}, {"keep-alive, Upgrade", "keep-alive"}, {"keep-alive, Upgrade", "close\r\nConnection: upgrade"}, {"keep-alive, Upgrade", "keep-alive Upgrade"},
		{"13", "12"}, {"13", "013"}, {"13", "8, 13"}, {"13", "8\r\nSec-WebSocket-Version: 13"}, {"Sec-WebSocket-Version: 13\r\n", ""},
		{"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""}, {"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ"}, {"dGhlIHNhbXBsZSBub25jZQ==", "short=="},
		{"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}, {"dGhlIHNhbXBsZSBub25jZQ==", " dGhlIHNhbXBsZSBub25jZQ== "},
		{"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR=="}, {"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBu\tb25jZQ=="}, {"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ== x"},
		{"\r\n\r\n", "\r\nOrigin: http://relay.test\r\n\r\n"}, {"\r\n\r\n", "\r\nOrigin: https://RELAY.test\r\n\r\n"}, {"\r\n\r\n", "\r\nOrigin: https://evil.test\r\n\r\n"},
		{"\r\n\r\n", "\r\nOrigin: null\r\n\r\n"}, {"\r\n\r\n", "\r\nOrigin: http://relay.test:8080\r\n\r\n"}, {"\r\n\r\n", "\r\nOrigin: %zz\r\n\r\n"}, {"\r\n\r\n", "\r\nOrigin:\r\n\r\n"},
		{"\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nSec-WebSocket-Protocol: chat, superchat\r\n\r\n"},
		{"\r\n\r\n", "\r\nContent-Length: 3\r\n\r\nabc"}, {"\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}, {"\r\n\r\n", "\r\nSec-WebSocket-Accept: x\r\n\r\n"},
		{"\r\n\r\n", "\r\n\r\n\x81\x80\x00\x00\x00\x00"}, {"/path?query", "http://other.test/"}, {"/path?query", "*"}, {"Host: relay.test\r\n", "Host:\r\n"},
	} {
		f.Add([]byte(strings.Replace(good, change.old, change.new, 1)))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		request := func() (*http.Request, *bufio.Reader) {
			r := bufio.NewReader(bytes.NewReader(input))
			req, err := http.ReadRequest(r)
			if err != nil {
				t.Skip() // http.Server answers this by itself
			}
			return req, r
		}
		req, early := request()
		want := verdict(req)
		// net/http reads a body before it lets go of the connection; what is left
		// then came before the answer.
		if sent := early.Buffered() > 0; want == http.StatusSwitchingProtocols && sent {
			want = 0
		}
		ours := newUpgrade(early)
		conn, err := new(Upgrader).Upgrade(ours, req)
		status, header := ours.answer(t)
		refused, isRefusal := errors.AsType[*HandshakeError](err)
		switch {
		case status != want:
			t.Fatalf("answered with %d, %v, want %d\n%q", status, err, want, input)
		case (err == nil) != (status == http.StatusSwitchingProtocols):
			t.Fatalf("answered with %d, but the error is %v", status, err)
		case err != nil && (!isRefusal || refused.Step != StepUpgrade || refused.Status != status && status != 0):
			t.Fatalf("answered with %d, but the error is %#v", status, err)
		case header.Get("Sec-WebSocket-Extensions")+header.Get("Sec-WebSocket-Protocol") != "":
			t.Fatalf("agreed on %v", header)
		}
		if err == nil {
			defer func() { _ = conn.Abort() }()
			sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
			if got := header.Get("Sec-WebSocket-Accept"); got != base64.StdEncoding.EncodeToString(sum[:]) {
				t.Fatalf("Sec-WebSocket-Accept is %q", got)
			}
		}

		req, early = request()
		theirs := newUpgrade(early)
		ws, err := new(websocket.Upgrader).Upgrade(theirs, req, nil)
		if err == nil {
			_ = ws.Close()
		}
		// Ours is the stricter in these two, and in nothing else.
		stricter := !req.ProtoAtLeast(1, 1) || len(req.Header.Values("Sec-WebSocket-Key")) > 1
		if upgraded := status == http.StatusSwitchingProtocols; upgraded != (err == nil) && (upgraded || !stricter) {
			t.Fatalf("answered with %d, but gorilla says %v\n%q", status, err, input)
		}
	})
}

// verdict is the status with which a request is answered.
func verdict(r *http.Request) int {
	tokens := func(name string) (all []string) {
		for _, line := range r.Header[textproto.CanonicalMIMEHeaderKey(name)] {
			for token := range strings.SplitSeq(line, ",") {
				token = strings.Trim(token, " \t")
				if !validName(token) {
					break // with a version, or a mistake: gorilla reads no further
				}
				all = append(all, strings.ToLower(token))
			}
		}
		return all
	}
	keys := r.Header["Sec-Websocket-Key"]
	origin := r.Header["Origin"]
	switch {
	case r.ProtoMajor < 1 || r.ProtoMajor == 1 && r.ProtoMinor < 1:
		return http.StatusHTTPVersionNotSupported
	case r.Method != "GET":
		return http.StatusMethodNotAllowed
	case !slices.Contains(tokens("Upgrade"), "websocket"), !slices.Contains(tokens("Connection"), "upgrade"):
		return http.StatusUpgradeRequired
	case !slices.Contains(tokens("Sec-WebSocket-Version"), "13"), len(keys) > 1:
		return http.StatusBadRequest
	}
	if len(origin) > 0 {
		from, err := url.Parse(origin[0])
		if err != nil || !strings.EqualFold(from.Host, r.Host) {
			return http.StatusForbidden
		}
	}
	if nonce, err := base64.StdEncoding.DecodeString(strings.Join(keys, "")); err != nil || len(nonce) != 16 {
		return http.StatusBadRequest
	}
	return http.StatusSwitchingProtocols
}

// An upgrade is a response that can become a connection, of which the peer sends
// nothing more.
type upgrade struct {
	*httptest.ResponseRecorder
	early    *bufio.Reader
	conn     *taken
	hijacked bool
}

func newUpgrade(early *bufio.Reader) *upgrade {
	return &upgrade{ResponseRecorder: httptest.NewRecorder(), early: early, conn: new(taken)}
}

func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	u.hijacked = true
	return u.conn, bufio.NewReadWriter(u.early, bufio.NewWriter(u.conn)), nil
}

// answer is what the client got; status 0 is the end of the connection.
func (u *upgrade) answer(t *testing.T) (status int, header http.Header) {
	t.Helper()
	if !u.hijacked {
		return u.Code, u.Header()
	}
	if u.conn.written.Len() == 0 {
		return 0, nil
	}
	answer, err := http.ReadResponse(bufio.NewReader(&u.conn.written), nil)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header
}

// taken is a connection that takes what is written, and has ended.
type taken struct {
	net.Conn
	written bytes.Buffer
}

func (c *taken) Read([]byte) (int, error)         { return 0, io.EOF }
func (c *taken) Write(p []byte) (int, error)      { return c.written.Write(p) }
func (c *taken) SetDeadline(time.Time) error      { return nil }
func (c *taken) SetWriteDeadline(time.Time) error { return nil }
func (c *taken) Close() error                     { return nil }
