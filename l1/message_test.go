package l1_test

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
)

// REQ-O51: the messages of watermark mode, word for word: INFO when eviction begins, once
// a second at most, DEBUG in the seconds in which it does not.
func TestREQ_O51_WatermarkMessages(t *testing.T) {
	var log bytes.Buffer
	h := slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	bus := eventbus.New(eventbus.Options{Manual: true})
	f := newFixture(t, l1.Options{
		Bytes: 10 * unit, NoBytes: true, Mode: l1.ModeWatermark, Watermark: 0.8, EvictionRatio: 0.1, Logger: slog.New(h), Bus: bus,
	})
	if _, err := bus.Subscribe(&ticks{}); err != nil {
		t.Fatal(err)
	}
	said := func(want string) {
		t.Helper()
		if diff := cmp.Diff(want, log.String()); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
		log.Reset()
	}
	f.storeSingly(single(0, 5)...)
	f.advance(1100 * time.Millisecond)
	said("level=DEBUG msg=\"L1 memory usage 0.50 below watermark 0.80; skipping eviction.\" usage=0.5 watermark=0.8\n")
	f.storeSingly(single(5, 3)...)
	f.advance(0)
	f.storeSingly(chunk(8, 0))
	f.advance(0) // another round in the same second
	said("level=INFO msg=\"L1 memory usage 0.80 above watermark 0.80; triggering eviction.\" usage=0.8 watermark=0.8\n")
	f.advance(time.Second) // the tick of a second with rounds says nothing more
	said("")
	f.storeSingly(single(9, 2)...)
	f.advance(0)
	said("level=INFO msg=\"L1 memory usage 0.90 above watermark 0.80; triggering eviction.\" usage=0.9 watermark=0.8\n")
}
