package l2test

import (
	"os"
	"runtime"
	"testing"

	"github.com/lmcache-go/lmcache/l2"
)

// usage is what a process has that must not grow with calls.
type usage struct {
	heap       uint64 // bytes in use after a collection
	goroutines int
	files      int // open ones; 0 where that is not known
}

func measure() usage {
	runtime.GC()
	runtime.GC() // what pools kept through the first goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := usage{heap: m.HeapAlloc, goroutines: runtime.NumGoroutine()}
	if d, err := os.Open("/proc/self/fd"); err == nil {
		names, _ := d.Readdirnames(-1)
		u.files = len(names)
		_ = d.Close()
	}
	return u
}

// RunGrowth is the part of Run about growth alone, with another number of calls.
func RunGrowth(t *testing.T, open Opener, calls int) {
	t.Helper()
	nothingGrows(newSuite(t, open(t), options{calls: calls}))
}

// nothingGrows makes many calls, on keys that come and go, and on ones that never
// were there: afterwards there are no more goroutines, open files and bytes than
// before.
func nothingGrows(s *suite) {
	const per = 4 // calls of a turn
	all := s.objects(2, 3000)
	w, r := s.writing(all...), s.reading(all...)
	keys, found, freed := keysOf(all), make([]l2.Found, 2), make([]int64, 2)
	next := 0
	turn := func() {
		next++
		for i := range all { // another key each time
			k := key("m", next*2+i)
			w.items[i].Key, r.items[i].Key, keys[i] = k, k, k
		}
		ctx := s.t.Context()
		for _, err := range []error{
			s.a.Store(ctx, w.items), s.a.Load(ctx, r.items), s.a.Lookup(ctx, keys, found), s.a.Delete(ctx, keys, freed),
			w.items[0].Err, r.items[0].Err,
		} {
			if err != nil {
				s.t.Fatal(err)
			}
		}
		if next%8 == 0 {
			if err := s.a.Load(ctx, r.items); err != nil { // a miss
				s.t.Fatal(err)
			}
		}
	}
	warm := max(s.o.calls/per/4, 50)
	for range warm {
		turn()
	}
	before := measure()
	turns := s.o.calls / per
	for range turns {
		turn()
	}
	after := measure()
	s.t.Logf("%d calls: heap %d → %d bytes, goroutines %d → %d, open files %d → %d",
		turns*per, before.heap, after.heap, before.goroutines, after.goroutines, before.files, after.files)
	// A byte or two for each call would be seen; what is kept once is not growth.
	if allowed := before.heap + 128<<10 + uint64(turns*per/2); after.heap > allowed {
		s.t.Errorf("the heap grew from %d to %d bytes in %d calls", before.heap, after.heap, turns*per)
	}
	if after.goroutines > before.goroutines+2 {
		s.t.Errorf("goroutines grew from %d to %d", before.goroutines, after.goroutines)
	}
	if after.files > before.files+2 {
		s.t.Errorf("open files grew from %d to %d", before.files, after.files)
	}
}
