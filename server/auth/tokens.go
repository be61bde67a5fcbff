package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/seed73300619/relay/server"
)

// hashPrefix marks a token that is given by its hash.
const hashPrefix = "sha256:"

// Tokens knows clients by bearer tokens from a file. A line of it is
//
//	TOKEN USER [NAME ...]
//
// with blanks or tabs between: whoever sends "Authorization: Bearer TOKEN" is
// USER, and NAME is what people read. A user may have several tokens, a token
// only one user. Instead of a token the line may have its hash, sha256:HEX (64
// hex digits), so that the file holds no secret. Empty lines and those that
// begin with # are left out. Tokens consist of letters, digits and -._~+/=.
//
// A client without a token is refused with 4001, one with an unknown token with
// 4002. Who has registered keeps the registration when the token is taken out;
// it takes effect when they register next.
//
// A Tokens is made by [LoadTokens] and may be used concurrently.
type Tokens struct {
	path   string
	loaded atomic.Pointer[tokenFile]
}

// A tokenFile is what the file held. Tokens are looked up by their hash, which
// takes no longer or shorter for a token that is nearly right: what a lookup's
// time can tell is about the hash, and nobody can choose a token by that.
type tokenFile struct {
	users map[tokenHash]server.User
	plain bool // some token is not hashed
	open  bool // others than the owner may read it
}

type tokenHash [sha256.Size]byte

// LoadTokens reads the file. Its errors name the file and the line, and quote
// neither. A file without any token is an error.
func LoadTokens(path string) (*Tokens, error) {
	t := &Tokens{path: path}
	if err := t.Reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// Reload reads the file again. If it is bad, as [LoadTokens] has it, what was
// loaded before stays.
func (t *Tokens) Reload() error {
	f, err := readTokens(t.path)
	if err != nil {
		return fmt.Errorf("auth: reading tokens: %w", err)
	}
	t.loaded.Store(f)
	return nil
}

// Exposed reports whether the file, when it was loaded, had tokens that are not
// hashed and could be read by its group or by everybody: a thing to warn about.
// On Windows, where permissions do not tell, it is false.
func (t *Tokens) Exposed() bool {
	f := t.loaded.Load()
	return f.plain && f.open
}

// Authenticate implements [server.Authenticator].
func (t *Tokens) Authenticate(_ context.Context, c *server.Credentials) (server.User, error) {
	token, err := bearer(c.Header)
	if err != nil {
		return server.User{}, err
	}
	user, ok := t.loaded.Load().users[sha256.Sum256([]byte(token))]
	if !ok {
		return server.User{}, errRevoked
	}
	return user, nil
}

func readTokens(path string) (*tokenFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	f := &tokenFile{
		users: make(map[tokenHash]server.User),
		open:  runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0,
	}
	lines := make(map[tokenHash]int)
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		hash, user, err := parseLine(fields)
		if err == nil && lines[hash] != 0 {
			err = fmt.Errorf("the same token as in line %d; take one of them out", lines[hash])
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, number, err)
		}
		lines[hash], f.users[hash] = number, user
		f.plain = f.plain || !strings.HasPrefix(fields[0], hashPrefix)
	}
	if len(f.users) == 0 {
		return nil, fmt.Errorf("%s: no token in it, so nobody could connect; a line is TOKEN USER [NAME]", path)
	}
	return f, nil
}

func parseLine(fields []string) (hash tokenHash, user server.User, err error) {
	if len(fields) < 2 {
		return hash, user, errors.New("no user behind the token; a line is TOKEN USER [NAME]")
	}
	user = server.User{ID: fields[1], Name: strings.Join(fields[2:], " ")}
	if !validID(user.ID) {
		return hash, user, fmt.Errorf("the user is longer than %d bytes, or has control characters or no UTF-8 in it", maxID)
	}
	if !utf8.ValidString(user.Name) {
		return hash, user, errors.New("the name is not UTF-8")
	}
	if digits, ok := strings.CutPrefix(fields[0], hashPrefix); ok {
		n, err := hex.Decode(hash[:], []byte(digits[:min(len(digits), hex.EncodedLen(len(hash)))]))
		if err != nil || n != len(hash) || len(digits) != hex.EncodedLen(n) {
			return hash, user, errors.New("behind sha256: there must be 64 hex digits")
		}
		return hash, user, nil
	}
	if strings.ContainsFunc(fields[0], notInToken) {
		return hash, user, errors.New("the token has other characters than letters, digits and -._~+/=")
	}
	return sha256.Sum256([]byte(fields[0])), user, nil
}

func notInToken(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/=", r)
}
