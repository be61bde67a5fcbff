package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
)

// proxy returns the proxy to use, nil for none.
func (a *attempt) proxy() (*url.URL, error) {
	a.step = StepProxy
	asked := &http.Request{Method: http.MethodGet, Header: make(http.Header), Host: a.target.Host, URL: new(url.URL)}
	*asked.URL = *a.target
	asked.URL.User = nil
	asked.URL.Scheme = map[string]string{"ws": "http", "wss": "https"}[a.target.Scheme] // what proxy settings know
	if a.dialer.Proxy != nil {
		return a.dialer.Proxy(asked)
	}
	proxy, err := http.ProxyFromEnvironment(asked)
	if err != nil {
		return nil, errors.New("the proxy address in the environment is not valid") // err repeats it, password and all
	}
	return proxy, nil
}

// tunnel has the proxy connect us to the target.
func (a *attempt) tunnel(ctx context.Context, conn net.Conn, proxy *url.URL) (net.Conn, error) {
	switch proxy.Scheme {
	case "http":
		return conn, a.tunnelHTTP(conn, proxy)
	case "https":
		conn, err := a.secure(ctx, conn, proxy.Hostname())
		if err != nil {
			return nil, err
		}
		return conn, a.tunnelHTTP(conn, proxy)
	case "socks5", "socks5h":
		return conn, a.tunnelSOCKS(conn, proxy)
	}
	return nil, fmt.Errorf("proxy scheme %q is not supported", proxy.Scheme)
}

// tunnelHTTP asks with the CONNECT method of HTTP.
func (a *attempt) tunnelHTTP(conn net.Conn, proxy *url.URL) error {
	request := &http.Request{
		Method: http.MethodConnect,
		URL:    &url.URL{Opaque: hostPort(a.target)},
		Host:   hostPort(a.target),
		Header: make(http.Header),
	}
	if proxy.User != nil {
		request.Header.Set("Proxy-Authorization", basic(proxy.User))
	}
	w := &wire{Conn: conn}
	if err := request.Write(w); err != nil {
		return err
	}
	reader := bufio.NewReader(w)
	answer, err := http.ReadResponse(reader, request)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New("the proxy refused the tunnel")
	}
	if err != nil {
		return a.refused(w, answer, err)
	}
	if reader.Buffered() > 0 {
		return errors.New("the proxy sent data before the tunnel was used")
	}
	return nil
}

// tunnelSOCKS asks by SOCKS 5 (RFC 1928, and RFC 1929 for the password). The
// proxy resolves the name.
func (a *attempt) tunnelSOCKS(conn net.Conn, proxy *url.URL) error {
	const version, noAuth, password = 5, 0, 2
	method := byte(noAuth)
	if proxy.User != nil {
		method = password
	}
	answer, err := exchange(conn, []byte{version, 1, method}, 2)
	if err != nil {
		return err
	}
	if answer[0] != version || answer[1] != method {
		return a.unauthorized()
	}
	if method == password {
		secret, _ := proxy.User.Password()
		login, err := appendShort([]byte{1}, proxy.User.Username())
		if err == nil {
			login, err = appendShort(login, secret)
		}
		if err != nil {
			return err
		}
		if answer, err = exchange(conn, login, 2); err != nil {
			return err
		}
		if answer[1] != 0 {
			return a.unauthorized()
		}
	}
	return a.connectSOCKS(conn)
}

// unauthorized says in the terms of HTTP that a SOCKS proxy does not want us: one
// way to tell is enough.
func (a *attempt) unauthorized() error {
	a.answer = &http.Response{StatusCode: http.StatusProxyAuthRequired}
	return errors.New("the SOCKS proxy does not accept our authentication")
}

// connectSOCKS is the request for the target and its answer.
func (a *attempt) connectSOCKS(conn net.Conn) error {
	const version, connect, ipv4, domain, ipv6 = 5, 1, 1, 3, 4
	host, port, _ := net.SplitHostPort(hostPort(a.target)) // we have just joined them
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return ErrInvalidURL
	}
	request, err := appendShort([]byte{version, connect, 0, domain}, host)
	if err != nil {
		return err
	}
	answer, err := exchange(conn, append(request, byte(number>>8), byte(number)), 5)
	if err != nil {
		return err
	}
	if answer[0] != version || answer[1] != 0 {
		return fmt.Errorf("the SOCKS proxy answered with code %d", answer[1])
	}
	// What follows is the proxy's own address: 4, 16 or n bytes, and a port.
	rest := map[byte]int{ipv4: 4, ipv6: 16, domain: int(answer[4]) + 1}[answer[3]] + 2 - 1
	_, err = exchange(conn, nil, rest)
	return err
}

// exchange writes a request and reads an answer of n bytes.
func exchange(conn net.Conn, request []byte, n int) ([]byte, error) {
	if len(request) > 0 {
		if _, err := conn.Write(request); err != nil {
			return nil, err
		}
	}
	answer := make([]byte, n)
	_, err := io.ReadFull(conn, answer)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return answer, err
}

// appendShort appends s behind its length, as SOCKS wants it.
func appendShort(dst []byte, s string) ([]byte, error) {
	if len(s) > 255 {
		return nil, errors.New("a name is too long for the SOCKS protocol")
	}
	return append(append(dst, byte(len(s))), s...), nil
}
