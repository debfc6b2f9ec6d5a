// Package loglevel has the names of the levels of the program's log, which are
// LMCache's.
package loglevel

import (
	"log/slog"
	"strings"
)

// Critical is above slog's own levels.
const Critical = slog.LevelError + 4

// Parse returns the level of a name, in any case; ok is false for a name
// that is none of DEBUG, INFO, WARNING, ERROR and CRITICAL.
func Parse(name string) (level slog.Level, ok bool) {
	switch strings.ToUpper(name) {
	case "DEBUG":
		return slog.LevelDebug, true
	case "INFO":
		return slog.LevelInfo, true
	case "WARNING":
		return slog.LevelWarn, true
	case "ERROR":
		return slog.LevelError, true
	case "CRITICAL":
		return Critical, true
	}
	return slog.LevelInfo, false
}

// Name is the name of the highest level that is not above l.
func Name(l slog.Level) string {
	switch {
	case l >= Critical:
		return "CRITICAL"
	case l >= slog.LevelError:
		return "ERROR"
	case l >= slog.LevelWarn:
		return "WARNING"
	case l >= slog.LevelInfo:
		return "INFO"
	}
	return "DEBUG"
}
