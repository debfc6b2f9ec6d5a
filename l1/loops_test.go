package l1_test

import (
	"slices"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/eventbus/eventbustest"
	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// deaf is a runtime whose timers fire as long as it hears.
type deaf struct {
	*runtime.Virtual

	ears func() bool
}

// At is the runtime's; what it calls may not hear.
func (d deaf) At(t time.Time, f func()) runtime.Timer {
	return d.Virtual.At(t, func() {
		if d.ears() {
			f()
		}
	})
}

// ticking listens to the ticks.
type ticking struct{}

func (ticking) Name() string { return "Ticking" }

func (ticking) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(l1.EvictionLoopTick, time.Time) {})
}

// TestREQ_O42_Loops: a timer that does not fire shows from its time on, under the
// name of its loop; one that is not needed does not.
func TestREQ_O42_Loops(t *testing.T) {
	hears := true
	rt := deaf{runtime.NewVirtual(runtime.VirtualOptions{}), func() bool { return hears }}
	bus := eventbustest.NewManualBus(t)
	if _, err := bus.Subscribe(ticking{}); err != nil {
		t.Fatal(err)
	}
	layout := layoutOf(t, unit)
	m, err := l1.New(l1.Options{
		Bytes: 8 * unit, NoBytes: true, Runtime: rt, Bus: bus, WriteTTL: time.Hour, Mode: l1.ModeWatermark, Watermark: 0.5, EvictionRatio: 0.5,
	})
	if err != nil {
		t.Fatal(err)
	}
	began := rt.Now()
	check := func(when string, after time.Duration, want ...string) {
		t.Helper()
		rt.RunUntil(began.Add(after))
		var got []string
		for _, l := range m.Stats().Loops {
			if l.Stale() {
				got = append(got, l.Name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q stand, want %q", when, got, want)
		}
	}
	lease, err := m.ReserveWrite(rt.Now(), []kv.Key{{Hash: kv.Hash32([32]byte{1}), Model: "m"}}, layout, l1.WriteNew, l1.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	check("everything works", 30*time.Minute)
	hears = false
	check("the tick is late", 30*time.Minute+11*time.Second)
	check("it does not come", 30*time.Minute+12*time.Second, l1.LoopTick)
	check("the lease has a while to go", time.Hour+10*time.Second, l1.LoopTick)
	check("it has not been ended", time.Hour+11*time.Second, l1.LoopTick, l1.LoopExpiry)

	keys := make([]kv.Key, 5)
	for i := range keys {
		keys[i] = kv.Key{Hash: kv.Hash32([32]byte{2, byte(i)}), Model: "m"}
	}
	w, err := m.ReserveWrite(rt.Now(), keys, layout, l1.WriteNew, l1.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.Finish(rt.Now(), l1.OriginNew)
	lease.Abort(rt.Now(), l1.AbortOwner)
	check("eviction has work", 2*time.Hour, l1.LoopEvictor, l1.LoopTick, l1.LoopExpiry)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	check("closed", 3*time.Hour)
}
