package transport

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// CheckHeader returns an error that matches [ErrInvalidHeader] if a [Dialer]
// could not send the header: a name is no HTTP token or belongs to the
// handshake, or a value, which may hold a token from anywhere, would end its
// line and begin another.
func CheckHeader(header http.Header) error {
	for name, values := range header {
		if !validName(name) {
			return fmt.Errorf("%w: a name is no HTTP token", ErrInvalidHeader)
		}
		if name = http.CanonicalHeaderKey(name); reserved(name) {
			return fmt.Errorf("%w: %s belongs to the handshake", ErrInvalidHeader, name)
		}
		for _, value := range values {
			if !validValue(value) {
				return fmt.Errorf("%w: the value of %s holds a control character", ErrInvalidHeader, name)
			}
		}
	}
	return nil
}

// requestHeader checks and copies the caller's headers.
func requestHeader(from http.Header, user *url.Userinfo) (http.Header, error) {
	if err := CheckHeader(from); err != nil {
		return nil, err
	}
	header := make(http.Header, len(from)+1)
	for name, values := range from {
		name = http.CanonicalHeaderKey(name)
		header[name] = append(header[name], values...)
	}
	if user != nil && header.Get("Authorization") == "" {
		header.Set("Authorization", basic(user))
	}
	return header, nil
}

// reserved reports whether a header is about the connection or the handshake
// rather than about the request.
func reserved(name string) bool {
	switch name {
	case "Connection", "Upgrade", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding",
		"Content-Length", "Proxy-Connection", "Proxy-Authorization", "Proxy-Authenticate":
		return true
	}
	return strings.HasPrefix(name, "Sec-Websocket-")
}

// validName reports whether name is a token of RFC 9110.
func validName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}

// validValue reports whether value stays on its line.
func validValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// basic is the value of a basic authorization.
func basic(user *url.Userinfo) string {
	password, _ := user.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
}
