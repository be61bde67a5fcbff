package transport

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// requestHeader copies and checks the caller's headers, which may hold tokens
// from anywhere: no value may end its line and begin another.
func requestHeader(from http.Header, user *url.Userinfo) (http.Header, error) {
	header := make(http.Header, len(from)+1)
	for name, values := range from {
		if !validName(name) {
			return nil, fmt.Errorf("%w: a name is no HTTP token", ErrInvalidHeader)
		}
		name = http.CanonicalHeaderKey(name)
		if reserved(name) {
			return nil, fmt.Errorf("%w: %s belongs to the handshake", ErrInvalidHeader, name)
		}
		for _, value := range values {
			if !validValue(value) {
				return nil, fmt.Errorf("%w: the value of %s holds a control character", ErrInvalidHeader, name)
			}
			header[name] = append(header[name], value)
		}
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
