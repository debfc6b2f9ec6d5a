package arena

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/internal/invariants"
)

func newArena(tb testing.TB, o Options) *Arena {
	tb.Helper()
	a, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		a.Close()
		if err := a.Check(); err != nil {
			tb.Error(err)
		}
	})
	return a
}

func mustAlloc(tb testing.TB, a *Arena, size int64) Buf {
	tb.Helper()
	b, ok := a.Alloc(size)
	if !ok {
		tb.Fatalf("no room for %d bytes, largest free range is %d", size, a.LargestFree())
	}
	return b
}

func check(tb testing.TB, a *Arena) {
	tb.Helper()
	if err := a.Check(); err != nil {
		tb.Fatal(err)
	}
}

func TestNewRejects(t *testing.T) {
	tests := []struct {
		name string
		o    Options
		want string
	}{
		{"zero", Options{}, "arena of 0 bytes"},
		{"negative", Options{Bytes: -1}, "arena of -1 bytes"},
		{"overflow", Options{Bytes: math.MaxInt64}, "arena of 9223372036854775807 bytes"},
		{"alignment", Options{Bytes: 1 << 20, Align: 3000}, "power of two, not 3000"},
		{"negative alignment", Options{Bytes: 1 << 20, Align: -4096}, "power of two, not -4096"},
		{"units", Options{Bytes: 1 << 45, Align: 64}, "use a larger alignment"},
		{"memory", Options{Bytes: 1<<20 + 1, Memory: make([]byte, 1<<20)}, "1048576 bytes of memory are less than the 1052672"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := New(tt.o)
			if err == nil {
				t.Fatalf("New made an arena of %d bytes", a.Size())
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %q, want it to contain %q", err, tt.want)
			}
		})
	}
}

func TestSizes(t *testing.T) {
	a := newArena(t, Options{Bytes: 1<<20 + 1})
	if got, want := a.Capacity(), int64(1<<20+4096); got != want {
		t.Errorf("capacity is %d, want %d", got, want)
	}
	for size, want := range map[int64]int64{1: 4096, 4096: 4096, 4097: 8192, 33554448: 33558528} {
		if got := a.Physical(size); got != want {
			t.Errorf("Physical(%d) is %d, want %d", size, got, want)
		}
	}
	for _, size := range []int64{0, -1, math.MinInt64, a.Capacity() + 1, math.MaxInt64} {
		if _, ok := a.Alloc(size); ok {
			t.Errorf("Alloc(%d) succeeded", size)
		}
		if n := a.Available(size, 10); n != 0 {
			t.Errorf("Available(%d) is %d", size, n)
		}
	}
}

func TestBytes(t *testing.T) {
	memory := make([]byte, 1<<20)
	a := newArena(t, Options{Bytes: 1 << 20, Memory: memory})
	mustAlloc(t, a, 4096)
	b := mustAlloc(t, a, 5000)
	if b.IsZero() || !(Buf{}).IsZero() {
		t.Error("IsZero does not tell a piece from none")
	}
	buf := a.Bytes(b, 5000)
	if len(buf) != 5000 || cap(buf) != 8192 {
		t.Errorf("buffer has length %d and capacity %d, want 5000 and 8192", len(buf), cap(buf))
	}
	if got, want := &buf[0], &memory[a.Offset(b)]; got != want {
		t.Error("buffer is not at its offset")
	}
	if at := a.At(a.Offset(b), 5000); &at[0] != &buf[0] || len(at) != 5000 || cap(at) != 8192 {
		t.Error("At and Bytes differ")
	}
	if got := a.Used(); got != 4096+8192 {
		t.Errorf("used is %d, want %d", got, 4096+8192)
	}
}

func TestNoBytes(t *testing.T) {
	a := newArena(t, Options{Bytes: 100 << 40, Align: 1 << 20})
	b := mustAlloc(t, a, 64<<30)
	c := mustAlloc(t, a, 64<<30)
	if a.Bytes(b, 100) != nil {
		t.Error("an arena without memory has some")
	}
	if d := a.Offset(c) - a.Offset(b); d < 64<<30 && d > -64<<30 {
		t.Errorf("pieces of 64 GiB are %d bytes apart", d)
	}
	a.Free(b)
	a.Free(c)
}

func TestClosed(t *testing.T) {
	a := newArena(t, Options{Bytes: 1 << 20})
	a.Close()
	if _, ok := a.Alloc(4096); ok {
		t.Error("a closed arena hands out memory")
	}
	if n := a.Available(4096, 1); n != 0 {
		t.Errorf("a closed arena has room for %d pieces", n)
	}
}

// An arena of n times an object's size holds n objects, in whatever order they
// come and go.
func TestExactCapacity(t *testing.T) {
	for _, size := range []int64{64, 32 << 10, 36 << 10, 1 << 20, 5 << 20} {
		for _, n := range []int{1, 2, 3, 64, 65, 257, 600} {
			a := newArena(t, Options{Bytes: size * int64(n), Align: 64})
			r := newRand(size, int64(n))
			var live []Buf
			for len(live) < n {
				live = append(live, mustAlloc(t, a, size))
			}
			for range 2 * n {
				if _, ok := a.Alloc(size); ok {
					t.Fatalf("%d objects of %d bytes: one more fits", n, size)
				}
				// Give back a random number of random ones and take as many.
				r.Shuffle(len(live), func(i, j int) { live[i], live[j] = live[j], live[i] })
				k := 1 + r.IntN(min(n, 8))
				for _, b := range live[:k] {
					a.Free(b)
				}
				if got := a.Available(size, n+1); got != k {
					t.Fatalf("%d objects of %d bytes: %d available after %d were freed", n, size, got, k)
				}
				for i := range k {
					live[i] = mustAlloc(t, a, size)
				}
			}
			if a.Used() != a.Capacity() {
				t.Errorf("used is %d of %d", a.Used(), a.Capacity())
			}
			for _, b := range live {
				a.Free(b)
			}
			wantEmpty(t, a)
		}
	}
}

func wantEmpty(tb testing.TB, a *Arena) {
	tb.Helper()
	check(tb, a)
	if a.Used() != 0 || a.LargestFree() != a.Capacity() || a.spans.Len() != 1 || a.runs.Len() != 0 || a.blocks.Len() != 0 {
		tb.Fatalf("empty arena: used %d, largest free %d of %d, %d spans, %d runs, %d broken",
			a.Used(), a.LargestFree(), a.Capacity(), a.spans.Len(), a.runs.Len(), a.blocks.Len())
	}
	if c := a.SizeClasses(); len(c) != 0 {
		tb.Fatalf("empty arena has size classes: %+v", c)
	}
}

func TestSizeClasses(t *testing.T) {
	a := newArena(t, Options{Bytes: 1 << 30})
	var live []Buf
	for range 130 {
		live = append(live, mustAlloc(t, a, 32<<10))
	}
	live = append(live, mustAlloc(t, a, 20<<20), mustAlloc(t, a, 20<<20-1))
	want := []SizeClass{
		{Size: 32 << 10, Runs: 2, Used: 130, Free: 126},
		{Size: 20 << 20, Runs: 2, Used: 2},
	}
	if d := cmp.Diff(want, a.SizeClasses()); d != "" {
		t.Errorf("size classes (-want +got):\n%s", d)
	}
	slices.Reverse(live)
	for _, b := range live {
		a.Free(b)
	}
	wantEmpty(t, a)
}

// A run takes a small part of a small arena: one object must not keep another
// size out.
func TestSmallArenaServesSeveralSizes(t *testing.T) {
	a := newArena(t, Options{Bytes: 10 * 4096})
	mustAlloc(t, a, 4096)
	mustAlloc(t, a, 8192)
	mustAlloc(t, a, 28672)
}

func TestFreeOfWhatIsNotHandedOutPanics(t *testing.T) {
	a := newArena(t, Options{Bytes: 1 << 20})
	b := mustAlloc(t, a, 4096)
	mustAlloc(t, a, 4096)
	a.Free(b)
	for name, b := range map[string]Buf{"twice": b, "zero": {}, "no such run": {run: 77}, "no such slot": {run: 1, slot: 300}} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("Free did not panic")
				}
			}()
			a.Free(b)
		})
	}
}

func TestPoison(t *testing.T) {
	a := newArena(t, Options{Bytes: 1 << 20, Memory: make([]byte, 1<<20)})
	b, c := mustAlloc(t, a, 5000), mustAlloc(t, a, 5000)
	buf, other := a.Bytes(b, 8192), a.Bytes(c, 8192)
	for i := range buf {
		buf[i], other[i] = 1, 2
	}
	a.Free(b)
	want := byte(1)
	if invariants.Enabled {
		want = Poison
	}
	for i := range buf {
		if buf[i] != want || other[i] != 2 {
			t.Fatalf("byte %d: freed %#x (want %#x), kept %#x (want 2)", i, buf[i], want, other[i])
		}
	}
}

// Steady state allocates nothing from the Go heap, neither within a size nor when
// sizes come and go.
func TestNoHeapAllocation(t *testing.T) {
	a := newArena(t, Options{Bytes: 256 << 20})
	var live [400]Buf
	step := func(i int) {
		for n := range 4000 {
			k := (n*7919 + i) % len(live)
			if !live[k].IsZero() {
				a.Free(live[k])
				live[k] = Buf{}
			}
			if b, ok := a.Alloc(int64(4096 * (1 + (n+i)%97))); ok {
				live[k] = b
			}
			if n%1000 == 999 {
				a.Reclaim()
			}
		}
	}
	for i := range 20 {
		step(i)
	}
	i := 0
	if n := testing.AllocsPerRun(20, func() { step(i % 20); i++ }); n != 0 {
		t.Errorf("%v allocations per 4,000 steps", n)
	}
}

// The hole that fits best is taken, and of equal ones the first: what one size
// leaves is kept for that size.
func TestBestFit(t *testing.T) {
	const m = 1 << 20
	a := newArena(t, Options{Bytes: 192 * m})
	first := map[int64]int64{}
	var holes []Buf
	for _, size := range []int64{30 * m, 20 * m, 32 * m, 20 * m, 21 * m} {
		b := mustAlloc(t, a, size)
		mustAlloc(t, a, 4*m)
		if _, ok := first[size]; !ok {
			first[size] = a.Offset(b)
		}
		holes = append(holes, b)
	}
	for _, b := range holes {
		a.Free(b)
	}
	for _, size := range []int64{21 * m, 20 * m, 32 * m, 30 * m} {
		if got := a.Offset(mustAlloc(t, a, size)); got != first[size] {
			t.Errorf("an object of %d MiB is at %d, want it in the hole of its size at %d", size/m, got, first[size])
		}
	}
}

// A run is cut to the largest range there is, and takes all of it that it can.
func TestRunIsCutToFit(t *testing.T) {
	a := newArena(t, Options{Bytes: 64 << 20})
	mustAlloc(t, a, 63<<20)
	mustAlloc(t, a, 900<<10)
	mustAlloc(t, a, 20<<10) // of which a run of 1 MiB would hold 51
	want := SizeClass{Size: 20 << 10, Runs: 1, Used: 1, Free: 5}
	for _, c := range a.SizeClasses() {
		if c.Size == want.Size && c != want {
			t.Errorf("size class is %+v, want %+v", c, want)
		}
	}
}
