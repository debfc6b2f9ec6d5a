package flags

import (
	"net/netip"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// Listener is an address that a command opens.
type Listener struct {
	Flag string // that sets the port, without dashes
	Host string
	Port int // 0: any free port, or no listener
}

// CheckListeners reports two listeners on one address and port.
func CheckListeners(p *cli.Problems, listeners ...Listener) {
	for i, a := range listeners {
		for _, b := range listeners[:i] {
			if a.Port == 0 || a.Port != b.Port || !sameHost(a.Host, b.Host) {
				continue
			}
			p.Flag(a.Flag, "port %d is also that of --%s (choose another)", a.Port, b.Flag)
		}
	}
}

// sameHost tells whether two listeners on one port would collide.
func sameHost(a, b string) bool {
	a, b = hostAddr(a), hostAddr(b)
	return a == b || isWildcard(a) || isWildcard(b)
}

// hostAddr writes a host's address in one form.
func hostAddr(host string) string {
	switch host {
	case "localhost":
		return "127.0.0.1"
	case "":
		return "::"
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().String()
	}
	return host
}

func isWildcard(host string) bool { return host == "::" || host == "0.0.0.0" }
