package l1

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// warning is a record to be logged by the timer, outside the mutex.
type warning struct {
	level slog.Level
	text  string
	attrs []slog.Attr
}

func expiryWarning(l *lease, age time.Duration, keys int) warning {
	return warning{slog.LevelWarn, "L1 lease expired before it was given back", []slog.Attr{
		slog.String("kind", string(l.kind)), slog.String("owner", l.owner), slog.Duration("age", age), slog.Int("keys", keys),
	}}
}

// usageMessage says what follows from usage in watermark mode.
func usageMessage(usage, watermark float64) warning {
	w := warning{slog.LevelInfo, "L1 memory usage %.2f above watermark %.2f; triggering eviction.", []slog.Attr{
		slog.Float64("usage", usage), slog.Float64("watermark", watermark),
	}}
	if usage < watermark {
		w.level, w.text = slog.LevelDebug, "L1 memory usage %.2f below watermark %.2f; skipping eviction."
	}
	w.text = fmt.Sprintf(w.text, usage, watermark)
	return w
}

func policyWarning(name, failure string) warning {
	return warning{slog.LevelError, "L1 eviction policy failed; LRU goes on in its place", []slog.Attr{
		slog.String("policy", name), slog.String("failure", failure),
	}}
}

// warnLocked has a warning written soon.
func (m *Manager) warnLocked(w warning) {
	m.mu.warnings = append(m.mu.warnings, w)
	m.hastenLocked()
}

// hastenLocked lets the timer fire now: it writes the warnings, outside the mutex.
func (m *Manager) hastenLocked() {
	if m.mu.timer == nil || m.mu.timer.Stop() { // else it is firing already
		m.mu.timer = nil
		m.armLocked()
	}
}

// logger is where a caller who does not hold the mutex may write.
func (m *Manager) logger() *slog.Logger {
	m.mu.mustBeFree("a log")
	return m.o.Logger
}

func (m *Manager) log(warnings []warning) {
	for _, w := range warnings {
		m.logger().LogAttrs(context.Background(), w.level, w.text, w.attrs...) //nolint:forbidigo // a record without a caller
	}
}
