package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lmcache-go/lmcache/internal/loglevel"
)

// LogOptions configures a handler.
type LogOptions struct {
	Level  slog.Leveler // nil: INFO
	JSON   bool
	Colors bool // text form only
}

// NewLogHandler returns the handler that the program logs through. The text
// form is one line per record:
//
//	[YYYY-MM-DD HH:MM:SS,mmm] LMCache LEVEL: message (file.go:LINE:package)
//
// Messages of what goes as it should carry their values, so attributes appear in the
// JSON form alone. Errors follow the message if it does not quote them, and so do, in
// brackets, the other attributes of warnings and errors, up to 200 bytes each. The
// handler may be used by several goroutines; w gets one Write per record.
func NewLogHandler(w io.Writer, o LogOptions) slog.Handler {
	if o.Level == nil {
		o.Level = slog.LevelInfo
	}
	if o.JSON {
		return slog.NewJSONHandler(w, &slog.HandlerOptions{AddSource: true, Level: o.Level, ReplaceAttr: jsonAttr})
	}
	return &logHandler{out: &lineWriter{w: w}, level: o.Level, colors: o.Colors}
}

// jsonAttr names the levels as the text form does.
func jsonAttr(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.LevelKey {
		if l, ok := a.Value.Any().(slog.Level); ok {
			a.Value = slog.StringValue(loglevel.Name(l))
		}
	}
	return a
}

// lineWriter lets one line through at a time.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) write(line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.w.Write(line)
	return err
}

type logHandler struct {
	out    *lineWriter
	level  slog.Leveler
	colors bool
	attrs  []slog.Attr // of the logger, without those of tier
	tier   tierName    // of whom the logger tells
}

const (
	colorReset   = "\x1b[0m"
	colorTrailer = "\x1b[3m"
)

func levelColor(l slog.Level) string {
	switch loglevel.Name(l) {
	case "DEBUG":
		return "\x1b[1m"
	case "INFO":
		return "\x1b[32;20m"
	case "WARNING":
		return "\x1b[33;20m"
	case "ERROR":
		return "\x1b[31;20m"
	}
	return "\x1b[31;1m"
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// WithGroup implements slog.Handler. Groups have no place in the text form.
func (h *logHandler) WithGroup(string) slog.Handler { return h }

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.attrs = append([]slog.Attr(nil), h.attrs...)
	for _, a := range attrs {
		if !next.tier.take(a) {
			next.attrs = append(next.attrs, a)
		}
	}
	return &next
}

// Handle implements slog.Handler.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	line := make([]byte, 0, 256)
	if h.colors {
		line = append(line, levelColor(r.Level)...)
	}
	line = append(line, '[')
	line = appendTime(line, r.Time)
	line = append(line, "] LMCache "...)
	line = append(append(line, loglevel.Name(r.Level)...), ':')
	if h.colors {
		line = append(line, colorReset...)
	}
	line = append(line, ' ')
	line = append(line, message(r, h.tier, h.attrs)...)
	if where := caller(r.PC); where != "" {
		line = append(line, ' ')
		if h.colors {
			line = append(line, colorTrailer...)
		}
		line = append(line, where...)
		if h.colors {
			line = append(line, colorReset...)
		}
	}
	return h.out.write(append(line, '\n'))
}

// appendTime writes local time with a comma before the milliseconds.
func appendTime(b []byte, t time.Time) []byte {
	b = t.AppendFormat(b, "2006-01-02 15:04:05")
	ms := strconv.Itoa(t.Nanosecond() / int(time.Millisecond))
	b = append(b, ",000"[:4-len(ms)]...)
	return append(b, ms...)
}

// plain is text without control characters and bytes that are not UTF-8, which could
// end the line or change what a terminal shows: they are written as Go writes them.
func plain(text string) string {
	if strings.IndexFunc(text, control) < 0 {
		return text
	}
	b := make([]byte, 0, len(text)+16)
	for i, c := range text {
		switch {
		case !control(c):
			b = utf8.AppendRune(b, c)
		case c == utf8.RuneError && strings.HasPrefix(text[i:], "\uFFFD"):
			b = utf8.AppendRune(b, c)
		case c == utf8.RuneError:
			b = fmt.Appendf(b, `\x%02x`, text[i])
		default:
			quoted := strconv.QuoteRune(c)
			b = append(b, quoted[1:len(quoted)-1]...)
		}
	}
	return string(b)
}

func control(c rune) bool { return unicode.IsControl(c) || c == utf8.RuneError }

// caller is "(file.go:LINE:package)" of the call that logged.
func caller(pc uintptr) string {
	if pc == 0 {
		return ""
	}
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	pkg, _, _ := strings.Cut(path.Base(frame.Function), ".")
	return "(" + path.Base(frame.File) + ":" + strconv.Itoa(frame.Line) + ":" + pkg + ")"
}
