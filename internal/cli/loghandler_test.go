package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/loglevel"
)

func TestLogTextForm(t *testing.T) {
	for _, c := range []struct {
		name string
		log  func(*slog.Logger)
		want string // of everything after the time
	}{
		{"info", func(l *slog.Logger) { l.Info("LMCache cache server is running...") }, "LMCache INFO: LMCache cache server is running..."},
		{"values stay in the message", func(l *slog.Logger) { l.Warn("Stored 256 tokens", "tokens", 256) }, "LMCache WARNING: Stored 256 tokens"},
		{"an error follows", func(l *slog.Logger) { l.Error("close", "err", errors.New("disk full")) }, "LMCache ERROR: close: disk full"},
		{"an error that is quoted does not", func(l *slog.Logger) { l.Error("close: disk full", "err", errors.New("disk full")) }, "LMCache ERROR: close: disk full"},
		{"an error of the logger", func(l *slog.Logger) { l.With("err", errors.New("gone"), "n", 1).Error("x") }, "LMCache ERROR: x: gone [n=1]"},
		{"a tier of the logger", func(l *slog.Logger) { l.With("l2_name", "fs").Warn("a tier", "err", errors.New("gone")) }, "LMCache WARNING: a tier (fs): gone"},
		{"a tier and its index", func(l *slog.Logger) { l.With("adapter_index", 1, "l2_name", "fs").Info("a tier") }, "LMCache INFO: a tier (fs#1)"},
		{"a tier of the record", func(l *slog.Logger) { l.Warn("a tier", "l2_name", "fs", "adapter_index", 0) }, "LMCache WARNING: a tier (fs#0)"},
		{
			"what a warning does not say", func(l *slog.Logger) {
				l.Warn("gone", "path", "/a b", "retry_in", 5123456*time.Microsecond, "n", 3, "none", "", "stack", strings.Repeat("x", 201))
			},
			`LMCache WARNING: gone [path="/a b" retry_in=5.12s n=3]`,
		},
		{"what an information does not say", func(l *slog.Logger) { l.Info("it is back", "from", "open") }, "LMCache INFO: it is back"},
		{"a part of a word is no quotation", func(l *slog.Logger) { l.Warn("10 of 21 are gone", "keys", 1, "all", 21) }, "LMCache WARNING: 10 of 21 are gone [keys=1]"},
		{"critical", func(l *slog.Logger) { l.Log(t.Context(), loglevel.Critical, "out of memory") }, "LMCache CRITICAL: out of memory"},
		{"one line", func(l *slog.Logger) { l.Info("a\nb\r\n") }, `LMCache INFO: a\nb\r\n`},
		{"hostile", func(l *slog.Logger) { l.Info("id=\x1b[31m\x00\u009b\xff \uFFFD \u00e9\t") }, `LMCache INFO: id=\x1b[31m\x00\u009b\xff ` + "\uFFFD \u00e9" + `\t`},
		{"a hostile error", func(l *slog.Logger) { l.Error("close", "err", errors.New("\x1b]0;x\a")) }, `LMCache ERROR: close: \x1b]0;x\a`},
		{"groups", func(l *slog.Logger) { l.WithGroup("g").Info("x", "n", 1) }, "LMCache INFO: x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			c.log(slog.New(NewLogHandler(&b, LogOptions{})))
			line := regexp.MustCompile(`^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\] (.*) \(loghandler_test\.go:\d+:cli\)\n$`).FindStringSubmatch(b.String())
			if line == nil || line[1] != c.want {
				t.Errorf("got %q, want …%q", b.String(), c.want)
			}
		})
	}
}

func TestLogTime(t *testing.T) {
	for at, want := range map[time.Time]string{
		time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC):           "2026-01-02 03:04:05,000",
		time.Date(2026, 1, 2, 3, 4, 5, 7_999_999, time.UTC):   "2026-01-02 03:04:05,007",
		time.Date(2026, 1, 2, 3, 4, 5, 67_000_000, time.UTC):  "2026-01-02 03:04:05,067",
		time.Date(2026, 1, 2, 3, 4, 5, 999_000_000, time.UTC): "2026-01-02 03:04:05,999",
	} {
		if got := string(appendTime(nil, at)); got != want {
			t.Errorf("appendTime(%v) = %q, want %q", at, got, want)
		}
	}
}

func TestLogColors(t *testing.T) {
	for level, color := range map[slog.Level]string{
		slog.LevelDebug: "\x1b[1m", slog.LevelInfo: "\x1b[32;20m", slog.LevelWarn: "\x1b[33;20m",
		slog.LevelError: "\x1b[31;20m", loglevel.Critical: "\x1b[31;1m",
	} {
		var b bytes.Buffer
		slog.New(NewLogHandler(&b, LogOptions{Level: slog.LevelDebug, Colors: true})).Log(t.Context(), level, "text")
		want := regexp.MustCompile("^" + regexp.QuoteMeta(color) + `\[.*\] LMCache ` + loglevel.Name(level) + ":\x1b\\[0m text \x1b\\[3m\\(.*\\)\x1b\\[0m\n$")
		if !want.MatchString(b.String()) {
			t.Errorf("%v: got %q", level, b.String())
		}
	}
}

func TestLogLevelCanChange(t *testing.T) {
	var b bytes.Buffer
	level := new(slog.LevelVar)
	log := slog.New(NewLogHandler(&b, LogOptions{Level: level}))
	log.Debug("one")
	level.Set(slog.LevelDebug)
	log.Debug("two")
	level.Set(slog.LevelError)
	log.Warn("three")
	if got := b.String(); strings.Contains(got, "one") || !strings.Contains(got, "two") || strings.Contains(got, "three") {
		t.Errorf("got %q", got)
	}
}

func TestLogJSONForm(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(NewLogHandler(&b, LogOptions{JSON: true, Colors: true}))
	log.Log(t.Context(), loglevel.Critical, "Stored 256 tokens in 0.100 seconds", "tokens", 256, "seconds", 0.1)
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"level": "CRITICAL", "msg": "Stored 256 tokens in 0.100 seconds", "tokens": 256.0, "seconds": 0.1} {
		if got[key] != want {
			t.Errorf("%s = %v, want %v", key, got[key], want)
		}
	}
}
