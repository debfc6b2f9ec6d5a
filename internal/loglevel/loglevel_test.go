package loglevel

import (
	"log/slog"
	"strings"
	"testing"
)

func TestParseLevel(t *testing.T) {
	for name, want := range map[string]slog.Level{
		"debug": slog.LevelDebug, "INFO": slog.LevelInfo, "Warning": slog.LevelWarn, "error": slog.LevelError, "CRITICAL": Critical,
	} {
		if got, ok := Parse(name); !ok || got != want {
			t.Errorf("Parse(%q) = %v, %v", name, got, ok)
		}
		if Name(want) != strings.ToUpper(name) {
			t.Errorf("Name(%v) = %q", want, Name(want))
		}
	}
	if got, ok := Parse("loud"); ok || got != slog.LevelInfo {
		t.Errorf("ParseLevel of nonsense = %v, %v", got, ok)
	}
}
