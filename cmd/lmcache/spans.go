package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/observe"
	"github.com/lmcache-go/lmcache/observe/export"
)

// checkEndpoint reports an endpoint that cannot be one.
func checkEndpoint(p *cli.Problems, f *flags.Spans) {
	if f.OTLPEndpoint == "" || p.IsBad("otlp-endpoint") {
		return
	}
	if _, err := observe.ParseEndpoint(f.OTLPEndpoint); err != nil {
		p.Flag("otlp-endpoint", "%v, got %s", err, f.OTLPEndpoint)
	}
}

// openSpans subscribes what makes spans, if the flags ask for any.
func (o *observability) openSpans(f *flags.Observability, stdout io.Writer) (err error) {
	oo := observe.Options{
		Disable: f.Disable, Tracing: f.EnableTracing, OTLPEndpoint: f.OTLPEndpoint, SpanOutput: f.SpanOutput, SpanMaxAge: f.SpanMaxAge.Duration(),
	}
	if id, ok := f.Instance(); ok {
		oo.InstanceID = &id
	}
	o.spans, err = export.OpenSpans(oo, export.Options{Logger: o.log, Stdout: stdout})
	if _, file := errors.AsType[*fs.PathError](err); file {
		return fmt.Errorf("--span-output: %w", err)
	}
	if err != nil || o.spans == nil {
		return err
	}
	subs, err := observe.SpanSubscribers(o.spans.TracerProvider(), observe.SpanOptions{MaxAge: oo.SpanMaxAge, Logger: o.log, Registry: o.sessions})
	if err != nil {
		return err
	}
	for _, sub := range subs {
		if _, err := o.bus.Subscribe(sub); err != nil {
			return err
		}
		if s, ok := sub.(observe.SpanStatsSource); ok {
			o.spanSources = append(o.spanSources, s)
		}
	}
	return nil
}
