package flags

import "github.com/lmcache-go/lmcache/internal/cli"

// Spans holds the flags of spans and of the push of metrics.
type Spans struct {
	EnableTracing bool        `name:"enable-tracing" group:"Observability" help:"Push spans of requests to --otlp-endpoint"`
	OTLPEndpoint  string      `name:"otlp-endpoint" group:"Observability" placeholder:"URL" help:"OTLP gRPC collector (URL or HOST:PORT) that metrics are pushed to, besides being scraped"`
	SpanOutput    string      `name:"span-output" group:"Observability" placeholder:"PATH" help:"File that spans are appended to, one per line; stdout is the standard output"`
	SpanMaxAge    cli.Seconds `name:"span-max-age" group:"Observability" default:"3600" above:"0" help:"Give up the spans of a request after so long without any event"`
	OTLPLogs      bool        `name:"otlp-logs" group:"Observability" help:"Push the program's log to --otlp-endpoint as well"`
}

// spanNames are the names of the flags.
func spanNames() []string {
	return []string{"enable-tracing", "otlp-endpoint", "span-output", "span-max-age", "otlp-logs"}
}

// check reports values that do not fit each other. For spans it holds even if nothing is
// observed: a command line that asks for them in vain is a mistake.
func (s *Spans) check(p *cli.Problems, disabled bool) {
	if s.OTLPLogs && s.OTLPEndpoint == "" && !disabled && !p.IsBad("otlp-endpoint") {
		p.Usage("--otlp-logs requires --otlp-endpoint to be set. It is where log records are pushed to.")
	}
	if !s.EnableTracing && s.SpanOutput == "" && !disabled && p.IsSet("span-max-age") {
		p.Warn("--span-max-age has no effect without --enable-tracing or --span-output")
	}
	if !s.EnableTracing || s.OTLPEndpoint != "" || p.IsBad("otlp-endpoint") {
		return
	}
	text := "--enable-tracing requires --otlp-endpoint to be set. Tracing needs an OTLP gRPC endpoint to export spans."
	if s.SpanOutput != "" {
		text += " Without one, use --span-output alone."
	}
	p.Usage("%s", text)
}
