package storage_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// storedBytes is what one object takes on a shelf.
func storedBytes() int64 {
	return l2.Format{}.StoredSize(l2.Format{}.HeadLen(key("a"), ""), objectBytes)
}

func (s *shelf) bytes() (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.objects {
		n += int64(len(o.head) + len(o.data))
	}
	return n
}

// capped gives the first tier a capacity of n objects.
func capped(n int64, e *l2.Eviction) func(*storage.Options) {
	return func(o *storage.Options) {
		o.Tiers[0].Settings.Capacity = n * storedBytes()
		o.Tiers[0].Settings.Eviction = e
	}
}

// REQ-S52: a capacity is a bound, at every moment, with an eviction block and
// without, and whoever writes.
func TestREQ_S52_CapacityIsABound(t *testing.T) {
	for _, tt := range []struct {
		name string
		e    *l2.Eviction
		left int // objects at the end
	}{
		{"exact LRU", nil, 8},
		{"watermark", &l2.Eviction{Policy: l2.PolicyLRU, Watermark: 0.8, Ratio: 0.2}, 6},
		{"noop", &l2.Eviction{Policy: l2.PolicyNoop, Watermark: 0.8, Ratio: 0.2}, 8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newShelf()
			var over atomic.Bool
			s.item = func(op string, _ *l2.Item) {
				if op == "store" && s.bytes()+storedBytes() > 8*storedBytes() {
					over.Store(true)
				}
			}
			live(t, 64, []*shelf{s}, func(t *testing.T, w *world) {
				var wg sync.WaitGroup
				for g := range 16 {
					wg.Go(func() {
						for i := range 2 {
							l, err := w.m.ReserveWrite(t.Context(), keys(string(rune('A'+g*2+i))), w.layout, storage.New, storage.WriteOptions{})
							if err != nil {
								t.Error(err)
							}
							l.Finish()
						}
					})
				}
				wg.Wait()
				w.flush()
				pass(time.Second)
				st := w.m.Stats().Tiers[0]
				if over.Load() || st.UsedBytes != s.bytes() || int(st.Objects) != tt.left {
					t.Errorf("above the capacity: %v; %d objects of %d bytes, there are %d", over.Load(), st.Objects, st.UsedBytes, s.bytes())
				}
			}, capped(8, tt.e))
		})
	}
}

// Exact LRU at admission: what was used last stays, and what is pinned.
func TestTierEvictsTheOldest(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 64, []*shelf{s}, capped(4, nil))
	for _, n := range []string{"a", "b", "c", "d"} {
		w.put(n)
		w.flush()
	}
	w.m.Clear(false)
	p := w.prefetch("a", storage.PrefetchOptions{})
	w.wait(p)
	p.Release()
	w.put("e")
	w.flush()
	if s.has() != "acde" {
		t.Errorf("the tier has %s", s.has())
	}
	w.put("xyz")
	w.flush()
	if s.has() != "exyz" {
		t.Errorf("the tier has %s", s.has())
	}
	w.events()
	w.put("g")
	w.flush()
	var evicted []string
	for _, e := range w.events() {
		if strings.HasPrefix(e, "l2.keys.evicted") {
			evicted = append(evicted, e)
		}
	}
	if want := fmt.Sprintf("l2.keys.evicted 0 keys=1 bytes=%d", storedBytes()); !slices.Equal(evicted, []string{want}) {
		t.Errorf("got %q, want %q", evicted, want)
	}
}

// A quota of a tenant in a tier, and the allowlist.
func TestTierQuotas(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 64, []*shelf{s}, capped(16, &l2.Eviction{
		Policy: l2.PolicyIsolatedLRU, Watermark: 1, Ratio: 0.5, DefaultQuota: 100 * storedBytes(),
	}))
	if err := w.m.SetQuota("t1", 2*storedBytes()); err != nil {
		t.Fatal(err)
	}
	theirs := keys("abcd")
	for i := range theirs {
		theirs[i].Salt = "t1"
		l, err := w.m.ReserveWrite(t.Context(), theirs[i:i+1], w.layout, storage.New, storage.WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		l.Finish()
		w.flush()
		w.v.Run()
	}
	w.put("ab")
	w.flush()
	if got := w.m.Stats().Tiers[0].BytesBySalt; got["t1"] != storedBytes() || got[""] != 2*storedBytes() {
		t.Errorf("got %v", got)
	}
	if !w.m.DeleteQuota("t1") {
		t.Error("there was no quota")
	}
}

// library is a shelf whose objects outlive the process.
type library struct {
	*shelf
	used map[kv.Key]time.Time
}

func (l library) Scan(context.Context) iter.Seq2[l2.Entry, error] {
	return func(yield func(l2.Entry, error) bool) {
		l.mu.Lock()
		var list []l2.Entry
		for k, o := range l.objects {
			list = append(list, l2.Entry{Key: k, Size: int64(len(o.head) + len(o.data)), Used: l.used[k]})
		}
		l.mu.Unlock()
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// REQ-S53: accounting and order survive a restart.
func TestREQ_S53_Restart(t *testing.T) {
	s := library{newShelf(), map[kv.Key]time.Time{}}
	v := storage.VirtualOptions{Models: []storage.Model{{Latency: time.Millisecond}}}
	s.keep(t, rawLayout(t, objectBytes), "abcdef")
	for i, n := range "cafebd" { // the oldest first
		s.used[key(string(n))] = time.Unix(int64(1000+i), 0)
	}
	w := openWorld(t, 64, &v, func(o *storage.Options) {
		o.Tiers = []storage.Tier{{Name: "library", Adapter: s, Settings: l2.Settings{Capacity: 5 * storedBytes(), NoStartProbe: true}}}
	})
	w.v.Run()
	st := w.m.Stats().Tiers[0]
	if !st.ScanComplete || st.UsedBytes != s.bytes() || s.has() != "abdef" {
		t.Errorf("after the start: %+v; it has %s", st, s.has())
	}
	w.put("xy")
	w.flush()
	if s.has() != "bdexy" {
		t.Errorf("evicted in another order: it has %s", s.has())
	}
}

// REQ-S49: a flipped bit anywhere in what is stored is a miss, told once.
func TestREQ_S49_EveryByteIsVerified(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 16, []*shelf{s})
	rng := rand.New(rand.NewPCG(3, 4))
	k := key("a")
	head := l2.Format{}.HeadLen(k, "")
	for pos := range head + 500 {
		s.keep(t, w.layout, "a")
		o := s.objects[k]
		if pos < head {
			o.head[pos] ^= 1 << rng.IntN(8)
		} else {
			o.data[rng.IntN(len(o.data))] ^= 1 << rng.IntN(8)
		}
		w.events()
		p := w.prefetch("a", storage.PrefetchOptions{})
		r := w.wait(p)
		p.Release()
		w.v.Run()
		corrupt := 0
		for _, e := range w.events() {
			if strings.HasPrefix(e, "l2.object.corrupt") {
				corrupt++
			}
		}
		if r.Prefix != 0 || corrupt != 1 || s.has() != "" {
			t.Fatalf("byte %d: prefix %d, %d events, the tier has %q", pos, r.Prefix, corrupt, s.has())
		}
	}
}

// REQ-S65: nothing is lost between commit and tier while the backlog is healthy; a
// backlog that is not may lose objects, which is counted.
func TestREQ_S65_DurableBeforeEvicted(t *testing.T) {
	s := newShelf()
	v := storage.VirtualOptions{Models: []storage.Model{{Latency: 100 * time.Millisecond}}}
	w := openWorld(t, 32, &v, func(o *storage.Options) {
		o.Tiers = []storage.Tier{{Name: "slow", Adapter: s, Settings: l2.Settings{Workers: 1, PerOpWorkers: 4, NoStartProbe: true}}}
	})
	name := func(i int) kv.Key { return key(fmt.Sprintf("o%d", i)) }
	n := 0
	write := func(count int, every time.Duration) (denied int) {
		for range count {
			l, err := w.m.ReserveWrite(t.Context(), []kv.Key{name(n)}, w.layout, storage.New, storage.WriteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if l.Finish(); len(l.Keys()) > 0 {
				denied++
			}
			n++
			w.after(every)
		}
		return denied
	}
	write(200, 30*time.Millisecond) // it can take 40 in a second
	w.flush()
	if st := w.m.Stats().L1; st.EvictedPending != 0 || len(s.objects) != 200 || st.EvictedObjects == 0 {
		t.Errorf("healthy: %d evicted before they were stored, %d are stored, %d evicted", st.EvictedPending, len(s.objects), st.EvictedObjects)
	}
	write(400, 5*time.Millisecond) // and 200 come
	w.flush()
	st := w.m.Stats().L1
	lost := 600 - len(s.objects)
	if st.EvictedPending == 0 || int(st.EvictedPending) < lost {
		t.Errorf("overload: %d evicted before they were stored, %d are lost", st.EvictedPending, lost)
	}
}

// skip_l1: an object leaves L1 when its last tier has finished and one has it.
func TestStorePolicySkipL1(t *testing.T) {
	a, b := newShelf(), newShelf()
	b.item = func(op string, it *l2.Item) {
		if op == "store" {
			it.Err = l2.ErrTooLarge
		}
	}
	w := newTierWorld(t, 8, []*shelf{a, b}, func(o *storage.Options) { o.Store.Policy = storage.StoreSkipL1() })
	w.put("ab")
	w.flush()
	if w.resident("ab") != "-" || a.has() != "ab" {
		t.Errorf("resident %s, stored %s", w.resident("ab"), a.has())
	}
	a.item = b.item
	w.put("cd")
	w.flush()
	if w.resident("cd") != "cd" {
		t.Error("objects that no tier has were dropped")
	}
}

// Transient failures are tried again, permanent ones are not; one pair of events
// for a task.
func TestStoreRetries(t *testing.T) {
	s := newShelf()
	tries := map[string]int{}
	s.item = func(op string, it *l2.Item) {
		name := named([]kv.Key{it.Key})
		if tries[name]++; name == "a" && tries[name] < 3 || name == "b" {
			it.Err = l2.ErrThrottled
		} else if name == "c" {
			it.Err = l2.ErrTooLarge
		}
	}
	w := newTierWorld(t, 32, []*shelf{s}, func(o *storage.Options) { o.Tiers[0].Settings.Workers = 1 })
	w.put("abcd")
	w.flush()
	if s.has() != "ad" || tries["a"] != 3 || tries["b"] != 3 || tries["c"] != 1 {
		t.Errorf("stored %s after %v", s.has(), tries)
	}
	var got []string
	for _, e := range w.events() {
		if strings.HasPrefix(e, "l2.") || strings.HasPrefix(e, "l1.read.finished") {
			got = append(got, e)
		}
	}
	want := []string{
		"l2.store.submitted 0/0 shelf0 keys=4 bytes=16384",
		"l1.read.finished abcd store",
		"l2.store.completed 0/0 ok=2 failed=2 bytes=8192 attempts=3",
		"l2.store.dropped 0 keys=1 too_large",
		"l2.store.dropped 0 keys=1 retries",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The backlog is bounded: the oldest go.
func TestStoreBacklog(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 32, []*shelf{s}, func(o *storage.Options) {
		o.Store.MaxBacklog = 4
		o.Tiers[0].Settings = l2.Settings{Workers: 1, PerOpWorkers: 1, NoStartProbe: true}
	})
	w.put("abcdefgh")
	w.flush()
	if s.has() != "adfgh" && s.has() != "efgh" {
		t.Logf("stored %s", s.has())
	}
	dropped := 0
	for _, e := range w.events() {
		if e == "l2.store.dropped 0 keys=4 backlog" {
			dropped++
		}
	}
	if dropped != 1 || len(s.has()) != 4 {
		t.Errorf("stored %s; %d drops of four", s.has(), dropped)
	}
}

// Eviction in a tier takes the tails of prompts first, also of one that was stored in
// several tasks.
func TestTierEvictsTails(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 64, []*shelf{s}, capped(8, nil), func(o *storage.Options) {
		o.Tiers[0].Settings.Workers, o.Tiers[0].Settings.PerOpWorkers = 1, 2
	})
	w.put("abcdefgh")
	w.flush()
	w.put("x")
	w.flush()
	w.put("y")
	w.flush()
	if s.has() != "abcdefxy" {
		t.Errorf("the tier has %s", s.has())
	}
	if _, err := w.m.DeleteL2(t.Context(), keys("c"), 0); err != nil {
		t.Fatal(err)
	}
	w.put("z12") // z fits; for the others b and then a go, the oldest with nothing behind them
	w.flush()
	if s.has() != "12defxyz" {
		t.Errorf("the tier has %s", s.has())
	}
}

// A deletion of many keys takes as long as it takes: the time limit is that of a call.
func TestLongDeletion(t *testing.T) {
	const n = 700
	s := newShelf()
	s.before = func(ctx context.Context, op string, keys []kv.Key) error {
		if op != "delete" {
			return nil
		}
		select {
		case <-time.After(time.Duration(len(keys)) * time.Millisecond):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	live(t, 4, []*shelf{s}, func(t *testing.T, w *world) {
		var all []kv.Key
		for i := range n {
			k := key(fmt.Sprint(i))
			all = append(all, k)
			s.objects[k] = stored{make([]byte, 64), make([]byte, 64)}
		}
		got, err := w.m.DeleteL2(t.Context(), all, 0)
		if err != nil || got[0].Err != nil || got[0].Deleted != n || got[0].Skipped != 0 {
			t.Errorf("got %+v, %v", got, err)
		}
		if len(s.objects) != 0 || s.count("delete") != 3 {
			t.Errorf("%d objects are left after %d calls", len(s.objects), s.count("delete"))
		}
	}, func(o *storage.Options) { o.Tiers[0].Settings.Timeouts.Delete = 300 * time.Millisecond })
}

// lazy removes two objects of a deletion and leaves the others for now.
type lazy struct{ *mem.Adapter }

func (l lazy) Delete(ctx context.Context, keys []kv.Key, freed []int64) error {
	n := min(len(keys), 2)
	for i := range freed {
		freed[i] = -1
	}
	return l.Adapter.Delete(ctx, keys[:n], freed[:n])
}

// A start with less room than objects evicts until they fit, also if a deletion removes
// only some of them.
func TestStartWithLessRoom(t *testing.T) {
	var kept mem.Store
	for _, capacity := range []int64{0, 5 * storedBytes()} {
		a, err := mem.Open(mem.Options{Capacity: 1 << 30, Store: &kept})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			w := &world{t: t, layout: rawLayout(t, objectBytes)}
			w.m, err = storage.Open(t.Context(), storage.Options{
				L1: l1Bytes(32), Tiers: []storage.Tier{{Name: "mem", Adapter: lazy{a}, Settings: l2.Settings{Capacity: capacity}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if capacity == 0 {
				w.put("abcdefghijklmnop")
				w.flush()
			} else if s := w.m.Stats().Tiers[0]; s.Objects != 5 || s.Evicted != 11 {
				t.Errorf("%d objects of %d bytes of %d, %d evicted", s.Objects, s.UsedBytes, s.CapacityBytes, s.Evicted)
			}
			if err := w.m.Close(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		})
	}
}
