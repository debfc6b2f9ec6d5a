package flags

import (
	"crypto/tls"

	"github.com/lmcache-go/lmcache/internal/cli"
)

// checkPair reports a certificate without its key, a key without its certificate, and
// what cannot be read.
func checkPair(p *cli.Problems, certFlag, keyFlag, cert, key string) {
	switch {
	case cert == "" && key == "":
	case key == "":
		p.Flag(certFlag, "needs --%s", keyFlag)
	case cert == "":
		p.Flag(keyFlag, "needs --%s", certFlag)
	default:
		if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
			p.Machine(certFlag, "%v", err)
		}
	}
}
