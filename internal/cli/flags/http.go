package flags

import "github.com/lmcache-go/lmcache/internal/cli"

// HTTP holds the flags of the HTTP front end.
type HTTP struct {
	Host      string   `name:"http-host" group:"HTTP" default:"127.0.0.1" help:"Address of the HTTP front end"`
	Port      int      `name:"http-port" group:"HTTP" default:"8080" min:"0" max:"65535" help:"Port of the HTTP front end; 0 takes any free one"`
	Disable   bool     `name:"disable-http" group:"HTTP" help:"No HTTP front end"`
	TokenFile string   `name:"admin-token-file" group:"HTTP" placeholder:"FILE" help:"File with the token that whoever changes something has to show, at least 16 characters; read again on SIGHUP (LMCACHE_ADMIN_TOKEN may hold the token itself)"`
	AuthAll   bool     `name:"http-auth-all" group:"HTTP" help:"Everything but probes needs the token"`
	Insecure  bool     `name:"http-insecure-admin" group:"HTTP" help:"Without a token, an address that others reach lets everybody change the cache"`
	TLSCert   string   `name:"tls-cert" group:"HTTP" placeholder:"FILE" help:"Certificate of the front end (PEM, with those it depends on): https instead of http; read again when it changes"`
	TLSKey    string   `name:"tls-key" group:"HTTP" placeholder:"FILE" help:"Private key of --tls-cert (PEM)"`
	Allowed   []string `name:"http-allowed-host" group:"HTTP" placeholder:"NAME" help:"Further names by which clients may call the front end (can be repeated)"`
	Aliases   bool     `name:"http-aliases" group:"HTTP" default:"true" help:"Answer the paths of older versions of LMCache too"`

	token string
}

// Check reports values that do not fit each other, and a token that cannot be had.
func (h *HTTP) Check(p *cli.Problems) {
	checkPair(p, "tls-cert", "tls-key", h.TLSCert, h.TLSKey)
	h.token = token(p, "admin-token-file", h.TokenFile)
	if h.AuthAll && h.token == "" && !p.IsBad("admin-token-file") {
		p.Flag("http-auth-all", "needs a token (--admin-token-file)")
	}
	if h.AuthAll && h.Insecure {
		p.Flag("http-insecure-admin", "excludes --http-auth-all")
	}
}

// AdminToken is the administrator's token, "" if there is none. Check reads it.
func (h *HTTP) AdminToken() string { return h.token }

// Listener is where the front end listens; port 0 if nowhere that is known before.
func (h *HTTP) Listener() Listener {
	if h.Disable {
		return Listener{}
	}
	return Listener{Flag: "http-port", Host: h.Host, Port: h.Port}
}
