package relaytest_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/seed73300619/relay"
	"github.com/seed73300619/relay/relaytest"
)

// The address that a client dials says what it is to suffer: here, that its
// registration is answered with close code 1011, once. In a test, NewChaos takes
// its testing.TB, and nothing needs to be closed.
func ExampleNewChaos() {
	chaos := relaytest.NewChaos(nil)
	defer chaos.Close()
	front := httptest.NewServer(chaos)
	defer front.Close()
	url := "ws" + strings.TrimPrefix(front.URL, "http")

	ctx := context.Background()
	c, err := relay.New(url + "/close/1011?times=1")
	if err != nil {
		panic(err)
	}
	defer c.Close()
	if err := c.TryConnect(ctx); err != nil {
		fmt.Println("once:", strings.Contains(err.Error(), "1011"))
	}
	if err := c.TryConnect(ctx); err == nil {
		fmt.Println("and then it is", c.State())
	}

	// This one is for ever.
	refused, err := relay.New(url + "/close/4001")
	if err != nil {
		panic(err)
	}
	fmt.Println("for ever:", refused.Connect(ctx) != nil && refused.State() == relay.Closed)
	// Output:
	// once: true
	// and then it is connected
	// for ever: true
}
