package auth_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/seed73300619/relay/server"
	"github.com/seed73300619/relay/server/auth"
)

func tokenFile(t *testing.T, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, content string) *auth.Tokens {
	t.Helper()
	tokens, err := auth.LoadTokens(tokenFile(t, content))
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func hashed(token string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(token))) }

func TestTokensOfAFileNameTheirUsers(t *testing.T) {
	tokens := load(t, "# who may\r\n\r\n"+
		"first-token alice  Alice \t Liddell \r\n"+
		"  second.token~+/== alice\n"+
		"\tthird_token\tbob@example.org Bøb\n"+
		hashed("fourth")+" carol Carol\n"+
		"sha256:"+strings.ToUpper(hashed("fifth")[7:])+" dave")
	for token, want := range map[string]server.User{
		"first-token":       {ID: "alice", Name: "Alice Liddell"},
		"second.token~+/==": {ID: "alice"},
		"third_token":       {ID: "bob@example.org", Name: "Bøb"},
		"fourth":            {ID: "carol", Name: "Carol"},
		"fifth":             {ID: "dave"},
	} {
		if user, err := tokens.Authenticate(t.Context(), bearing("Bearer "+token)); err != nil || user != want {
			t.Errorf("%s: %+v, %v", token, user, err)
		}
	}
	for _, token := range []string{"first-toke", "first-token1", "FIRST-TOKEN", "#", "alice", hashed("fourth")} {
		user, err := tokens.Authenticate(t.Context(), bearing("Bearer "+token))
		expectRefused(t, user, err, server.CodeForbidden, revoked)
	}
}

func TestABadTokenFileIsRefusedByItsLine(t *testing.T) {
	const token = "c4n4ry-t0k3n"
	for _, test := range []struct {
		name, content, want string
	}{
		{"a token alone", "# \n" + token, ":2: no user behind the token"},
		{"the same token twice", token + " alice\n\n" + token + " alice", ":3: the same token as in line 1"},
		{"the same token hashed", token + " alice\n" + hashed(token) + " bob", ":2: the same token as in line 1"},
		{"another character in a token", token + "! alice", ":1: the token has other characters"},
		{"a byte order mark", "\ufeff" + token + " alice", ":1: the token has other characters"},
		{"a hash that is too short", hashed(token)[:69] + " alice", ":1: behind sha256: there must be 64 hex digits"},
		{"a hash that is too long", hashed(token) + "00 alice", ":1: behind sha256: there must be 64 hex digits"},
		{"a hash of an odd length", hashed(token) + "0 alice", ":1: behind sha256: there must be 64 hex digits"},
		{"a hash with another letter", hashed(token)[:70] + "g alice", ":1: behind sha256: there must be 64 hex digits"},
		{"an empty hash", "sha256: alice", ":1: behind sha256: there must be 64 hex digits"},
		{"another hash", "sha512:" + token + " alice", ":1: the token has other characters"},
		{"a user that is not UTF-8", token + " al\xffice", ":1: the user is longer than"},
		{"a user with a control character", token + " al\x00ice", ":1: the user is longer than"},
		{"a very long user", token + " " + strings.Repeat("x", 256), ":1: the user is longer than"},
		{"a name that is not UTF-8", token + " alice Al\xffice", ":1: the name is not UTF-8"},
		{"nothing", "", ": no token in it"},
		{"only comments", "# " + token + " alice\n", ": no token in it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := tokenFile(t, test.content)
			tokens, err := auth.LoadTokens(path)
			if err == nil || tokens != nil || !strings.Contains(err.Error(), path+test.want) {
				t.Errorf("got %v, want %s%s", err, path, test.want)
			}
			if err != nil && (strings.Contains(err.Error(), token) || strings.Contains(err.Error(), hashed(token)[7:27])) {
				t.Errorf("the error quotes the token: %v", err)
			}
		})
	}
	if _, err := auth.LoadTokens(filepath.Join(t.TempDir(), "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestReloadKeepsTheOldTokensWhenTheNewAreBad(t *testing.T) {
	path := tokenFile(t, "old alice\n")
	tokens, err := auth.LoadTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	knows := func(token string) bool {
		_, err := tokens.Authenticate(t.Context(), bearing("Bearer "+token))
		return err == nil
	}
	write := func(content string) {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("new bob\nnew bob\n")
	if err := tokens.Reload(); err == nil || !knows("old") || knows("new") {
		t.Errorf("after a bad file: %v, old %v, new %v", err, knows("old"), knows("new"))
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := tokens.Reload(); err == nil || !knows("old") {
		t.Errorf("without a file: %v, old %v", err, knows("old"))
	}
	write("new bob\n")
	if err := tokens.Reload(); err != nil || knows("old") || !knows("new") {
		t.Errorf("after a good file: %v, old %v, new %v", err, knows("old"), knows("new"))
	}
}

func TestATokenFileThatOthersMayReadIsExposed(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("permissions do not tell there")
	}
	for _, test := range []struct {
		name, content string
		mode          os.FileMode
		want          bool
	}{
		{"only the owner", "token alice", 0o600, false},
		{"the group", "token alice", 0o640, true},
		{"everybody", "token alice", 0o604, true},
		{"everybody, and not all is hashed", "token alice\n" + hashed("other") + " alice", 0o644, true},
		{"everybody, but all is hashed", hashed("token") + " alice", 0o644, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := tokenFile(t, test.content)
			if err := os.Chmod(path, test.mode); err != nil {
				t.Fatal(err)
			}
			tokens, err := auth.LoadTokens(path)
			if err != nil {
				t.Fatal(err)
			}
			if tokens.Exposed() != test.want {
				t.Errorf("Exposed: %v", tokens.Exposed())
			}
		})
	}
}
