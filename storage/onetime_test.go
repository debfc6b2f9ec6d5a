package storage_test

import (
	"context"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/storage"
)

// TestREQ_O34_OneTimePerCall: all events of one call carry one time, that of a clock
// which shows another one whenever it is read.
func TestREQ_O34_OneTimePerCall(t *testing.T) {
	leak.Check(t)
	bus := eventbus.New(eventbus.Options{Manual: true})
	var seen transcript
	if _, err := bus.Subscribe(&seen); err != nil {
		t.Fatal(err)
	}
	m, err := storage.Open(t.Context(), storage.Options{L1: l1Bytes(4), Bus: bus})
	if err != nil {
		t.Fatal(err)
	}
	layout := rawLayout(t, objectBytes)
	bus.Drain(time.Now())
	seen.lines, seen.times = nil, nil
	var last time.Time
	var w storage.WriteLease
	var p *storage.Prefetch
	var r storage.ReadLease
	for _, call := range []struct {
		name   string
		run    func() error
		events int // at least
	}{
		{"reserve", func() (err error) {
			w, err = m.ReserveWrite(t.Context(), keys("abcd"), layout, storage.New, storage.WriteOptions{})
			return err
		}, 2},
		{"finish", func() error { w.Finish(); return nil }, 2},
		{"prefetch", func() (err error) {
			p, err = m.SubmitPrefetch(t.Context(), keys("abx"), layout, storage.PrefetchOptions{})
			return err
		}, 3},
		{"read", func() (err error) {
			r, err = p.Read(t.Context(), storage.Select{Hi: 2})
			return err
		}, 0},
		{"finish reading", func() error { r.Finish(); return nil }, 2},
		{"reserve with eviction, and without room for all", func() (err error) {
			w, err = m.ReserveWrite(t.Context(), keys("efghi"), layout, storage.New, storage.WriteOptions{})
			return err
		}, 4},
		{"finish a part", func() error { w.FinishRange(0, 2); return nil }, 2},
		{"clear", func() error { m.Clear(true); return nil }, 2},
		{"abort what was cleared", func() error { w.Abort(); return nil }, 0},
	} {
		if err := call.run(); err != nil {
			t.Fatalf("%s: %v", call.name, err)
		}
		bus.Drain(time.Now())
		if len(seen.lines) < call.events {
			t.Errorf("%s: events %q, want at least %d", call.name, seen.lines, call.events)
		}
		for i, at := range seen.times {
			if !at.Equal(seen.times[0]) {
				t.Errorf("%s: %q at %v, %q %v later", call.name, seen.lines[0], seen.times[0], seen.lines[i], at.Sub(seen.times[0]))
			}
			if !at.After(last) {
				t.Errorf("%s: %q is not later than what was before", call.name, seen.lines[i])
			}
		}
		if len(seen.times) > 0 {
			last = seen.times[0]
		}
		seen.lines, seen.times = nil, nil
	}
	p.Release()
	if err := m.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	if err := bus.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}
