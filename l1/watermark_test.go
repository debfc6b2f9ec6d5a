package l1_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// single is n prompts of one chunk each.
func single(from, n int) []kv.Key {
	keys := make([]kv.Key, n)
	for i := range keys {
		keys[i] = chunk(from+i, 0)
	}
	return keys
}

// storeSingly stores each key in a call of its own, so that none is linked.
func (f *fixture) storeSingly(keys ...kv.Key) (stored int) {
	f.t.Helper()
	for _, k := range keys {
		stored += f.store(1, k)
	}
	return stored
}

// A round takes the ratio of what is tracked, oldest first, and at least one.
func TestWatermarkRound(t *testing.T) {
	for _, tt := range []struct {
		name      string
		objects   int // capacity
		watermark float64
		ratio     float64
		stored    int
		left      int
	}{
		{"below", 10, 0.8, 0.2, 7, 7},
		{"one round", 10, 0.8, 0.2, 8, 7},         // floor(8 x 0.2) = 1
		{"a larger round", 100, 0.8, 0.2, 80, 64}, // 16
		{"at least one", 10, 0.8, 0.01, 8, 7},
		{"goes on to the end of its target", 10, 0.5, 1, 5, 0},
		{"several holds", 1000, 0.5, 0.5, 500, 250},
		{"nothing", 10, 0.8, l1.NoEvictionRatio, 10, 10},
		{"several rounds", 100, 0.5, 0.1, 60, 49}, // 6, and then 5
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, l1.Options{
				Bytes: int64(tt.objects) * unit, NoBytes: true, Mode: l1.ModeWatermark,
				Watermark: tt.watermark, EvictionRatio: tt.ratio,
			})
			keys := single(0, tt.stored)
			for _, k := range keys { // nothing is evicted before the evictor's turn
				f.reserve(l1.WriteNew, k).Finish(f.now(), l1.OriginNew)
			}
			f.advance(0)
			if n := f.resident(append(keys, chunk(-1, 0))...); n != tt.left {
				t.Errorf("%d of %d objects are left, want %d", n, tt.stored, tt.left)
			}
			if n := f.resident(append(keys[:tt.stored-tt.left], chunk(-1, 0))...); n != 0 {
				t.Errorf("%d of the oldest are still there", n)
			}
			if s := f.m.Stats(); s.EvictedObjects != int64(tt.stored-tt.left) || !s.EvictorSince.IsZero() || s.DeniedObjects != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// Rounds go on until usage is below the watermark, and again when leases that kept
// it from that end.
func TestWatermarkRepeatsAndWakesUp(t *testing.T) {
	f := newFixture(t, l1.Options{Bytes: 100 * unit, NoBytes: true, Mode: l1.ModeWatermark, Watermark: 0.5, EvictionRatio: 0.1})
	keys := single(0, 90)
	for _, k := range keys {
		f.reserve(l1.WriteNew, k).Finish(f.now(), l1.OriginNew)
	}
	leases := f.read(1, keys[:60]...)
	f.advance(0)
	if s := f.m.Stats(); s.Objects != 60 || !s.EvictorSince.IsZero() {
		t.Fatalf("%d objects are left of 60 leased ones; the evictor works since %v", s.Objects, s.EvictorSince)
	}
	leases.Release(f.now(), l1.All(5), 1, l1.CauseRead)
	f.advance(0)
	if n := f.m.Stats().Objects; n != 55 {
		t.Fatalf("%d objects are left after 5 were given back, want 55", n)
	}
	leases.Finish(f.now(), l1.CauseRead)
	f.advance(0)
	if n := f.m.Stats().Objects; n != 45 { // two rounds of 5: 50 is not below the watermark
		t.Fatalf("%d objects are left, want 45", n)
	}
}

// REQ-S31: the crossing itself wakes the evictor, not a timer that happens to run,
// and a burst into full memory finds room all the same.
func TestREQ_S31_BurstsNeedNoTimer(t *testing.T) {
	for _, mode := range []l1.Mode{l1.ModeExact, l1.ModeWatermark} {
		synctest.Test(t, func(t *testing.T) {
			m, err := l1.New(l1.Options{Bytes: 256 * unit, NoBytes: true, Mode: mode})
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			layout := layoutOf(t, unit)
			for i := range 40 {
				w, err := m.ReserveWrite(time.Now(), chunks(i, 0, 64), layout, l1.WriteNew, l1.WriteOptions{})
				if err != nil {
					t.Fatal(err)
				}
				for p := range 64 {
					if w.Code(p) != l1.Success {
						t.Fatalf("%s: batch %d, key %d: %v", mode, i, p, w.Code(p))
					}
				}
				w.Finish(time.Now(), l1.OriginNew)
			}
			synctest.Wait()
			if s := m.Stats(); mode == l1.ModeWatermark && s.UsedBytes >= s.CapacityBytes*8/10 {
				t.Errorf("%d of %d bytes are used when all is still", s.UsedBytes, s.CapacityBytes)
			}
			if d := time.Since(start); d != 0 {
				t.Errorf("it took %v of time", d)
			}
			if err := m.Check(); err != nil {
				t.Error(err)
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Round after round, chains go from their end and the ranks of a chunk together.
func TestREQ_S38_S39_RoundsKeepPrefixesAndRanks(t *testing.T) {
	f := newFixture(t, l1.Options{Bytes: 64 * unit, NoBytes: true, Mode: l1.ModeWatermark, Watermark: 0.9, EvictionRatio: 0.3})
	const world, length = 4, 5
	for prompt := range 40 {
		var keys []kv.Key
		for i := range length {
			for rank := range world {
				keys = append(keys, rankOf(prompt, i, rank, world))
			}
		}
		w := f.reserve(l1.WriteNew, keys...)
		w.Finish(f.now(), l1.OriginNew)
		f.advance(0)
		f.check()
		for p := range prompt + 1 {
			gone := false
			for i := range length {
				n := 0
				for rank := range world {
					n += f.resident(rankOf(p, i, rank, world))
				}
				if n != 0 && n != world {
					t.Fatalf("%d of %d ranks of prompt %d, chunk %d are left", n, world, p, i)
				}
				if n > 0 && gone {
					t.Fatalf("prompt %d: chunk %d is left and its predecessor is not", p, i)
				}
				gone = gone || n == 0
			}
		}
	}
	if s := f.m.Stats(); s.PrefixBreaks != 0 || s.EvictedObjects == 0 {
		t.Errorf("%d prefix breaks, %d evicted", s.PrefixBreaks, s.EvictedObjects)
	}
}

// ticks collects the ticks.
type ticks struct{ got []l1.EvictionLoopTick }

func (*ticks) Name() string { return "ticks" }

func (c *ticks) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(e l1.EvictionLoopTick, _ time.Time) { c.got = append(c.got, e) })
}

// A tick tells of the second before it: in watermark mode with the usage that the
// last pass found, in exact mode with that of now.
func TestTicks(t *testing.T) {
	bus := eventbus.New(eventbus.Options{Manual: true})
	var seen ticks
	sub, err := bus.Subscribe(&seen)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	for _, mode := range []l1.Mode{l1.ModeWatermark, l1.ModeExact} {
		seen.got = nil
		f := newFixture(t, l1.Options{Bytes: 10 * unit, NoBytes: true, Mode: mode, Bus: bus})
		f.advance(time.Second)
		f.storeSingly(single(0, 8)...)
		f.advance(time.Second)
		f.advance(time.Second)
		f.storeSingly(single(8, 4)...)
		f.advance(time.Second)
		bus.Drain(f.now())
		want := []l1.EvictionLoopTick{
			{Mode: mode, Watermark: 0.8},
			{Mode: mode, Watermark: 0.8, Usage: 0.8, Triggered: true, EvictedKeys: 1, EvictedBytes: unit},
			{Mode: mode, Watermark: 0.8, Usage: 0.7},
			// 7 and 3 are 10, and a fourth evicts one itself; then rounds of two and one
			{Mode: mode, Watermark: 0.8, Usage: 0.8, Triggered: true, EvictedKeys: 4, EvictedBytes: 4 * unit},
		}
		if mode == l1.ModeExact {
			want = []l1.EvictionLoopTick{
				{Mode: mode, Watermark: 1},
				{Mode: mode, Watermark: 1, Usage: 0.8},
				{Mode: mode, Watermark: 1, Usage: 0.8},
				{Mode: mode, Watermark: 1, Usage: 1, Triggered: true, EvictedKeys: 2, EvictedBytes: 2 * unit},
			}
		}
		if len(seen.got) != len(want) {
			t.Fatalf("%s: %d ticks, want %d: %+v", mode, len(seen.got), len(want), seen.got)
		}
		for i := range want {
			if seen.got[i] != want[i] {
				t.Errorf("%s: tick %d is\n%+v, want\n%+v", mode, i, seen.got[i], want[i])
			}
		}
	}
}

// REQ-S81: no mode wakes up when nothing is to be done.
func TestREQ_S81_IdleEvictorSleeps(t *testing.T) {
	for _, o := range []l1.Options{
		{Bytes: 64 * unit, Mode: l1.ModeWatermark},
		{Bytes: 64 * unit, Mode: l1.ModeWatermark, EvictionRatio: l1.NoEvictionRatio},
		{Bytes: 64 * unit, Policy: "IsolatedLRU", Quotas: map[string]int64{"": 32 * unit, "t": 0}},
	} {
		rt := &counting{Virtual: runtime.NewVirtual(runtime.VirtualOptions{})}
		o.Runtime, o.NoBytes = rt, true
		m, err := l1.New(o)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			w, err := m.ReserveWrite(rt.Now(), chunks(i, 0, 1), layoutOf(t, unit), l1.WriteNew, l1.WriteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			w.Finish(rt.Now(), l1.OriginNew)
		}
		if m.Stats().EvictedObjects == 0 {
			t.Error("nothing was evicted: the test proves nothing")
		}
		rt.RunUntil(rt.Now().Add(time.Hour)) // work that is due, and one wake-up of the last lease
		rt.fired = 0
		rt.RunUntil(rt.Now().Add(time.Hour))
		if rt.fired != 0 {
			t.Errorf("%d timers fired in an idle hour", rt.fired)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// REQ-S78: what cannot take effect is refused, all of it at once.
func TestREQ_S78_EvictionOptions(t *testing.T) {
	tests := []struct {
		o    l1.Options
		want []string
	}{
		{l1.Options{}, nil},
		{l1.Options{Mode: l1.ModeWatermark}, nil},
		{l1.Options{Mode: l1.ModeWatermark, Watermark: 1, EvictionRatio: 1}, nil},
		{l1.Options{Policy: "IsolatedLRU", Quotas: map[string]int64{"a": 0}}, nil},
		{l1.Options{Mode: "lazy"}, []string{`Mode: must be exact or watermark, got "lazy"`}},
		{l1.Options{Watermark: 0.5, EvictionRatio: 0.5}, []string{
			"Watermark: takes effect with the mode watermark only, got 0.5 with exact", "EvictionRatio: takes effect with the mode watermark only",
		}},
		{l1.Options{Mode: l1.ModeWatermark, Watermark: 1.5, EvictionRatio: 2}, []string{"Watermark: must be above 0 and at most 1, got 1.5", "EvictionRatio: must be"}},
		{l1.Options{Mode: l1.ModeWatermark, Watermark: -1, EvictionRatio: -0.5}, []string{"Watermark: must be", "EvictionRatio: must be"}},
		{l1.Options{Mode: l1.ModeWatermark, Policy: "noop"}, []string{"Mode: watermark has no effect with the policy noop"}},
		{l1.Options{Quotas: map[string]int64{"a": 1}}, []string{"Quotas: quotas need an eviction policy that isolates tenants, as IsolatedLRU, got LRU"}},
		{l1.Options{Policy: "IsolatedLRU", Quotas: map[string]int64{"a": -1, "b@": 1}}, []string{`bytes of salt "a": must not be negative, got -1`, `cache_salt contains "@"`}},
		{l1.Options{NewPolicy: nilPolicy, Policy: "LRU"}, []string{"NewPolicy: cannot be combined with the policy LRU"}},
		{l1.Options{NewPolicy: nilPolicy}, []string{"NewPolicy: it returned nil"}},
	}
	for _, tt := range tests {
		tt.o.Bytes = unit
		err := tt.o.Validate()
		if (err == nil) != (tt.want == nil) {
			t.Errorf("%+v: %v", tt.o, err)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v lacks %q", err, want)
			}
		}
		if m, err := l1.New(tt.o); (err == nil) != (tt.want == nil) {
			t.Errorf("New of %+v: %v", tt.o, err)
		} else if m != nil {
			_ = m.Close()
		}
	}
}

// Memory that is lost raises usage as a reservation does: nobody has to call before
// the evictor looks.
func TestLostMemoryWakesTheEvictor(t *testing.T) {
	leak.Check(t)
	g := newGate(0)
	var commits atomic.Int64
	m := newLive(t, l1.Faulty(l1.Options{Bytes: 20 * step, InitBytes: 5 * step, Mode: l1.ModeWatermark}, step, func(s l1.Step) error {
		if s == l1.StepCommit && commits.Add(1) > 5 {
			return errors.New("no space left")
		}
		return g.fault(s)
	}))
	t.Cleanup(g.open)
	w, n := stage(t, m, layoutOf(t, unit), chunks(1, 0, 5*16)...)
	w.Finish(time.Now(), l1.OriginNew)
	if s := m.Stats(); n != 5*16 || s.EvictedObjects != 0 {
		t.Fatalf("%d granted: %+v", n, s)
	}
	g.open()
	until(t, "eviction", func() bool { return m.Stats().UsedBytes < 4*step })
	if s := m.Stats(); s.CapacityBytes != 5*step {
		t.Errorf("%+v", s)
	}
}
