package servers

import (
	"context"
	"net/http"

	"github.com/gorilla/websocket"

	"github.com/seed73300619/relay/bench/child"
)

// serveGorilla is what people build on gorilla: for each connection a goroutine
// that reads and one that writes what it finds in a channel, as in the chat
// example. It sends back what it gets. The connections end with the process.
func serveGorilla(_ context.Context, address string) (child.Work, error) {
	var upgrader websocket.Upgrader
	h := func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return // the client has been told
		}
		out := make(chan []byte, 1)
		go gorillaWrite(c, out)
		go gorillaRead(c, out)
	}
	return serve(address, http.HandlerFunc(h), func(context.Context) error { return nil })
}

func gorillaRead(c *websocket.Conn, out chan<- []byte) {
	defer close(out)
	for {
		_, p, err := c.ReadMessage()
		if err != nil {
			return
		}
		out <- p
	}
}

func gorillaWrite(c *websocket.Conn, out <-chan []byte) {
	defer c.Close()
	for p := range out {
		if c.WriteMessage(websocket.TextMessage, p) != nil {
			c.Close() // so that the reader ends
		}
	}
}
