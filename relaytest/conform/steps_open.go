package conform

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// opens opens a connection; changes are those of Target.request.
func opens(who string, changes ...string) step {
	text := who + " connects"
	if len(changes) > 0 {
		text += fmt.Sprintf(" (%s)", strings.Join(changes, ", "))
	}
	return step{text, func(r *run) error {
		extensions, err := r.upgrade(who, changes)
		if err == nil && extensions != "" {
			err = fmt.Errorf("extensions are used: %s", extensions)
		}
		return err
	}}
}

// opensDeflated opens a connection on which messages are deflated.
func opensDeflated(who string) step {
	return step{who + " connects, and deflate is agreed on", func(r *run) error {
		got, err := r.upgrade(who, []string{offerDeflate})
		if want := "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"; err == nil && got != want {
			err = fmt.Errorf("the extensions are %q instead of %q", got, want)
		}
		return err
	}}
}

const offerDeflate = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"

// asks sends a request, changed, and something behind it.
func asks(who string, behind []byte, changes ...string) step {
	text := fmt.Sprintf("%s asks for a connection (%s)", who, shorten(strings.Join(changes, ", ")))
	if len(behind) > 0 {
		text += fmt.Sprintf(" and sends %d bytes without awaiting the answer", len(behind))
	}
	return step{text, func(r *run) error {
		s, err := r.dial(who)
		if err == nil {
			_, err = s.conn.Write(append([]byte(r.target.request(changes)), behind...))
		}
		return err
	}}
}

// isAnswered receives the answer to what was asked, and looks at more of it
// than its status if there is a function for that.
func isAnswered(who string, status int, check func(*http.Response) error) step {
	return step{fmt.Sprintf("%s is answered with %d", who, status), func(r *run) error {
		answer, err := r.sockets[who].response()
		switch {
		case err != nil:
			return err
		case answer.StatusCode != status:
			return fmt.Errorf("the answer is %s", answer.Status)
		case check == nil:
			return nil
		}
		return check(answer)
	}}
}

// dials connects without a handshake, and sends some bytes.
func dials(who, bytes string) step {
	return step{fmt.Sprintf("%s connects by TCP and sends %q", who, bytes), func(r *run) error {
		s, err := r.dial(who)
		if err == nil {
			_, err = io.WriteString(s.conn, bytes)
		}
		return err
	}}
}
