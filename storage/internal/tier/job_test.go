package tier

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// deafSink hears nothing.
type deafSink struct{}

func (deafSink) StateChanged(State, State, string, time.Time) {}
func (deafSink) Evicted([]kv.Key, int64, time.Time)           {}
func (deafSink) Stored([]kv.Key, []int64, time.Time)          {}
func (deafSink) Deleted([]kv.Key, []int64, Cause, time.Time)  {}
func (deafSink) Corrupt([]kv.Key, string, time.Time)          {}
func (deafSink) Room()                                        {}

// opened is a live tier in memory, which ends with the test, and a layout of its objects.
func opened(t *testing.T) (*Tier, kv.Layout) {
	t.Helper()
	a, err := mem.Open(mem.Options{Capacity: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	layout, err := kv.RawLayout(100)
	if err != nil {
		t.Fatal(err)
	}
	rt := runtime.NewLive()
	tier := New(Options{Name: "mem", Adapter: a, Runtime: rt, Logger: slog.New(slog.DiscardHandler), PinTTL: time.Minute, Sink: deafSink{}})
	t.Cleanup(func() {
		tier.Stop(false)
		if err := tier.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		rt.Close()
	})
	return tier, layout
}

func objects(layout kv.Layout) []Object {
	list := make([]Object, 3)
	for i := range list {
		key := kv.Key{Hash: kv.Hash32([32]byte{byte(i + 1)}), Model: "m"}
		list[i] = Object{Key: key, Layout: layout, Data: make([]byte, 100, 4096)}
	}
	return list
}

// keep stores objects in a tier.
func keep(t *Tier, layout kv.Layout) (keys []kv.Key) {
	stored := make(chan struct{})
	list := objects(layout)
	t.Store(&Job{Objects: list, Done: func(*Job) { close(stored) }})
	<-stored
	for i := range list {
		keys = append(keys, list[i].Key)
	}
	return keys
}

// erase deletes keys from a tier.
func erase(t *testing.T, tier *Tier, keys []kv.Key) (freed []int64) {
	t.Helper()
	done := make(chan struct{})
	tier.Delete(keys, func(f []int64, err error) {
		if freed = f; err != nil {
			t.Error(err)
		}
		close(done)
	})
	<-done
	return freed
}

// Who waits for a load may ask what is settled at any time: at the deadline of a prefetch
// its load may just be on the way to the tier.
func TestSettledWhileJobBegins(t *testing.T) {
	leak.Check(t)
	tier, layout := opened(t)
	do := func(begin func(*Job)) {
		done := make(chan struct{})
		j := &Job{Objects: objects(layout), Done: func(*Job) { close(done) }}
		begun := make(chan struct{})
		go func() {
			defer close(begun)
			begin(j)
		}()
		last := 0
		for over := false; !over; { // before it is with the tier, and after it
			n := len(tier.Settled(j))
			select {
			case <-done:
				over = true
			default:
			}
			if n < last {
				t.Errorf("%d objects are settled, %d were before", n, last)
			}
			last = n
		}
		<-begun
		if n := len(tier.Settled(j)); n != len(j.Objects) {
			t.Errorf("%d of %d objects are settled when the job is done: %v", n, len(j.Objects), j.Objects[0].Err)
		}
	}
	do(tier.Store)
	for range 50 {
		do(tier.Load)
	}
}

// What is pinned is not deleted, and from Unpin on it is, before Release as well.
func TestUnpin(t *testing.T) {
	leak.Check(t)
	tier, layout := opened(t)
	keys := keep(tier, layout)
	pins := tier.Pin(keys[:2])
	if freed := erase(t, tier, keys); freed[0] != -1 || freed[1] != -1 || freed[2] <= 0 {
		t.Errorf("freed %d of three objects of which two are pinned", freed)
	}
	pins.Unpin()
	if n := tier.Stats().Pins; n != 0 {
		t.Errorf("%d keys are pinned", n)
	}
	if freed := erase(t, tier, keys); freed[0] <= 0 || freed[1] <= 0 {
		t.Errorf("freed %d when nothing is pinned", freed)
	}
	pins.Release()
	pins.Release()
	if err := tier.Check(); err != nil {
		t.Error(err)
	}
}
