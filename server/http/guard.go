package httpserver

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
)

// guard decides whether a request was meant for this listener. Without it a page
// in a browser on the same machine could reach a loopback listener under a name of
// its own.
type guard struct {
	names map[string]bool // lower case, without port
	any   bool            // listens on all addresses: any address is one of its own
	bound netip.Addr
}

func newGuard(addr string, bound net.Addr, allowed []string) guard {
	g := guard{names: make(map[string]bool)}
	if ap, err := netip.ParseAddrPort(bound.String()); err == nil {
		g.bound = ap.Addr().Unmap()
	}
	g.any = g.bound.IsUnspecified()
	if g.any || g.bound.IsLoopback() {
		g.names["localhost"] = true
	}
	if g.any {
		if name, err := os.Hostname(); err == nil {
			g.names[strings.ToLower(name)] = true
		}
	}
	if host, _, err := net.SplitHostPort(addr); err == nil && host != "" {
		g.names[strings.ToLower(host)] = true
	}
	for _, name := range allowed {
		g.names[strings.ToLower(name)] = true
	}
	return g
}

// allows reports whether r may pass, and why not.
func (g guard) allows(r *http.Request) (ok bool, why string) {
	if r.Host != "" && !g.knows(r.Host) { // HTTP/1.0 may have none, and no browser speaks it
		return false, "host not allowed"
	}
	for _, origin := range r.Header.Values("Origin") {
		if u, err := url.Parse(origin); err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return false, "origin not allowed"
		}
	}
	return true, ""
}

// sameSite reports whether r, which allows lets pass, comes from no page of another site,
// and why not: a browser sends no Origin with a plain link or image, but says where that
// was.
func (g guard) sameSite(r *http.Request) (ok bool, why string) {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true, ""
	default:
		return false, "site not allowed"
	}
}

// knows reports whether host, with or without a port, is one of the listener's.
func (g guard) knows(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if g.names[strings.ToLower(host)] {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	ip = ip.Unmap()
	return g.any || ip == g.bound || ip.IsLoopback() && g.bound.IsLoopback()
}
