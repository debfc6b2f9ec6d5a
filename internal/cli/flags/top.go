package flags

import "github.com/lmcache-go/lmcache/internal/cli"

// Top holds the flags of the live view.
type Top struct {
	Server   string      `arg:"" optional:"" name:"url" help:"URL or HOST:PORT of the server's metrics; the same as --url"`
	URL      string      `name:"url" group:"View" default:"http://localhost:9090/metrics" placeholder:"URL" help:"URL or HOST:PORT of the server's metrics"`
	Interval cli.Seconds `name:"interval" group:"View" default:"1" help:"Time between two readings, which rates and quantiles are of: 0.2 to 300"`
	Timeout  cli.Seconds `name:"timeout" group:"View" default:"10" above:"0" help:"How long to wait for an answer"`
	CAFile   string      `name:"ca-file" group:"View" placeholder:"FILE" help:"File with the certificates (PEM) that vouch for the server, in place of the system's"`
	Insecure bool        `name:"insecure" group:"View" help:"Believe any certificate"`
	Token    string      `name:"token-file" group:"View" placeholder:"FILE" help:"File with the administrator's token, for a front end whose --http-auth-all asks for it (LMCACHE_ADMIN_TOKEN may hold the token itself)"`
	Once     bool        `name:"once" group:"View" help:"Print one frame, after one interval, and end; the same without a terminal"`
	JSON     bool        `name:"json" group:"View" help:"As --once, but the values as a JSON document"`
	Tenants  int         `name:"tenants" group:"View" default:"0" min:"0" help:"Tenants that are shown at most; 0: all that fit on the screen, 20 in a single frame"`
	Sort     string      `name:"sort" group:"View" default:"tokens" choices:"tokens,total,hits,salt" help:"Order of tenants: tokens asked for now, in total, lowest hit rate now, name"`
	Slow     cli.Seconds `name:"slow" group:"View" default:"1" above:"0" help:"Operations that took longer are listed as slow; the next bound of the histogram counts"`
	NoColor  bool        `name:"no-color" group:"View" help:"No colours, as with NO_COLOR"`

	token string
}

// Check reports values that do not fit each other, and a token that cannot be had.
func (t *Top) Check(p *cli.Problems) {
	if t.CAFile != "" && t.Insecure {
		p.Flag("insecure", "excludes --ca-file")
	}
	t.token = token(p, "token-file", t.Token)
}

// AdminToken is the administrator's token, "" if there is none. Check reads it.
func (t *Top) AdminToken() string { return t.token }
