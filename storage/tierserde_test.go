package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	l2fs "github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/l2/zstd"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// converted is a manager with one tier over this adapter, and with this serde.
func converted(t *testing.T, a l2.Adapter, serde l2.Serde, layout kv.Layout) *world {
	t.Helper()
	w := &world{t: t, layout: layout, bus: eventbus.New(eventbus.Options{Manual: true})}
	if _, err := w.bus.Subscribe(&w.seen); err != nil {
		t.Fatal(err)
	}
	var err error
	w.m, err = storage.Open(t.Context(), storage.Options{
		L1: l1.Options{Bytes: 64 * 2 * objectBytes}, Bus: w.bus,
		Tiers: []storage.Tier{{Name: "tier", Adapter: a, Settings: l2.Settings{Serde: serde, SerdeWorkers: 2, Workers: 2, PerOpWorkers: 2}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) shut() {
	w.t.Helper()
	if err := w.m.Close(context.WithoutCancel(w.t.Context())); err != nil {
		w.t.Error(err)
	}
	if err := w.m.Check(); err != nil {
		w.t.Error(err)
	}
}

func newZstd(t *testing.T) *zstd.Serde {
	t.Helper()
	s, err := zstd.New(zstd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// onlyKinds are the events of these names.
func (w *world) onlyKinds(names ...string) (got []string) {
	for _, e := range w.events() {
		if name, _, _ := strings.Cut(e, " "); slices.Contains(names, name) {
			got = append(got, e)
		}
	}
	return got
}

// Objects that zstd has made smaller take what they take: as the tier counts, as the
// store holds and as the directory has; they are loaded verified, by the next process
// too. One that was written with another serde is a miss that makes room, whatever
// the name of the serde does to the length of the header.
func TestSerdeThroughTiers(t *testing.T) {
	stores := map[string]func(t *testing.T) func() l2.Adapter{
		"mem": func(t *testing.T) func() l2.Adapter {
			var kept mem.Store
			return func() l2.Adapter {
				a, err := mem.Open(mem.Options{Capacity: 1 << 30, Store: &kept})
				if err != nil {
					t.Fatal(err)
				}
				return a
			}
		},
		"fs": func(t *testing.T) func() l2.Adapter {
			dir := t.TempDir()
			return func() l2.Adapter {
				a, err := l2fs.Open(t.Context(), l2fs.Options{BasePath: dir, MinFree: -1, MaxBytes: 1 << 30})
				if err != nil {
					t.Fatal(err)
				}
				return a
			}
		},
	}
	layout := rawLayout(t, 16*objectBytes)
	const names = "abcdef"
	for kind, opener := range stores {
		t.Run(kind, func(t *testing.T) {
			open := opener(t)
			w := converted(t, open(), newZstd(t), layout)
			w.put(names)
			w.flush()
			s := w.m.Stats().Tiers[0]
			if logical := int64(len(names)) * layout.Size(); s.Objects != int64(len(names)) || s.UsedBytes <= 0 || s.UsedBytes > logical/4 {
				t.Errorf("%d objects of %d logical bytes take %d", s.Objects, logical, s.UsedBytes)
			}
			var bySize int64
			page, err := w.m.ListL2(t.Context(), 0, l2.ListQuery{PageSize: 100})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Entries {
				bySize += e.Size
			}
			if bySize != s.UsedBytes {
				t.Errorf("the store has %d bytes, counted %d", bySize, s.UsedBytes)
			}
			w.shut()

			w = converted(t, open(), newZstd(t), layout)
			p := w.prefetch(names, storage.PrefetchOptions{})
			if r := w.wait(p); r.Prefix != len(names) || r.L1 != 0 {
				t.Fatalf("after a restart: %+v", r)
			}
			w.read(p, len(names)).Finish()
			p.Release()
			w.shut()

			for _, other := range []l2.Serde{nil, renamed{newZstd(t), strings.Repeat("x", 100)}, nil, renamed{newZstd(t), "lz4"}} {
				w = converted(t, open(), other, layout)
				for !w.m.Stats().Tiers[0].ScanComplete {
					runtime.Gosched()
				}
				p = w.prefetch("ab", storage.PrefetchOptions{Policy: storage.Sparse})
				if r := w.wait(p); r.Found.Count() != 0 || r.Miss[0] != storage.MissLayout || r.Miss[1] != storage.MissLayout {
					t.Errorf("with serde %v: %+v", other, r)
				}
				p.Release()
				for w.m.Stats().Tiers[0].Objects != int64(len(names))-2 {
					runtime.Gosched()
				}
				if got := w.onlyKinds("l2.object.corrupt"); got != nil || w.m.Stats().Tiers[0].Corrupt != 0 {
					t.Errorf("an object of another serde is not damaged: %q", got)
				}
				w.put("ab")
				w.flush()
				w.m.Clear(true)
				p = w.prefetch("ab", storage.PrefetchOptions{})
				if r := w.wait(p); r.Prefix != 2 || r.L1 != 0 {
					t.Errorf("written anew with %v: %+v", other, r)
				}
				w.read(p, 2).Finish()
				p.Release()
				w.shut()
			}
		})
	}
}

// renamed is a serde under another name.
type renamed struct {
	l2.Serde
	name string
}

func (r renamed) Name() string { return r.name }

// broken is a serde that does what its hooks say, and counts how many of its calls
// run at a time.
type broken struct {
	l2.Serde
	serialize func(dst, src []byte, n int) (int, error)
	now, most atomic.Int32
}

func (b *broken) enter() func() {
	n := b.now.Add(1)
	for {
		m := b.most.Load()
		if n <= m || b.most.CompareAndSwap(m, n) {
			break
		}
	}
	return func() { b.now.Add(-1) }
}

func (b *broken) Serialize(dst, src []byte, l kv.Layout, k kv.Key) (int, error) {
	defer b.enter()()
	n, err := b.Serde.Serialize(dst, src, l, k)
	if err != nil || b.serialize == nil {
		return n, err
	}
	return b.serialize(dst, src, n)
}

func (b *broken) Deserialize(dst, src []byte, l kv.Layout, k kv.Key) error {
	defer b.enter()()
	return b.Serde.Deserialize(dst, src, l, k)
}

// What a serde gets wrong costs the object in question and no other.
func TestSerdeFailures(t *testing.T) {
	a := []byte(strings.Repeat("a", 8))
	for _, tt := range []struct {
		name      string
		serialize func(dst, src []byte, n int) (int, error)
		stored    string
	}{
		{name: "none", stored: "abc"},
		{name: "serialize fails", stored: "bc", serialize: func(_, src []byte, n int) (int, error) {
			if bytes.HasPrefix(src, a) {
				return 0, errors.New("boo")
			}
			return n, nil
		}},
		{name: "serialize panics", stored: "bc", serialize: func(_, src []byte, n int) (int, error) {
			if bytes.HasPrefix(src, a) {
				panic("boo")
			}
			return n, nil
		}},
		{name: "more than the bound", stored: "bc", serialize: func(dst, src []byte, n int) (int, error) {
			if bytes.HasPrefix(src, a) {
				return len(dst) + 1, nil
			}
			return n, nil
		}},
		{name: "corrupt output", stored: "abc", serialize: func(dst, src []byte, n int) (int, error) {
			if bytes.HasPrefix(src, a) {
				dst[n/2] ^= 0xff
				dst[0] ^= 0xff
			}
			return n, nil
		}},
		{name: "empty output", stored: "abc", serialize: func(_, src []byte, n int) (int, error) {
			if bytes.HasPrefix(src, a) {
				return 0, nil
			}
			return n, nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newShelf()
			b := &broken{Serde: newZstd(t), serialize: tt.serialize}
			live(t, 64, []*shelf{s}, func(t *testing.T, w *world) {
				w.put("abc")
				w.flush()
				if s.has() != tt.stored {
					t.Errorf("stored %s, want %s", s.has(), tt.stored)
				}
				w.m.Clear(true)
				p := w.prefetch("abc", storage.PrefetchOptions{Policy: storage.Sparse})
				r := w.wait(p)
				want := 2
				if tt.name == "none" {
					want = 3
				}
				if r.Found.Count() != want || !r.Found.Has(1) || !r.Found.Has(2) {
					t.Errorf("found %+v", r)
				}
				for i := range 3 {
					if l, err := p.Read(t.Context(), storage.Select{Lo: i, Hi: i + 1}); err == nil {
						for _, data := range l.All() {
							if !filledWith(data, "abc"[i]) {
								t.Errorf("object %d has foreign bytes", i)
							}
						}
						l.Finish()
					}
				}
				p.Release()
				synctest.Wait()
				if want == 2 && s.has() != "bc" {
					t.Errorf("what cannot be read is still stored: %s", s.has())
				}
			}, func(o *storage.Options) { o.Tiers[0].Settings.Serde = b })
		})
	}
}

// REQ-S10: Close waits for conversions; no more run at a time than may.
func TestREQ_S10_ConversionsAreBounded(t *testing.T) {
	for _, workers := range []int{1, 3} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			a, err := mem.Open(mem.Options{Capacity: 1 << 30})
			if err != nil {
				t.Fatal(err)
			}
			zs, err := zstd.New(zstd.Options{Workers: 8})
			if err != nil {
				t.Fatal(err)
			}
			hold := make(chan struct{})
			var entered sync.WaitGroup
			entered.Add(workers)
			var first atomic.Int32
			b := &broken{Serde: zs}
			b.serialize = func(_, _ []byte, n int) (int, error) {
				if first.Add(1) <= int32(workers) {
					entered.Done()
					<-hold
				}
				return n, nil
			}
			w := &world{t: t, layout: rawLayout(t, objectBytes)}
			w.m, err = storage.Open(t.Context(), storage.Options{
				L1:    l1.Options{Bytes: 64 * objectBytes},
				Tiers: []storage.Tier{{Name: "mem", Adapter: a, Settings: l2.Settings{Serde: b, SerdeWorkers: workers, Workers: 8, PerOpWorkers: 1, NoStartProbe: true}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range "abcdefghijklmnop" {
				w.put(string(n))
			}
			entered.Wait() // all that may run do, and are stuck
			closed := make(chan error, 1)
			go func() { closed <- w.m.Close(context.WithoutCancel(t.Context())) }()
			select {
			case <-closed:
				t.Error("Close has not waited for the conversions")
			default:
			}
			close(hold)
			if err := <-closed; err != nil {
				t.Error(err)
			}
			if b.most.Load() != int32(workers) || b.now.Load() != 0 {
				t.Errorf("%d ran at a time, must be %d; %d still do", b.most.Load(), workers, b.now.Load())
			}
		})
	}
}
