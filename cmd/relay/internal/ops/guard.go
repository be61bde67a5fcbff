package ops

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guard lets a request through that was made by a person or a program, not by
// a web page of another site: one that had its own name resolve to this
// address, or that just asks across sites.
func (h *Handler) guard(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !h.known(r.Host) {
			answer(w, http.StatusMisdirectedRequest,
				"This page is not shown under this name. Ask for it by IP address or as localhost, or allow the name where the relay is configured.")
			return
		}
		if crossSite(r) {
			answer(w, http.StatusForbidden, "Another site has asked for this.")
			return
		}
		next(w, r)
	}
}

// known reports whether host, as a request gives it, is an address, which
// nobody can make resolve to another one, or a name that was configured.
func (h *Handler) known(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = canonical(host)
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || h.hosts[host]
}

func canonical(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// crossSite reports whether a browser says that another site has caused this
// request. A link that somebody follows is fine.
func crossSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return false
	}
	return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.URL.Path != "/"
}
