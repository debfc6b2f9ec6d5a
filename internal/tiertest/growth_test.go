package tiertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	l2fs "github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// smallTiers are tiers for so many objects of small size each.
func smallTiers(t *testing.T, withFiles bool) []storage.Tier {
	t.Helper()
	const capacity = 64 * 4096
	tiers := []storage.Tier{{
		Name: inMemory, Adapter: must(t)(mem.Open(mem.Options{Capacity: capacity})), Settings: l2.Settings{Workers: 2, Capacity: capacity},
	}}
	if withFiles {
		tiers = append(tiers, storage.Tier{
			Name: onDisk, Adapter: must(t)(l2fs.Open(t.Context(), l2fs.Options{BasePath: t.TempDir(), MinFree: -1, MaxBytes: capacity})),
			Settings: l2.Settings{Workers: 2, Capacity: capacity},
		})
	}
	return tiers
}

// nothingGrows makes many turns, of 4 calls with tiers each, on the keys that next
// gives: heap, goroutines and open files are afterwards what they were before.
//
// Before that, objects of warm turns are only written, until what is remembered of keys is as
// much as it ever will be. That is L1, which remembers keys whose writers gave up as it does
// others: one turn in eight goes to the tiers.
func nothingGrows(t *testing.T, tiers []storage.Tier, warm, turns int, next func(n int) []kv.Key) {
	t.Helper()
	layout := rawLayout(t, 500)
	m, err := storage.Open(t.Context(), storage.Options{
		L1: l1.Options{Bytes: 64 * 512, Align: 512, Policy: "IsolatedLRU"}, Bus: eventbus.New(eventbus.Options{Disabled: true}), Tiers: tiers,
	})
	if err != nil {
		t.Fatal(err)
	}
	var scratch []byte
	loaded := 0
	write := func(keys []kv.Key) storage.WriteLease {
		w, err := m.ReserveWrite(t.Context(), keys, layout, storage.New, storage.WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range w.All() {
			fill(b, keys[i], layout)
		}
		return w
	}
	flush := func() {
		if err := m.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	turn := func(n int) {
		for _, from := range []int{n, n - 20} { // new ones, and ones that L1 has lost
			keys := next(max(from, 0))
			p, err := m.SubmitPrefetch(t.Context(), keys, layout, storage.PrefetchOptions{})
			if err != nil {
				t.Fatal(err)
			}
			r, err := p.Wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			loaded += r.Prefix - r.L1
			l, err := p.Read(t.Context(), storage.Select{Hi: r.Prefix})
			if err != nil {
				t.Fatal(err)
			}
			for i, b := range l.All() {
				if d := differs(b, keys[i], layout, &scratch); d != "" {
					t.Fatal(d)
				}
			}
			l.Finish()
			p.Release()
		}
		write(next(n)).Finish()
		flush()
	}
	measure := func() (heap uint64, goroutines, open int) {
		runtime.GC()
		runtime.GC() // what pools kept through the first goes with the second
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc, runtime.NumGoroutine(), files()
	}
	n := 0
	for ; n < warm; n++ {
		if w := write(next(n)); n%8 > 0 {
			w.Abort()
		} else {
			w.Finish()
			flush()
		}
	}
	for range max(turns/4, 300) {
		turn(n)
		n++
	}
	heap, goroutines, open := measure()
	for range turns {
		turn(n)
		n++
	}
	heap2, goroutines2, open2 := measure()
	t.Logf("%d turns: heap %d → %d bytes, goroutines %d → %d, open files %d → %d; %d objects from tiers",
		turns, heap, heap2, goroutines, goroutines2, open, open2, loaded)
	if allowed := heap + 256<<10 + uint64(turns*4); heap2 > allowed {
		t.Errorf("the heap grew from %d to %d bytes", heap, heap2)
	}
	if goroutines2 > goroutines+2 || open2 > open+2 {
		t.Errorf("goroutines grew from %d to %d, open files from %d to %d", goroutines, goroutines2, open, open2)
	}
	if loaded == 0 {
		t.Error("nothing was loaded")
	}
	if err := m.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

// growthTurns is how many turns a test makes; GROWTH_CALLS asks for more.
func growthTurns(t *testing.T, usual int) int {
	t.Helper()
	text := os.Getenv("GROWTH_CALLS")
	if text == "" {
		if testing.Short() {
			return usual / 4
		}
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("GROWTH_CALLS: %v", err)
	}
	return n / 4
}

// REQ-S62: calls with tiers leave nothing, on keys that come back.
func TestREQ_S62_NothingGrowsWithTiers(t *testing.T) {
	leak.Check(t)
	nothingGrows(t, smallTiers(t, true), 0, growthTurns(t, 1200), func(n int) (keys []kv.Key) {
		for i := range uint64(4) {
			keys = append(keys, numbered("m", "", uint64(n%100)*4+i))
		}
		return keys
	})
}

// REQ-S77: nor do keys and tenants that never come back: what is remembered of them is
// bounded.
func TestREQ_S77_DistinctKeysLeaveNothingInTiers(t *testing.T) {
	leak.Check(t)
	nothingGrows(t, smallTiers(t, false), 25_000, growthTurns(t, 4000), func(n int) (keys []kv.Key) {
		for i := range uint64(4) {
			keys = append(keys, numbered("m", fmt.Sprintf("user-%d", n), uint64(n)*4+i))
		}
		return keys
	})
}

// closer tells that its adapter was closed.
type closer struct {
	l2.Adapter

	closed *atomic.Int32
}

func (c closer) Unwrap() l2.Adapter { return c.Adapter }

func (c closer) Close() error {
	c.closed.Add(1)
	return c.Adapter.Close()
}

// REQ-S20: a start that fails at any tier leaves nothing: no adapter that is open, no
// goroutine, no file, no memory.
func TestREQ_S20_FailedStartLeavesNothing(t *testing.T) {
	leak.Check(t)
	base := opened(t)
	const n = 3
	for bad := range n {
		for _, how := range []string{"corrupts", "panics", "stops"} {
			t.Run(fmt.Sprintf("tier %d %s", bad, how), func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var closed atomic.Int32 // tiers close at once
				var tiers []storage.Tier
				for i := range n {
					f := l2test.NewFaulty(smallTiers(t, true)[i%2].Adapter)
					if i == bad {
						switch how {
						case "corrupts":
							f.Inject(l2test.Fault{Op: l2test.Load, Effect: l2test.Corrupt})
						case "panics":
							f.Inject(l2test.Fault{Op: l2test.Store, Effect: l2test.Panic})
						default:
							hit := f.Inject(l2test.Fault{Op: l2test.Store, Effect: l2test.Hang}).Hit()
							go func() { <-hit; cancel() }()
						}
					}
					tiers = append(tiers, storage.Tier{Name: fmt.Sprint("t", i), Adapter: closer{f, &closed}})
				}
				name := fmt.Sprintf("tiertest-%d", os.Getpid())
				m, err := storage.Open(ctx, storage.Options{L1: l1.Options{Bytes: 1 << 20, ShmName: name, ShmDir: t.TempDir()}, Tiers: tiers})
				if err == nil {
					t.Fatal(errors.Join(errors.New("it was opened"), m.Close(context.WithoutCancel(ctx))))
				}
				if how == "stops" && !errors.Is(err, context.Canceled) {
					t.Errorf("error %v", err)
				}
				if got := closed.Load(); got != n {
					t.Errorf("%d of %d adapters were closed: %v", got, n, err)
				}
			})
		}
	}
	(&soak{t: t}).nothingOpen("after all", base)
}
