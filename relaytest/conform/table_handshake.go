package conform

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

const whyNotDeflated = "Deflate costs more memory than all the rest of a connection, for messages of a few kilobytes, and lets a kilobyte that is sent become a megabyte here."

// handshakes are cases about what comes before the first frame.
func handshakes() []Case {
	open := func(name string, changes ...string) Case {
		return both(name, opens("alice", changes...), registers("alice", "ALICE"))
	}
	refuse := func(name string, status int, changes ...string) Case {
		return both(name, asks("alice", nil, changes...), isAnswered("alice", status, nil))
	}
	return []Case{
		open("a plain request is upgraded"),
		open("any path and query will do", "GET PATHany/path?and=query HTTP/1.1"),
		open("a Host that is another is fine", "Host: elsewhere.example"),
		open("a subprotocol that is offered is not chosen", "Sec-WebSocket-Protocol: chat, relay"),
		open("extensions that nobody knows are not chosen", "Sec-WebSocket-Extensions: x-unknown; y=1"),
		open("header names and tokens are in any case", "upgrade: WebSocket", "connection: keep-alive, UPGRADE"),
		refuse("no Upgrade", 426, "Upgrade:"),
		refuse("no Connection", 426, "Connection:"),
		refuse("an Upgrade to something else", 426, "Upgrade: h2c"),
		refuse("POST", 405, "POST PATH HTTP/1.1", "Content-Length: 0"),
		refuse("HEAD", 405, "HEAD PATH HTTP/1.1"),
		refuse("HTTP/1.0", 505, "GET PATH HTTP/1.0"),
		refuse("no version", 400, "Sec-WebSocket-Version:"),
		refuse("version 8", 400, "Sec-WebSocket-Version: 8"),
		refuse("no key", 400, "Sec-WebSocket-Key:"),
		refuse("a key that is no base64", 400, "Sec-WebSocket-Key: ?"),
		refuse("a key of 15 bytes", 400, "Sec-WebSocket-Key: "+strings.Repeat("A", 20)),
		differ("a page of another site asks", nil,
			does("upgrades", opens("alice", "Origin: https://evil.example"), registers("alice", "ALICE")),
			does("refuses with 403", asks("alice", nil, "Origin: https://evil.example"), isAnswered("alice", 403, nil)),
			"A browser lets every page open WebSockets to every host, also to one behind its user's firewall, and sends his cookies and certificates along. Clients that are no browser send no Origin."),
		open("a page of the same host asks", "Host: relay.example", "Origin: https://relay.example"),
		differ("permessage-deflate is offered", nil,
			does("agrees", opensDeflated("alice"),
				sends("alice", "a registration, deflated", frame{op: opText, deflate: true, payload: []byte(registration("ALICE"))}), hears("alice", success)),
			does("goes on without", opens("alice", offerDeflate), registers("alice", "ALICE")),
			whyNotDeflated),
		differ("deflated, it is over 1 MiB when inflated", nil,
			does("closes with 1009", opensDeflated("alice"),
				sends("alice", "a message that is 1 MiB and 1 byte when inflated", frame{op: opText, deflate: true, payload: []byte(padded("ALICE", maxMessage+1))}),
				isClosed("alice", 1009, anyReason)),
			does("does not inflate: closes with 1002", opens("alice", offerDeflate),
				sends("alice", "a deflated message nevertheless", frame{op: opText, deflate: true, payload: []byte(message("ALICE", "ALICE"))}),
				isClosed("alice", 1002, anyReason)),
			whyNotDeflated),
		open("a header of 8,000 bytes", "X-Padding: "+strings.Repeat("x", 8000)),
		differ("a header of 10,000 bytes", []step{asks("alice", nil, "X-Padding: "+strings.Repeat("x", 10_000))},
			does("refuses with 431", isAnswered("alice", 431, nil)),
			does("upgrades", isAnswered("alice", 101, nil)),
			"Tokens grow. All headers together are bounded instead."),
		differ("200 headers", []step{asks("alice", nil, headers(200)...)},
			does("refuses with 431", isAnswered("alice", 431, nil)),
			does("upgrades", isAnswered("alice", 101, nil)),
			"Proxies add theirs. All headers together are bounded instead."),
		differ("no Host", []step{asks("alice", nil, "Host:")},
			does("upgrades", isAnswered("alice", 101, nil)),
			does("refuses with 400", isAnswered("alice", 400, nil)),
			"HTTP/1.1 demands it, and so does Go's net/http."),
		refuse("two keys", 400, "Sec-WebSocket-Key: "+handshakeKey+"\r\nSec-WebSocket-Key: "+handshakeKey),
		both("a request with a body is cut off", asks("alice", []byte("body"), "Content-Length: 4"), isCutOff("alice")),
		both("a request with chunks is cut off", asks("alice", []byte("0\r\n\r\n"), "Transfer-Encoding: chunked"), isCutOff("alice")),
		refuse("get in small letters", 405, "get PATH HTTP/1.1"),
		differ("HTTP/2.0 in words", []step{asks("alice", nil, "GET PATH HTTP/2.0")},
			does("cuts off", isCutOff("alice")), does("refuses with 505", isAnswered("alice", 505, nil)),
			"Whoever has the wrong protocol should be told."),
		differ("what is no HTTP", []step{dials("alice", "hello\r\n\r\n")},
			does("cuts off", isCutOff("alice")), does("refuses with 400", isAnswered("alice", 400, nil)),
			"Whoever has the wrong protocol should be told."),
		differ("frames sent before the answer has come", []step{asks("alice", frame{op: opPing}.encode())},
			does("answers them, and a ping even before the handshake", isPonged("alice", ""), isAnswered("alice", 101, nil)),
			does("cuts off", isCutOff("alice")),
			"RFC 6455, section 4.1, has clients await the answer; bytes before it are a sign of request smuggling."),
		differ("what the answer says about the server", []step{asks("alice", nil)},
			does("names Python and websockets, with their versions", isAnswered("alice", 101, saysServer("Python/"))),
			does("names nothing", isAnswered("alice", 101, saysServer(""))),
			"Clients do not look at it, and attackers do."),
		differ("the words of a refusal", []step{asks("alice", nil, "Connection:", "Upgrade:")},
			does("explains, and closes", isAnswered("alice", 426, saysBody("Failed to open a WebSocket connection: missing Connection header.")), isCutOff("alice")),
			does("repeats the status, and waits for another request", isAnswered("alice", 426, saysBody("Upgrade Required"))),
			"The words are for people, and a connection that was refused as a WebSocket is a good one for HTTP."),
		slow(both("a connection that sends nothing is cut off", dials("alice", ""), isCutOff("alice"))),
		slow(both("half a request is cut off", dials("alice", "GET / HTTP/1.1\r\nHost: x\r\n"), isCutOff("alice"))),
	}
}

// headers are short, and many.
func headers(count int) []string {
	lines := make([]string, count)
	for i := range lines {
		lines[i] = fmt.Sprintf("X-Padding-%d: x", i)
	}
	return lines
}

// saysServer looks for the start of the header Server; "" stands for none.
func saysServer(start string) func(*http.Response) error {
	return func(answer *http.Response) error {
		if got := answer.Header.Get("Server"); !strings.HasPrefix(got, start) || start == "" && got != "" {
			return fmt.Errorf("the server is %q", got)
		}
		return nil
	}
}

// saysBody looks for the first line of the body.
func saysBody(line string) func(*http.Response) error {
	return func(answer *http.Response) error {
		body, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
		if got, _, _ := strings.Cut(string(body), "\n"); err == nil && got != line {
			err = fmt.Errorf("the body says %q", got)
		}
		return err
	}
}
