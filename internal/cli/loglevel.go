package cli

import (
	"log/slog"
	"strings"
)

// LevelCritical is above slog's own levels.
const LevelCritical = slog.LevelError + 4

// ParseLevel returns the level of a name, in any case; ok is false for a name
// that is none of DEBUG, INFO, WARNING, ERROR and CRITICAL.
func ParseLevel(name string) (level slog.Level, ok bool) {
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
		return LevelCritical, true
	}
	return slog.LevelInfo, false
}

// LevelName is the name of the highest level that is not above l.
func LevelName(l slog.Level) string {
	switch {
	case l >= LevelCritical:
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
