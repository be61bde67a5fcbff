package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/pflag"

	"github.com/seed73300619/relay"
)

// connection is what the flags say about the way to a relay.
type connection struct {
	address   string
	headers   []string
	tokenFile string
	caFile    string
	insecure  bool
}

func (c *connection) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&c.address, "relay", "", "`URL` of the relay, ws://host:port or wss://host")
	flags.StringArrayVar(&c.headers, "header", nil, "`'Name: value'` to send with the handshake; may be repeated")
	flags.StringVar(&c.tokenFile, "token-file", "", "`file` with a bearer token, read again at every connection")
	flags.StringVar(&c.caFile, "ca-file", "", "PEM `file` with the authorities to trust instead of the system's")
	flags.BoolVar(&c.insecure, "insecure", false, "accept any certificate: whoever is on the network between can read and change everything")
}

// check finds what is wrong before anything is connected.
func (c *connection) check() error {
	if c.address == "" {
		return usagef("--relay is missing: the address of the relay, such as --relay ws://127.0.0.1:8700")
	}
	if _, err := relay.New(c.address); err != nil {
		return &usageError{err}
	}
	if c.tokenFile != "" {
		if _, err := c.token(context.Background()); err != nil {
			return err
		}
	}
	return nil
}

// header returns the headers of the flags. Its errors show no value: that of a
// header is often a secret.
func (c *connection) header() (http.Header, error) {
	header := make(http.Header)
	for i, line := range c.headers {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, usagef("--header number %d is not of the form 'Name: value'", i+1)
		}
		header.Add(name, strings.TrimSpace(value))
	}
	return header, nil
}

// token reads the token file: whoever renews the token replaces the file.
func (c *connection) token(context.Context) (string, error) {
	content, err := os.ReadFile(c.tokenFile)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	token := strings.TrimSpace(string(content))
	if token == "" {
		return "", fmt.Errorf("--token-file: %s is empty", c.tokenFile)
	}
	return token, nil
}

func (c *connection) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: c.insecure, // asked for by name
	}
	if c.caFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(c.caFile)
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--ca-file: no certificate in %s; it should hold PEM blocks that begin with BEGIN CERTIFICATE", c.caFile)
	}
	return config, nil
}

// peer is a connection under a name and a UUID.
type peer struct {
	connection
	name string
	uuid uuidFlag
}

func (p *peer) addFlags(flags *pflag.FlagSet) {
	p.connection.addFlags(flags)
	flags.Var(&p.uuid, "uuid", "`UUID` under which to register; another client that has it is thrown out (default: a random one)")
	flags.StringVar(&p.name, "name", "", "`name` under which to register, for people who read logs (default: the host's)")
}

// client makes a client of the flags. It is not connected yet.
func (p *peer) client() (*relay.Client, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	header, err := p.header()
	if err != nil {
		return nil, err
	}
	config, err := p.tlsConfig()
	if err != nil {
		return nil, err
	}
	options := []relay.Option{relay.WithHeader(header), relay.WithTLSConfig(config)}
	if p.tokenFile != "" {
		options = append(options, relay.WithTokenSource(p.token))
	}
	if p.name != "" {
		options = append(options, relay.WithName(p.name))
	}
	if p.uuid.given {
		options = append(options, relay.WithUUID(p.uuid.UUID))
	}
	client, err := relay.New(p.address, options...)
	if err != nil {
		return nil, &usageError{err}
	}
	return client, nil
}

// report writes on stderr how the connection fares, until the client has ended:
// the UUID behind the word registered whenever there is one, and what went wrong.
// Other events go to other.
func report(client *relay.Client, stderr io.Writer, registered string, other func(relay.Event)) {
	for event := range client.Events() {
		change, ok := event.(relay.StateChange)
		switch {
		case !ok:
			other(event)
		case change.To == relay.Connected:
			fmt.Fprintln(stderr, registered, client.UUID())
		case change.To == relay.Backoff:
			complain(stderr, fmt.Errorf("%w; next attempt in %v", explain(change.Err), change.Retry.Round(time.Millisecond)))
		}
	}
}

// uuidFlag is a flag that holds a UUID.
type uuidFlag struct {
	uuid.UUID
	given bool
}

// Set implements pflag.Value.
func (f *uuidFlag) Set(s string) (err error) {
	f.UUID, err = uuid.Parse(s)
	if err == nil && f.UUID == uuid.Nil {
		err = fmt.Errorf("the zero UUID is nobody's address")
	}
	f.given = err == nil
	return err
}

// String implements pflag.Value.
func (f *uuidFlag) String() string {
	if !f.given {
		return ""
	}
	return f.UUID.String()
}

// Type implements pflag.Value.
func (f *uuidFlag) Type() string { return "UUID" }
