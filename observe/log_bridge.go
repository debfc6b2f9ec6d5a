package observe

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/trace"
)

// LogSession is the attribute of a bridged record that names its session.
const LogSession = "session_id"

// logScope is the instrumentation scope of bridged records.
const logScope = "lmcache"

var errNoLoggerProvider = errors.New("observe: no logger provider")

// LogBridgeOptions configures a log bridge. The zero value is valid.
type LogBridgeOptions struct {
	Level    slog.Leveler  // least level that is bridged; nil: INFO
	Registry *SpanRegistry // whose roots records of sessions belong to; nil: a record belongs to the span of its context, if any
}

// NewLogBridge returns a handler that gives records to lp as OpenTelemetry log records,
// with their time, severity, message and attributes. Beside another handler:
//
//	bridge, err := observe.NewLogBridge(provider, observe.LogBridgeOptions{Level: level, Registry: registry})
//	logger := slog.New(slog.NewMultiHandler(logger.Handler(), bridge))
//
// A record that names a session, by the attribute session, session_id, owner or
// external_request_id, gets the trace and the span of the session's root, if that is
// known by then, and the attribute session_id. Texts are made valid UTF-8: one hostile id
// must not cost a batch of records.
//
// The handler blocks as long as the provider's processors do; those that batch do not.
func NewLogBridge(lp log.LoggerProvider, o LogBridgeOptions) (slog.Handler, error) {
	if lp == nil {
		return nil, errNoLoggerProvider
	}
	if o.Level == nil {
		o.Level = slog.LevelInfo
	}
	return &logBridge{to: otelslog.NewHandler(logScope, otelslog.WithLoggerProvider(lp)), level: o.Level, registry: o.Registry}, nil
}

// logBridge stands before the handler that converts records.
type logBridge struct {
	to       slog.Handler
	level    slog.Leveler
	registry *SpanRegistry
	session  string // among the attributes of the logger
}

// Enabled implements slog.Handler.
func (b *logBridge) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= b.level.Level() && b.to.Enabled(ctx, l)
}

// WithAttrs implements slog.Handler.
func (b *logBridge) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *b
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = cleanAttr(a)
		if id, ok := sessionOf(clean[i]); ok {
			next.session = id
		}
	}
	next.to = b.to.WithAttrs(clean)
	return &next
}

// WithGroup implements slog.Handler.
func (b *logBridge) WithGroup(name string) slog.Handler {
	next := *b
	next.to = b.to.WithGroup(name)
	return &next
}

// Handle implements slog.Handler.
func (b *logBridge) Handle(ctx context.Context, r slog.Record) error {
	session, named := b.session, false
	clean := slog.NewRecord(r.Time, r.Level, validText(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		a = cleanAttr(a)
		if id, ok := sessionOf(a); ok {
			session = id
			named = named || a.Key == LogSession
		}
		clean.AddAttrs(a)
		return true
	})
	if session != "" {
		if !named {
			clean.AddAttrs(slog.String(LogSession, session))
		}
		if root := b.registry.Root(session); root.IsValid() {
			ctx = trace.ContextWithSpanContext(ctx, root)
		}
	}
	return b.to.Handle(ctx, clean)
}

// sessionOf tells whether a names a session, and which.
func sessionOf(a slog.Attr) (id string, ok bool) {
	switch a.Key {
	case "session", LogSession, "owner", "external_request_id":
		if a.Value.Kind() == slog.KindString {
			return a.Value.String(), a.Value.String() != ""
		}
	}
	return "", false
}

// cleanAttr is a with its text, and that of an error, in valid UTF-8.
func cleanAttr(a slog.Attr) slog.Attr {
	a.Key = validText(a.Key)
	a.Value = a.Value.Resolve()
	switch a.Value.Kind() {
	case slog.KindString:
		if text := a.Value.String(); !utf8.ValidString(text) {
			a.Value = slog.StringValue(validText(text))
		}
	case slog.KindGroup:
		group := a.Value.Group()
		clean := make([]slog.Attr, len(group))
		for i := range group {
			clean[i] = cleanAttr(group[i])
		}
		a.Value = slog.GroupValue(clean...)
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok {
			a.Value = slog.StringValue(validText(err.Error()))
		}
	default: // numbers, times and truth
	}
	return a
}

// validText is text in valid UTF-8.
func validText(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
