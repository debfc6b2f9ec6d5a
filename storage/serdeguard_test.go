package storage_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// boundless is a serde whose Bound and Name may go wrong.
type boundless struct {
	l2.Serde
	bound func(right int64) int64 // nil: right
	name  func() string           // nil: right
}

func (b *boundless) Bound(l kv.Layout) int64 {
	if b.bound == nil {
		return b.Serde.Bound(l)
	}
	return b.bound(b.Serde.Bound(l))
}

func (b *boundless) Name() string {
	if b.name == nil {
		return b.Serde.Name()
	}
	return b.name()
}

// A bound that a serde gets wrong costs the object in question, and neither the process
// nor the tier. It says nothing about an object that is stored: that stays.
func TestSerdeBoundFails(t *testing.T) {
	for name, bound := range map[string]func(int64) int64{
		"panic":                 func(int64) int64 { panic("boo") },
		"negative":              func(int64) int64 { return -1 },
		"absurd":                func(int64) int64 { return 1 << 62 },
		"memory of the machine": func(int64) int64 { return 1 << 39 },
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf()
			var wrong atomic.Bool
			b := &boundless{Serde: newZstd(t), bound: func(right int64) int64 {
				if wrong.Load() {
					return bound(right)
				}
				return right
			}}
			live(t, 64, []*shelf{s}, func(t *testing.T, w *world) {
				w.put("ab")
				w.flush()
				wrong.Store(true)
				w.put("cd")
				w.flush()
				if st := w.m.Stats().Tiers[0]; s.has() != "ab" || st.FailuresByReason["serde_failure"] != 2 || st.ReservedBytes != 0 {
					t.Errorf("stored %s, %d bytes reserved, failures %v", s.has(), st.ReservedBytes, st.FailuresByReason)
				}
				w.m.Clear(true)
				for range 4 { // more than there are conversions at a time
					p := w.prefetch("ab", storage.PrefetchOptions{})
					if r := w.wait(p); r.Prefix != 0 || r.Miss[0] != storage.MissL2Corrupt {
						t.Errorf("loaded without a bound: %+v", r)
					}
					p.Release()
				}
				wrong.Store(false)
				p := w.prefetch("ab", storage.PrefetchOptions{})
				r := w.wait(p)
				if r.Prefix != 2 {
					t.Fatalf("when the bound is right again: %+v, stored %s", r, s.has())
				}
				w.read(p, 2).Finish()
				p.Release()
				w.put("e")
				w.flush()
				synctest.Wait()
				if st := w.m.Stats().Tiers[0]; s.has() != "abe" || st.Corrupt != 0 || st.Breaker != storage.BreakerClosed {
					t.Errorf("stored %s, %d damaged, breaker %s", s.has(), st.Corrupt, st.Breaker)
				}
			}, func(o *storage.Options) { o.Tiers[0].Settings.Serde = b })
		})
	}
}

// A serde without a usable name is an error at the start; after that nobody asks for the
// name.
func TestSerdeName(t *testing.T) {
	open := func(name func() string) (*storage.Manager, error) {
		a, err := mem.Open(mem.Options{Capacity: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		return storage.Open(t.Context(), storage.Options{
			L1: l1.Options{Bytes: 64 * objectBytes},
			Tiers: []storage.Tier{{Name: "mem", Adapter: a, Settings: l2.Settings{
				NoStartProbe: true, Serde: &boundless{Serde: newZstd(t), name: name},
			}}},
		})
	}
	for want, name := range map[string]func() string{
		"Serde: Name: panic: boo":                  func() string { panic("boo") },
		"Serde: Name: 0 bytes, must be 1 to 255":   func() string { return "" },
		"Serde: Name: 256 bytes, must be 1 to 255": func() string { return strings.Repeat("n", 256) },
	} {
		if m, err := open(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
			if err == nil {
				_ = m.Close(t.Context())
			}
		}
	}
	var now atomic.Bool
	m, err := open(func() string {
		if now.Load() {
			panic("boo")
		}
		return "mine"
	})
	if err != nil {
		t.Fatal(err)
	}
	now.Store(true)
	w := &world{t: t, layout: rawLayout(t, objectBytes), m: m}
	w.put("ab")
	w.flush()
	m.Clear(true)
	p := w.prefetch("ab", storage.PrefetchOptions{})
	if r := w.wait(p); r.Prefix != 2 {
		t.Errorf("%+v", r)
	}
	p.Release()
	w.shut()
}
