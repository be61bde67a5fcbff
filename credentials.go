package relay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/seed73300619/relay/supervisor"
	"github.com/seed73300619/relay/transport"
)

// header returns the headers of the next handshake, with a fresh token.
func (c *Client) header(ctx context.Context) (http.Header, error) {
	c.sent = c.cfg.header
	if c.cfg.tokenSource == nil {
		return c.cfg.header, nil
	}
	token, err := c.token(ctx)
	if err != nil {
		return nil, fmt.Errorf("relay: token source: %w", err)
	}
	header := c.cfg.header.Clone()
	if header == nil {
		header = make(http.Header, 1)
	}
	header.Set("Authorization", "Bearer "+token)
	if err := transport.CheckHeader(header); err != nil {
		return nil, fmt.Errorf("relay: token source: %w", err)
	}
	c.sent = header
	return header, nil
}

// token asks the user's function, which may panic or ignore its context: then
// its goroutine is left to it, the one goroutine that Close cannot wait for.
func (c *Client) token(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.timeout)
	defer cancel()
	select {
	case c.asking <- struct{}{}: // the call before has returned
	case <-ctx.Done():
		return "", ctx.Err()
	}
	type answer struct {
		token string
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		a := answer{err: errors.New("called runtime.Goexit")}
		defer func() {
			if value := recover(); value != nil {
				a.err = &supervisor.PanicError{Value: value, Stack: debug.Stack()}
			}
			answered <- a
			<-c.asking
		}()
		a.token, a.err = c.cfg.tokenSource(ctx)
	}()
	select {
	case a := <-answered:
		return a.token, a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// scrub takes out of an error what the relay repeated of our headers.
func (c *Client) scrub(err error) error {
	switch told := err.(type) {
	case *transport.CloseError:
		return &transport.CloseError{Code: told.Code, Reason: c.hide(told.Reason)}
	case *transport.HandshakeError:
		hidden := *told
		hidden.Body = c.hide(told.Body)
		return &hidden
	}
	return err
}

// hide replaces the values of our headers, with and without a scheme such as
// Bearer, in what the relay says. Short ones cannot be secrets.
func (c *Client) hide(text string) string {
	for _, values := range c.sent {
		for _, value := range values {
			_, token, ok := strings.Cut(value, " ")
			if !ok {
				token = value
			}
			if len(token) >= 6 {
				text = strings.ReplaceAll(text, token, "[hidden]")
			}
		}
	}
	return text
}
