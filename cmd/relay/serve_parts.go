package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/seed73300619/relay/cmd/relay/internal/certs"
	"github.com/seed73300619/relay/cmd/relay/internal/config"
	"github.com/seed73300619/relay/server"
	"github.com/seed73300619/relay/server/auth"
)

// parts are what settings name and what has to be read: whether they are any
// good is known only then.
type parts struct {
	who   server.Authenticator // nil: everybody may
	certs *certs.Pair          // nil: no TLS
}

// makeParts reads all that s names. The error joins all that is wrong.
func makeParts(s *config.Settings, log *slog.Logger) (p parts, err error) {
	who, errWho := authenticator(s)
	pair, errTLS := certificates(s, log)
	return parts{who, pair}, errors.Join(errWho, errTLS)
}

func certificates(s *config.Settings, log *slog.Logger) (*certs.Pair, error) {
	if s.TLSCert == "" {
		return nil, nil
	}
	return certs.Load(certs.Files{Certificate: s.TLSCert, Key: s.TLSKey, ClientCA: s.TLSClientCA}, log)
}

// authenticator makes what finds out who a client is.
func authenticator(s *config.Settings) (server.Authenticator, error) {
	switch s.Auth {
	case config.AuthTokens:
		tokens, err := auth.LoadTokens(s.AuthTokensFile)
		if err != nil {
			return nil, fmt.Errorf("--auth-tokens-file: %w", err)
		}
		return tokens, nil
	case config.AuthGlobus, config.AuthIntrospection:
		introspection, err := introspection(s)
		if err != nil {
			return nil, fmt.Errorf("--auth %s: %w", s.Auth, err)
		}
		return introspection, nil
	case config.AuthMTLS:
		return auth.Certificate{}, nil
	}
	return nil, nil
}

func introspection(s *config.Settings) (*auth.Introspection, error) {
	secret, err := clientSecret(s)
	if err != nil {
		return nil, err
	}
	cache := s.AuthCache
	if cache == 0 {
		cache = -1 // none
	}
	return auth.NewIntrospection(auth.IntrospectionConfig{
		URL:          s.AuthIntrospectionURL,
		ClientID:     s.AuthClientID,
		ClientSecret: secret,
		Audience:     s.AuthAudience,
		Timeout:      min(s.AuthTimeout, 5*time.Second),
		Cache:        cache,
	})
}

func clientSecret(s *config.Settings) (string, error) {
	if s.AuthClientSecretFile == "" {
		return string(s.AuthClientSecret), nil
	}
	content, err := os.ReadFile(s.AuthClientSecretFile)
	if err != nil {
		return "", fmt.Errorf("--auth-client-secret-file: %w", err)
	}
	secret := strings.TrimSpace(string(content))
	if secret == "" {
		return "", fmt.Errorf("--auth-client-secret-file: %s is empty", s.AuthClientSecretFile)
	}
	return secret, nil
}

// exposedTokens is what there is to say about a file of tokens that others read.
func exposedTokens(s *config.Settings) string {
	return s.AuthTokensFile + " can be read by others than its owner: chmod 600, or put hashes in it instead of tokens"
}

// options are those of the server.
func options(s *config.Settings, who server.Authenticator, log *slog.Logger) []server.Option {
	all := []server.Option{
		server.WithLogger(log),
		server.WithTrustedProxies(s.TrustedProxies...),
		server.WithAuthTimeout(s.AuthTimeout),
		server.WithMaxConnections(s.MaxConnections),
		server.WithMaxConnectionsPerAddress(s.MaxConnectionsPerAddress),
		server.WithMaxConnectionsPerUser(s.MaxConnectionsPerUser),
		server.WithMaxUnregistered(s.MaxUnregistered),
		server.WithMaxRegistrations(s.MaxRegistrations),
		server.WithMaxMessageBytes(s.MaxMessageBytes),
		server.WithQueueBytes(s.QueueBytes),
		server.WithMessageRate(s.MessageRate),
		server.WithByteRate(s.ByteRate),
		server.WithRegisterTimeout(s.RegisterTimeout),
		server.WithKeepalive(s.PingInterval, s.PingTimeout),
		server.WithWriteTimeout(s.WriteTimeout),
		server.WithShutdownSpread(s.DrainWindow),
	}
	if who != nil {
		all = append(all, server.WithAuthenticator(who))
	}
	if s.AnySource {
		all = append(all, server.WithAnySource())
	}
	if len(s.AllowOrigins) > 0 {
		all = append(all, server.WithCheckOrigin(allowOrigins(s.AllowOrigins)))
	}
	return all
}

// allowOrigins adds to the origins that are welcome by default.
func allowOrigins(origins []string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		origin := r.Header.Get("Origin")
		if origin == "" || slices.Contains(origins, "*") || slices.Contains(origins, strings.ToLower(origin)) {
			return true
		}
		u, err := url.Parse(origin)
		return err == nil && strings.EqualFold(u.Host, r.Host)
	}
}
