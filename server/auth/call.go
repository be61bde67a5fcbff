package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// maxBody is the size of an answer, in bytes.
const maxBody = 64 << 10

// call asks the endpoint about a token.
func (in *Introspection) call(ctx context.Context, token string) (*claims, error) {
	ctx, cancel := context.WithTimeout(ctx, in.config.Timeout)
	defer cancel()
	select {
	case in.calls <- struct{}{}:
		defer func() { <-in.calls }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%d calls are under way, and none ended in time (%v at most): %w", maxCalls, in.config.Timeout, ctx.Err())
	}
	body, err := in.post(ctx, token)
	switch {
	case err == nil:
		return parseClaims(body)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("no answer in time (%v at most); check that it can be reached: %w", in.config.Timeout, ctx.Err())
	}
	return nil, err
}

// post sends the request and returns the body of the answer. It is a round trip
// rather than an [http.Client]'s request, which would follow redirects.
func (in *Introspection) post(ctx context.Context, token string) ([]byte, error) {
	form := url.Values{"token": {token}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, in.config.URL, strings.NewReader(form))
	if err != nil {
		return nil, errors.New("the URL is invalid")
	}
	request.SetBasicAuth(in.config.ClientID, in.config.ClientSecret)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Accept-Encoding", "identity") // nothing that grows
	// Not sent, but http.Transport then tries again when the server has just
	// closed the connection that was kept from the last call.
	request.Header["Idempotency-Key"] = nil

	response, err := in.config.Transport.RoundTrip(request)
	if err != nil {
		return nil, harmless(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, badStatus(response.StatusCode)
	}
	if kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, errors.New("its answer is not application/json; is it an introspection endpoint (RFC 7662)?")
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err != nil {
		return nil, harmless(err)
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("its answer has more than %d bytes; is it an introspection endpoint (RFC 7662)?", maxBody)
	}
	return body, nil
}

// badStatus says what an operator can do about an answer without its own text,
// which may quote the token.
func badStatus(code int) error {
	hint := "look for the cause there"
	switch {
	case code >= 300 && code < 400:
		hint = "redirects are not followed; if this is the wrong URL, give the right one"
	case code == http.StatusUnauthorized || code == http.StatusForbidden || code == http.StatusBadRequest:
		hint = "check the client id and the client secret"
	case code == http.StatusNotFound || code == http.StatusMethodNotAllowed:
		hint = "check the URL"
	}
	return fmt.Errorf("it answered %d %s; %s", code, http.StatusText(code), hint)
}

// harmless returns what may be told of a failed round trip: what the network and
// TLS say, who know nothing of the request. Other errors may quote a bad answer
// or a proxy's URL.
func harmless(err error) error {
	var network *net.OpError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &certificate):
		return fmt.Errorf("its certificate is not trusted: %w", certificate)
	case errors.As(err, &record):
		return errors.New("it does not speak TLS; check the URL")
	case errors.As(err, &network):
		return fmt.Errorf("check that it runs and can be reached: %w", network)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("it broke off its answer: %w", io.ErrUnexpectedEOF)
	}
	return errors.New("its answer is not HTTP, or the proxy from the environment cannot reach it")
}
