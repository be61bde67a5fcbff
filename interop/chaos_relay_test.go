package interop

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seed73300619/relay/relaytest"
)

// chaosAddresses are what a real client is to suffer, and how it is known to take
// it: the exception that its call raises, or none.
var chaosAddresses = []struct {
	address string
	connect string
	recv    string // of the next call; none: a message to itself comes back
}{
	{"/", "", ""},
	{"/slow?delay=20ms&bytes=32", "", ""},
	{"/redirect?to=/slow", "", ""},

	// Retried, until it is healthy.
	{"/close/1011?times=1", "", ""},
	{"/close/none?times=1", "", ""},
	{"/close/4003?on=upgrade&times=1", "", ""},
	{"/cut?at=5&times=1", "", ""},
	{"/cut?at=5&times=1&with=reset", "", ""},
	{"/no-reply?times=1", "", ""},
	{"/half-open?on=upgrade&times=1", "", ""},
	{"/half-open?on=register&times=1", "", ""},
	{"/garbage?kind=utf8&times=1", "", ""},
	{"/garbage?kind=frame&times=1", "", ""},

	// The end.
	{"/close/4001", "ConnectionClosedError", ""},
	{"/close/4002", "ConnectionClosedError", ""},
	{"/close/4004", "ConnectionClosedError", ""},
	{"/cut?on=upgrade&at=10", "InvalidMessage", ""},
	{"/garbage?on=upgrade", "InvalidMessage", ""},
	{"/garbage", "RelayRegistrationError", ""},
	{"/garbage?kind=type", "RelayRegistrationError", ""},
	{"/garbage?kind=list", "TypeError", ""},
	{"/garbage?kind=binary", "AssertionError", ""},
	{"/refuse", "RelayRegistrationError", ""},
	{"/status/502", "InvalidStatus", ""},
	{"/status/503?retry-after=1", "InvalidStatus", ""},

	// After the registration.
	{"/garbage?after=50ms", "", "RelayMessageDecodeError"},
	{"/garbage?after=50ms&kind=list", "", "TypeError"},
	{"/garbage?after=50ms&kind=binary", "", "AssertionError"},
	{"/close/1011?n=1", "", "ConnectionClosedError"},
	{"/close/1000?n=1", "", "ConnectionClosedOK"},
	{"/cut?n=1&at=20", "", "ConnectionClosedError"},
	{"/limit?size=300", "", "ConnectionClosedError"},
	{"/stall?for=500ms", "", "ConnectionClosedError"},
}

// The real client meets each of these at an address, and takes it as it takes
// the real thing.
func TestChaos_TheRealClient(t *testing.T) {
	t.Parallel()
	chaos := relaytest.NewChaos(t)
	front := httptest.NewServer(chaos)
	t.Cleanup(front.Close)
	url := "ws" + strings.TrimPrefix(front.URL, "http")
	for _, test := range chaosAddresses {
		t.Run(strings.Trim(test.address, "/"), func(t *testing.T) {
			t.Parallel()
			p := startPythonPeer(t, url+test.address, peerConfig{noReconnect: true, timeout: 3 * time.Second})
			if err := p.Connect(soon(t)); class(t, err) != test.connect {
				t.Fatalf("connect: %v, want %q", err, test.connect)
			}
			if test.connect != "" {
				return
			}
			// It receives before it sends: after the end of a connection recv
			// would wait on the next one.
			received := startReceiving(t, p)
			if !strings.Contains(test.address, "after=") {
				send(t, p, p.UUID(), strings.Repeat("x", 200))
			}
			if err := <-received; class(t, err) != test.recv {
				t.Errorf("recv: %v, want %q", err, test.recv)
			}
		})
	}
}

// class returns the class of an exception, without its modules.
func class(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	raised, ok := errors.AsType[*pythonError](err)
	if !ok {
		t.Fatal(err)
	}
	return raised.Class[strings.LastIndex(raised.Class, ".")+1:]
}

// Real clients and ours reach each other, whatever address they have dialled.
func TestChaos_ClientsOfDifferentAddressesReachEachOther(t *testing.T) {
	t.Parallel()
	front := httptest.NewServer(relaytest.NewChaos(t))
	t.Cleanup(front.Close)
	url := "ws" + strings.TrimPrefix(front.URL, "http")
	python := startPythonPeer(t, url+"/slow?delay=10ms", peerConfig{})
	ours := newClient(t, url+"/close/1013?times=2", peerConfig{}.options()...)
	connect(t, python, ours)
	meet(t, python, ours)
	meet(t, ours, python)
}
