package main

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/seed73300619/relay/relaytest"
)

func TestExitCodesAndErrors(t *testing.T) {
	r := relaytest.New(t)
	peer := uuid.NewString()
	missing := t.TempDir() + "/missing"
	tests := []struct {
		name string
		args string
		code int
		want string // in the line on stderr
	}{
		{"help", "--help", exitDone, ""},
		{"no command", "", exitUsage, "no command given"},
		{"a command that does not exist", "sevre", exitUsage, `no such command: "sevre"; did you mean serve?`},
		{"a flag that does not exist", "ping --rely x", exitUsage, "unknown flag: --rely; see relay ping --help"},
		{"an argument", "demo now", exitUsage, `relay demo takes no arguments, only flags: "now"`},
		{"no relay", "ping", exitUsage, "--relay is missing"},
		{"an address of another kind", "ping --relay http://127.0.0.1", exitUsage, "bad relay address"},
		{"a bad UUID", "listen --relay " + r.URL + " --uuid me", exitUsage, `"me" for "--uuid"`},
		{"the zero UUID", "listen --relay " + r.URL + " --uuid " + uuid.Nil.String(), exitUsage, "nobody's address"},
		{"nobody to send to", "send --relay " + r.URL, exitUsage, "--to is missing"},
		{"an unknown type", "send --relay " + r.URL + " --to " + peer + " --type letter", exitUsage, `not "letter"`},
		{"a negative count", "listen --relay " + r.URL + " --count -1", exitUsage, "cannot be negative"},
		{"no count", "ping --relay " + r.URL + " --count 0", exitUsage, "must be more than 0"},
		{"a bad duration", "ping --relay " + r.URL + " --timeout soon", exitUsage, "--timeout"},
		{"a header without a colon", "ping --relay " + r.URL + " --header s3cr3t", exitUsage, "--header number 1"},
		{"listen without a relay", "listen --relay ws://127.0.0.1:1 --timeout 200ms", exitFailed, "not connected to a relay within 200ms"},
		{"a header that is none", "listen --relay " + r.URL + " --header (:s3cr3t", exitUsage, "a name is no HTTP token"},
		{"a header of the handshake", "ping --relay " + r.URL + " --header Upgrade:s3cr3t", exitFailed, "Upgrade"},
		{"a token file that does not exist", "ping --relay " + r.URL + " --token-file " + missing, exitFailed, missing},
		{"an empty token file", "listen --relay " + r.URL + " --token-file " + file(t, "token", "\n"), exitFailed, "is empty"},
		{"an authority's file that does not exist", "ping --relay " + r.URL + " --ca-file " + missing, exitFailed, missing},
		{"an authority's file without one", "ping --relay " + r.URL + " --ca-file " + file(t, "ca", "x"), exitFailed, "BEGIN CERTIFICATE"},
		{"an address to listen on without a port", "serve --addr localhost", exitUsage, "it should be host:port"},
		{"an unknown level", "serve --log-level loud", exitUsage, `"loud" for "--log-level" flag: should be one of debug, info`},
		{"a bound that is none", "serve --queue-bytes 0", exitUsage, `"0" for "--queue-bytes" flag: should be 1 or more`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := execute(t, "", strings.Fields(tt.args)...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if code == exitDone {
				return
			}
			last := stderr[strings.LastIndex(strings.TrimSuffix(stderr, "\n"), "\n")+1:]
			if !strings.HasPrefix(last, "relay: ") || strings.HasPrefix(last, "relay: relay:") || !strings.Contains(last, tt.want) {
				t.Errorf("stderr ends with %q, want relay: … %s", last, tt.want)
			}
			if stdout != "" {
				t.Errorf("stdout is for data: %q", stdout)
			}
			if strings.Contains(stderr, "s3cr3t") {
				t.Errorf("a secret is shown: %q", stderr)
			}
		})
	}
}

func TestEveryCommandHasHelpWithExamples(t *testing.T) {
	root := rootCommand()
	for _, c := range append(root.Commands(), root) {
		args := strings.Fields(c.CommandPath() + " --help")[1:]
		code, stdout, stderr := execute(t, "", args...)
		if code != exitDone || stderr != "" {
			t.Errorf("%v: exit code %d, stderr %q", args, code, stderr)
		}
		if !strings.Contains(stdout, "Examples:\n  ") || !strings.Contains(stdout, "Usage:") {
			t.Errorf("%v: no examples in\n%s", args, stdout)
		}
		for line := range strings.Lines(stdout) {
			if strings.Contains(line, "  --") && strings.Contains(line, " 0s") {
				t.Errorf("%v: what does 0 mean? %s", args, line)
			}
		}
	}
}
