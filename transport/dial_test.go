package transport

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// answerUpgrade reads a request and accepts it; more is added to the header.
func answerUpgrade(r *bufio.Reader, w io.Writer, more string) error {
	request, err := http.ReadRequest(r)
	if err != nil {
		return err
	}
	hash := sha1.Sum([]byte(request.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, err = fmt.Fprintf(w, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
		base64.StdEncoding.EncodeToString(hash[:]), more)
	return err
}

// scripted listens and has every connection served by serve, which closes it by returning.
func scripted(t *testing.T, serve func(net.Conn)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().String()
}

// says is a server that reads a request and answers it with text.
func says(text string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, text)
		}
	}
}

// silent is a server that says nothing until the client is gone.
func silent(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func handshakeError(t *testing.T, err error, step Step) *HandshakeError {
	t.Helper()
	var e *HandshakeError
	if !errors.As(err, &e) {
		t.Fatalf("not a HandshakeError: %v", err)
	}
	if e.Step != step {
		t.Errorf("step %v, want %v: %v", e.Step, step, err)
	}
	return e
}

func TestDialReportsTheStatus(t *testing.T) {
	noLeaks(t)
	tests := []struct {
		status int
		header string
		after  time.Duration
	}{
		{200, "", 0}, {204, "", 0},
		{301, "Location: ws://127.0.0.1:1/\r\n", 0}, {307, "Location: /elsewhere\r\n", 0},
		{400, "", 0}, {401, "", 0}, {403, "", 0}, {404, "", 0}, {407, "", 0}, {408, "", 0}, {425, "", 0}, {426, "", 0},
		{429, "Retry-After: 7\r\n", 7 * time.Second}, {429, "Retry-After: soon\r\n", 0}, {429, "Retry-After: -3\r\n", 0},
		{429, "Retry-After: 99999999999999999999\r\n", time.Hour}, {503, "Retry-After: 1000000000\r\n", time.Hour},
		{503, "Retry-After: Mon, 02 Jan 2006 15:04:05 GMT\r\n", 0}, {503, "Retry-After: Fri, 31 Dec 2100 15:04:05 GMT\r\n", time.Hour},
		{500, "", 0}, {502, "", 0}, {503, "", 0}, {504, "", 0},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.status, " ", tt.header), func(t *testing.T) {
			body := strings.Repeat("b", 2000)
			addr := scripted(t, says(fmt.Sprintf("HTTP/1.1 %d Whatever\r\n%sContent-Length: 2000\r\n\r\n%s", tt.status, tt.header, body)))
			_, err := (&Dialer{Proxy: noProxy}).Dial(t.Context(), "ws://"+addr+"/path")
			e := handshakeError(t, err, StepUpgrade)
			want := body[:1024]
			if tt.status == 204 {
				want = ""
			}
			if e.Status != tt.status || e.Body != want || e.RetryAfter() != tt.after || e.URL != "ws://"+addr+"/path" {
				t.Errorf("status %d, %d bytes, after %v, URL %s", e.Status, len(e.Body), e.After, e.URL)
			}
		})
	}
}

func TestRetryAfterDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := http.Header{"Retry-After": {time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat)}}
		if got := retryAfter(h); got != 90*time.Second {
			t.Errorf("%v", got)
		}
	})
}

func TestDialBadAnswers(t *testing.T) {
	tests := []struct {
		name  string
		serve func(net.Conn)
		want  error
	}{
		{"nothing but EOF", says(""), io.ErrUnexpectedEOF},
		{"half a status line", says("HTTP/1.1 10"), io.ErrUnexpectedEOF},
		{"half a header", says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: webs"), io.ErrUnexpectedEOF},
		{"something else than HTTP", says("220 mail.example ESMTP\r\n"), errNotHTTP},
		{"an endless header", func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := io.WriteString(c, "X: "+strings.Repeat("x", 1000)+"\r\n"); err != nil {
					return
				}
			}
		}, errHandshakeSize},
		{"an extension", func(c net.Conn) {
			_ = answerUpgrade(bufio.NewReader(c), c, "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n")
			silent(c)
		}, nil},
		{"101 without the right key", says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"), nil},
		{"a reset", func(c net.Conn) { says("")(c); _ = c.(*net.TCPConn).SetLinger(0) }, syscall.ECONNRESET},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			noLeaks(t)
			_, err := (&Dialer{Proxy: noProxy}).Dial(t.Context(), "ws://"+scripted(t, tt.serve))
			handshakeError(t, err, StepUpgrade)
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

func TestDialStepsAreBounded(t *testing.T) {
	hang := func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
	tests := []struct {
		name string
		url  string
		d    Dialer
		step Step
	}{
		{"a name server that is silent", "ws://relay.example", Dialer{DialContext: (&net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: hang}}).DialContext}, StepResolve},
		{"a host that is silent", "ws://relay.example", Dialer{DialContext: hang}, StepConnect},
		{"TLS that is silent", "wss://" + scripted(t, silent), Dialer{}, StepTLS},
		{"an upgrade that is silent", "ws://" + scripted(t, silent), Dialer{}, StepUpgrade},
		{"a proxy that is silent", "ws://relay.example", Dialer{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: scripted(t, silent)})}, StepProxy},
		{"a SOCKS proxy that is silent", "ws://relay.example", Dialer{Proxy: http.ProxyURL(&url.URL{Scheme: "socks5", Host: scripted(t, silent)})}, StepProxy},
		{"a proxy whose TLS is silent", "ws://relay.example", Dialer{Proxy: http.ProxyURL(&url.URL{Scheme: "https", Host: scripted(t, silent)})}, StepProxy},
	}
	for _, tt := range tests {
		if tt.d.Proxy == nil {
			tt.d.Proxy = noProxy
		}
		t.Run(tt.name+" ends at the timeout", func(t *testing.T) {
			noLeaks(t)
			tt.d.Timeout = 50 * time.Millisecond
			_, err := tt.d.Dial(t.Context(), tt.url)
			handshakeError(t, err, tt.step)
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not done within 50ms") {
				t.Errorf("%v", err)
			}
		})
		t.Run(tt.name+" ends with the context", func(t *testing.T) {
			noLeaks(t)
			tt.d.Timeout = 0
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(20*time.Millisecond, cancel)
			_, err := tt.d.Dial(ctx, tt.url)
			handshakeError(t, err, tt.step)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestContextOfDialEndsDialingOnly(t *testing.T) {
	noLeaks(t)
	addr := scripted(t, func(c net.Conn) { _ = answerUpgrade(bufio.NewReader(c), c, ""); _, _ = io.Copy(c, c) })
	ctx, cancel := context.WithCancel(t.Context())
	client, err := (&Dialer{Proxy: noProxy}).Dial(ctx, "ws://"+addr)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-time.After(20 * time.Millisecond)
	send(t, client, []byte("m"))
	if _, _, err := client.ReadFrame(); !errors.Is(err, ErrProtocol) { // our own masked frame, echoed
		t.Errorf("%v", err)
	}
	_ = client.Abort()
}

func TestDialUnreachable(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	_, err = (&Dialer{Proxy: noProxy}).Dial(t.Context(), "ws://"+addr)
	handshakeError(t, err, StepConnect)
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v", err)
	}
	nowhere := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "relay.example", IsNotFound: true}}
	}
	_, err = (&Dialer{Proxy: noProxy, DialContext: nowhere}).Dial(t.Context(), "ws://relay.example")
	handshakeError(t, err, StepResolve)
	var unknown *net.DNSError
	if !errors.As(err, &unknown) || !unknown.IsNotFound {
		t.Errorf("%v", err)
	}
}

func TestDialRefusesAddresses(t *testing.T) {
	for _, address := range []string{"", "relay.example", "http://relay.example", "ws://", "wss:///path", "ws://:80", "ws://secret:secret@host:port", "ws://a b", "\x00"} {
		if _, err := new(Dialer).Dial(t.Context(), address); err != ErrInvalidURL {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestDialSendsHeaders(t *testing.T) {
	noLeaks(t)
	requests := make(chan *http.Request, 1)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		w.WriteHeader(http.StatusTeapot)
	}))
	defer h.Close()
	address := func(user string) string { return "ws://" + user + strings.TrimPrefix(h.URL, "http://") + "/p?q=1" }
	d := &Dialer{Proxy: noProxy, Header: http.Header{"X-Thing": {"a", "b"}, "x-other": {"c"}, "Host": {"other.example"}}}
	_, _ = d.Dial(t.Context(), address("me:pass@"))
	r := <-requests
	if user, pass, _ := r.BasicAuth(); user != "me" || pass != "pass" || r.Host != "other.example" || r.RequestURI != "/p?q=1" ||
		len(r.Header["X-Thing"]) != 2 || r.Header.Get("X-Other") != "c" || r.Header.Get("Sec-WebSocket-Extensions") != "" {
		t.Errorf("%s %s %v", r.Host, r.RequestURI, r.Header)
	}
	d.Header.Set("Authorization", "Bearer token")
	_, _ = d.Dial(t.Context(), address("me:pass@"))
	if got := (<-requests).Header.Get("Authorization"); got != "Bearer token" {
		t.Errorf("Authorization %q", got)
	}
}

func TestDialRefusesHeaders(t *testing.T) {
	const secret = "s3cr3t"
	for name, value := range map[string]string{
		"Authorization": secret + "\r\nX-Evil: 1", "X-Nul": secret + "\x00", "X-Newline": secret + "\n", "X-Return": "\r" + secret,
		"Bad Name": secret, "": secret, "X-Evil\r\nY": secret, "Host": secret + "\r\nX: y",
		"Connection": secret, "upgrade": secret, "sec-websocket-key": secret, "Sec-WebSocket-Extensions": secret, "Sec-Websocket-Protocol": secret,
		"Transfer-Encoding": secret, "Content-Length": "5", "Proxy-Authorization": secret, "TE": secret,
	} {
		_, err := (&Dialer{Header: http.Header{name: {value}}}).Dial(t.Context(), "ws://127.0.0.1:1")
		if !errors.Is(err, ErrInvalidHeader) || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestErrorsHoldNoSecret(t *testing.T) {
	const secret = "s3cr3t"
	echo := func(c net.Conn) { // sends our own request back
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if _, err := io.WriteString(c, line); err != nil || line == "\r\n" {
				return
			}
		}
	}
	proxy := func(addr string) func(*http.Request) (*url.URL, error) {
		return http.ProxyURL(&url.URL{Scheme: "http", Host: addr, User: url.UserPassword("u", secret)})
	}
	d := map[string]Dialer{
		"a server that echoes":     {Proxy: noProxy},
		"a proxy that echoes":      {Proxy: proxy(scripted(t, echo))},
		"a proxy that is not up":   {Proxy: proxy("127.0.0.1:1")},
		"a proxy of a bad scheme":  {Proxy: http.ProxyURL(&url.URL{Scheme: "ftp", Host: "x", User: url.UserPassword("u", secret)})},
		"a proxy that asks for it": {Proxy: proxy(scripted(t, says("HTTP/1.1 407 "+secret+"\r\n\r\n")))},
	}
	for name, d := range d {
		d.Header = http.Header{"Authorization": {"Bearer " + secret}}
		d.Timeout = time.Second
		_, err := d.Dial(t.Context(), "ws://user:"+secret+"@"+scripted(t, echo)+"/p?token="+secret+"#"+secret)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), secret) {
				t.Errorf("%s: %v", name, e)
			}
		}
	}
}

// certificate makes a self-signed one.
func certificate(t *testing.T, host string, end time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: end.Add(-48 * time.Hour), NotAfter: end,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestDialTLS(t *testing.T) {
	tomorrow, yesterday := time.Now().Add(24*time.Hour), time.Now().Add(-24*time.Hour)
	good, goodPool := certificate(t, "127.0.0.1", tomorrow)
	named, namedPool := certificate(t, "relay.example", tomorrow)
	expired, expiredPool := certificate(t, "127.0.0.1", yesterday)
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var alert *net.OpError
	tests := []struct {
		name   string
		server *tls.Config // nil: no TLS
		client *tls.Config
		want   any // for errors.As; nil: it works
	}{
		{"a certificate that verifies", &tls.Config{Certificates: []tls.Certificate{good}}, &tls.Config{RootCAs: goodPool}, nil},
		{"another name by ServerName", &tls.Config{Certificates: []tls.Certificate{named}}, &tls.Config{RootCAs: namedPool, ServerName: "relay.example"}, nil},
		{"a configuration shared with net/http", &tls.Config{Certificates: []tls.Certificate{good}, NextProtos: []string{"http/1.1"}}, &tls.Config{RootCAs: goodPool, NextProtos: []string{"h2"}}, nil},
		{"unverified by choice", &tls.Config{Certificates: []tls.Certificate{expired}}, &tls.Config{InsecureSkipVerify: true}, nil},
		{"an unknown authority, by default", &tls.Config{Certificates: []tls.Certificate{good}}, nil, &unknown},
		{"a wrong host", &tls.Config{Certificates: []tls.Certificate{named}}, &tls.Config{RootCAs: namedPool}, &host},
		{"an expired certificate", &tls.Config{Certificates: []tls.Certificate{expired}}, &tls.Config{RootCAs: expiredPool}, &invalid},
		{"a plain port", nil, nil, &record},
		{"a server of TLS 1.1", &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, &tls.Config{RootCAs: goodPool}, &alert},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			noLeaks(t)
			addr := scripted(t, func(c net.Conn) {
				if tt.server == nil {
					_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
					silent(c)
					return
				}
				secure := tls.Server(c, tt.server)
				_ = answerUpgrade(bufio.NewReader(secure), secure, "")
				_, _ = io.Copy(io.Discard, c)
			})
			client, err := (&Dialer{Proxy: noProxy, TLSConfig: tt.client}).Dial(t.Context(), "wss://"+addr)
			if tt.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				_ = client.Abort()
				return
			}
			handshakeError(t, err, StepTLS)
			if !errors.As(err, tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// tunnelProxy answers CONNECT and then passes bytes on.
func tunnelProxy(t *testing.T, check func(*http.Request)) func(net.Conn) {
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		request, err := http.ReadRequest(r)
		if err != nil || request.Method != http.MethodConnect {
			t.Errorf("%v %v", request, err)
			return
		}
		check(request)
		relayTo(t, c, request.Host, "HTTP/1.1 200 Connection established\r\n\r\n")
	}
}

func relayTo(t *testing.T, c net.Conn, host, hello string) {
	target, err := net.Dial("tcp", host)
	if err != nil {
		t.Error(err)
		return
	}
	_, _ = io.WriteString(c, hello)
	done := result(func() error { _, err := io.Copy(c, target); _ = c.Close(); return err })
	_, _ = io.Copy(target, c)
	_ = target.Close()
	<-done
}

func TestT47_DialThroughProxies(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, scheme := range []string{"http", "https", "socks5"} {
			t.Run(fmt.Sprintf("%s proxy, TLS to the relay: %v", scheme, secure), func(t *testing.T) {
				noLeaks(t)
				cert, pool := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
				through := tunnelProxy(t, func(r *http.Request) {
					if got := r.Header.Get("Proxy-Authorization"); got != "Basic dTpw" {
						t.Errorf("Proxy-Authorization %q", got)
					}
				})
				proxy := scripted(t, func(c net.Conn) {
					switch scheme {
					case "https":
						c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
						through(c)
						_ = c.Close()
					case "socks5":
						socksProxy(t, c)
					default:
						through(c)
					}
				})
				echo := scripted(t, func(c net.Conn) {
					if secure {
						c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
					}
					_ = answerUpgrade(bufio.NewReader(c), c, "")
					_, _ = c.Write(appendFrame(nil, opText, []byte("hello"), false))
					silent(c)
				})
				d := &Dialer{TLSConfig: &tls.Config{RootCAs: pool}, Proxy: func(r *http.Request) (*url.URL, error) {
					if want := map[bool]string{true: "https", false: "http"}[secure]; r.URL.Scheme != want || r.URL.User != nil {
						t.Errorf("the proxy function was asked about %v", r.URL)
					}
					return &url.URL{Scheme: scheme, Host: proxy, User: url.UserPassword("u", "p")}, nil
				}}
				client, err := d.Dial(t.Context(), map[bool]string{true: "wss://", false: "ws://"}[secure]+echo)
				if err != nil {
					t.Fatal(err)
				}
				expect(t, client, []byte("hello"))
				_ = client.Abort()
			})
		}
	}
}

// socksProxy is the other end of RFC 1928 and 1929, for names only.
func socksProxy(t *testing.T, c net.Conn) {
	read := func(n int) []byte {
		p := make([]byte, n)
		_, _ = io.ReadFull(c, p)
		return p
	}
	if got := read(3); got[2] != 2 {
		t.Errorf("methods %v", got)
	}
	_, _ = c.Write([]byte{5, 2})
	if got := read(5); string(got) != "\x01\x01u\x01p" {
		t.Errorf("login %v", got)
	}
	_, _ = c.Write([]byte{1, 0})
	head := read(5)
	host := string(read(int(head[4])))
	port := read(2)
	relayTo(t, c, fmt.Sprintf("%s:%d", host, int(port[0])<<8|int(port[1])), "\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
}

func TestT47_ProxyRefusals(t *testing.T) {
	socks := func(answers ...string) func(net.Conn) {
		return func(c net.Conn) {
			for _, a := range answers {
				_, _ = c.Read(make([]byte, 512))
				_, _ = io.WriteString(c, a)
			}
			silent(c)
		}
	}
	tests := []struct {
		name   string
		scheme string
		serve  func(net.Conn)
		status int
		want   error
	}{
		{"407", "http", says("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nwho"), 407, nil},
		{"502", "http", says("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nwho"), 502, nil},
		{"garbage", "http", says("\x05\x00 what?\r\n"), 0, errNotHTTP},
		{"the end", "http", says(""), 0, io.ErrUnexpectedEOF},
		{"data ahead of the tunnel", "http", says("HTTP/1.1 200 OK\r\n\r\nsurprise"), 0, nil},
		{"SOCKS wants a password", "socks5", socks("\x05\xff"), 407, nil},
		{"SOCKS cannot reach the host", "socks5", socks("\x05\x00", "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"), 0, nil},
		{"SOCKS ends", "socks5", func(c net.Conn) { _, _ = c.Read(make([]byte, 3)) }, 0, io.ErrUnexpectedEOF},
		{"an unknown kind", "gopher", silent, 0, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			noLeaks(t)
			d := &Dialer{Proxy: http.ProxyURL(&url.URL{Scheme: tt.scheme, Host: scripted(t, tt.serve)})}
			_, err := d.Dial(t.Context(), "ws://relay.example")
			e := handshakeError(t, err, StepProxy)
			if e.Status != tt.status || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("status %d, want %d: %v", e.Status, tt.status, err)
			}
			if tt.scheme == "http" && tt.status != 0 && e.Body != "who" {
				t.Errorf("body %q", e.Body)
			}
		})
	}
}

func TestTimeoutIsNotAnOSError(t *testing.T) {
	// What ended the attempt is said once, not as the echo from the socket.
	_, err := (&Dialer{Proxy: noProxy, Timeout: 20 * time.Millisecond}).Dial(t.Context(), "ws://"+scripted(t, silent))
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}
