package relay

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
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

// scrub takes out of an error what the relay repeated of our secrets.
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

// hide replaces, in what the relay says, the values of our headers, with and
// without a scheme such as Bearer, and what is secret in the address.
func (c *Client) hide(text string) string {
	for _, values := range c.sent {
		for _, value := range values {
			_, token, ok := strings.Cut(value, " ")
			if !ok {
				token = value
			}
			text = conceal(text, token)
		}
	}
	for _, secret := range c.cfg.secrets {
		text = conceal(text, secret)
	}
	return text
}

// conceal replaces a secret in a text. What is short cannot be one.
func conceal(text, secret string) string {
	if len(secret) < 6 {
		return text
	}
	return strings.ReplaceAll(text, secret, "[hidden]")
}

// secretsOf returns what an address holds that must not be shown, in all forms
// in which somebody could repeat it. The longest come first, as one may contain
// another.
func secretsOf(u *url.URL) (secrets []string) {
	add := func(s string) { secrets = append(secrets, s, url.QueryEscape(s), url.PathEscape(s)) }
	if u.User != nil {
		password, _ := u.User.Password()
		pair := u.User.Username() + ":" + password
		add(base64.StdEncoding.EncodeToString([]byte(pair)))
		for _, s := range []string{u.User.String(), pair, u.User.Username(), password} {
			add(s)
		}
	}
	for part := range strings.SplitSeq(u.RawQuery, "&") {
		if part == "" {
			continue
		}
		_, value, _ := strings.Cut(part, "=")
		secrets = append(secrets, part, value)
		if plain, err := url.QueryUnescape(value); err == nil {
			add(plain)
		}
	}
	slices.SortStableFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(secrets)
}
