package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestWhereTheCredentialsForGlobusAreFrom(t *testing.T) {
	const file = "[auth]\nmethod = 'globus'\n[auth.kwargs]\nclient_id = 'id of the file'\nclient_secret = 'secret of the file'"
	theirs := []string{"PROXYSTORE_GLOBUS_CLIENT_ID=their id", "PROXYSTORE_GLOBUS_CLIENT_SECRET=their secret"}
	tests := []struct {
		name             string
		file             string
		environ, args    []string
		id, secret, path string
		problem          string
	}{
		{name: "the file", file: file, environ: theirs, id: "id of the file", secret: "secret of the file"},
		{name: "the variables of proxystore-relay", file: "[auth]\nmethod = 'globus'", environ: theirs, id: "their id", secret: "their secret"},
		{name: "both of them, if one is missing", file: "[auth]\nmethod = 'globus'\nkwargs = {client_id = 'x'}", environ: theirs, id: "their id", secret: "their secret"},
		{name: "our variables", file: file, environ: append(theirs, "RELAY_AUTH_CLIENT_ID=our id", "RELAY_AUTH_CLIENT_SECRET=our secret"), id: "our id", secret: "our secret"},
		{name: "a file of a variable", file: file, environ: []string{"RELAY_AUTH_CLIENT_SECRET_FILE=f"}, id: "id of the file", path: "f"},
		{name: "the secret and a file of it", file: file, environ: []string{"RELAY_AUTH_CLIENT_SECRET_FILE=f", "RELAY_AUTH_CLIENT_SECRET=variable's"}, id: "id of the file", secret: "variable's"},
		{name: "a file of a flag", file: file, environ: []string{"RELAY_AUTH_CLIENT_SECRET=variable's"}, args: []string{"--auth-client-secret-file", "f"}, id: "id of the file", path: "f"},
		{name: "a flag in place of the file's method", file: file, args: []string{"--auth", "none"}, id: "id of the file", secret: "secret of the file"},
		{
			name: "nowhere", file: "[auth]\nmethod = 'globus'", environ: theirs[:1],
			problem: "relay.toml:2: --auth: globus needs --auth-client-id and --auth-client-secret-file (client_id and client_secret in [auth.kwargs]), or PROXYSTORE_GLOBUS_CLIENT_ID and PROXYSTORE_GLOBUS_CLIENT_SECRET in the environment",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := load(t, tt.file, tt.environ, tt.args...)
			if problem(err) != tt.problem || s.AuthClientID != tt.id || string(s.AuthClientSecret) != tt.secret || s.AuthClientSecretFile != tt.path {
				t.Errorf("%v; id %q, secret %q, file %q", err, s.AuthClientID, string(s.AuthClientSecret), s.AuthClientSecretFile)
			}
			if got := fmt.Sprintf("%v %+v %#v %s", s, s, s, s.Rows()); strings.Contains(got, "secret of the file") || tt.secret != "" && strings.Contains(got, tt.secret) {
				t.Errorf("a secret is shown: %s", got)
			}
		})
	}
}

func TestNoErrorShowsASecret(t *testing.T) {
	const canary = "c4n4ry"
	for _, file := range []string{
		"client_secret = 'c4n4ry",
		"client_secret = c4n4ry",
		"client_secret = 'x' c4n4ry",
		"client_secret = \"c4n4ry\\q\"",
		"client_secret = ['c4n4ry']",
		"client_secret = {x = 'c4n4ry'}",
		"client_secret = 'x'\nclient_secret = 'c4n4ry'",
		"client_secrets = 'c4n4ry'",
		"client_secret = 'c4n4ry\xff'",
		"client_secret = 'c4n4ry'\nport = 1",
	} {
		s, err := load(t, "[auth]\nmethod = 'globus'\n[auth.kwargs]\nclient_id = 'x'\n"+file, nil)
		if err == nil {
			t.Errorf("%q: no error", file)
		}
		if got := fmt.Sprint(err, s.Warnings, s.Rows()); strings.Contains(got, canary) {
			t.Errorf("%q: a secret is shown: %s", file, got)
		}
	}
}
