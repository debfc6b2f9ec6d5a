package flags

import "github.com/lmcache-go/lmcache/internal/cli"

// Logs holds the flags of what listens to the event bus and writes lines.
type Logs struct {
	DisableLogging     bool   `name:"disable-logging" group:"Observability" help:"No DEBUG messages about events; other messages remain"`
	RequestLog         string `name:"request-log" group:"Observability" placeholder:"PATH" help:"File that gets a JSON line for each finished request; - is stdout"`
	RequestLogMaxSize  int64  `name:"request-log-max-size" group:"Observability" default:"104857600" min:"1" help:"Bytes of a file of the request log before the next one begins"`
	RequestLogMaxFiles int    `name:"request-log-max-files" group:"Observability" default:"10" min:"1" help:"Files of the request log that are kept, those of earlier runs included"`
}

// check reports values without effect.
func (l *Logs) check(p *cli.Problems) {
	if l.RequestLog != "" && l.RequestLog != "-" {
		return
	}
	for _, name := range []string{"request-log-max-size", "request-log-max-files"} {
		if p.IsSet(name) {
			p.Warn("--%s has no effect without --request-log that names a file", name)
		}
	}
}
