package arena

import (
	"math/rand/v2"
	"testing"
)

// cacheSim is an arena under pressure: every object is wanted, and what is in the
// way leaves in random order or, with fifo, in the order of arrival.
type cacheSim struct {
	a     *Arena
	r     *rand.Rand
	fifo  bool
	live  []Buf
	head  int
	evict int
}

// put takes a piece, freeing others until there is room. It reports whether
// there is.
func (s *cacheSim) put(size int64) bool {
	for {
		if b, ok := s.a.Alloc(size); ok {
			s.live = append(s.live, b)
			return true
		}
		if s.head == len(s.live) {
			return false
		}
		s.evict++
		if s.fifo {
			s.a.Free(s.live[s.head])
			if s.head++; s.head > 1<<16 {
				s.live, s.head = append([]Buf(nil), s.live[s.head:]...), 0
			}
			continue
		}
		i, last := s.r.IntN(len(s.live)), len(s.live)-1
		s.a.Free(s.live[i])
		s.live[i] = s.live[last]
		s.live = s.live[:last]
	}
}

// With sizes mixed in any way, most of the arena stays in use while objects leave
// one by one to make room for others.
func TestMixedSizesUseTheArena(t *testing.T) {
	const k, m = 1 << 10, 1 << 20
	tests := []struct {
		name  string
		bytes int64
		sizes []int64
		fifo  bool
		shift bool    // nine of ten objects are of one size, which changes
		want  float64 // of the capacity in use, on average
	}{
		{"two small in order", 160 * m, []int64{32 * k, 48 * k}, true, false, 0.98},
		{"two small", 160 * m, []int64{32 * k, 48 * k}, false, false, 0.96},
		{"five small", 160 * m, []int64{4 * k, 12 * k, 32 * k, 44 * k, 100 * k}, false, false, 0.95},
		{"two small that change", 160 * m, []int64{32 * k, 48 * k}, false, true, 0.86},
		{"two large in order", 16 << 30, []int64{20 * m, 32 * m}, true, false, 0.99},
		{"two large", 16 << 30, []int64{20 * m, 32 * m}, false, false, 0.95},
		{"two large that change", 16 << 30, []int64{20 * m, 32 * m}, false, true, 0.86},
		{"two nearly equal", 16 << 30, []int64{32 * m, 32*m + 4*k}, false, false, 0.97},
		{"small and large", 4 << 30, []int64{64 * k, 1 * m, 3 * m, 16 * m}, false, false, 0.96},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &cacheSim{a: newArena(t, Options{Bytes: tt.bytes}), r: newRand(1, 2), fifo: tt.fifo}
			var mean int64
			for _, size := range tt.sizes {
				mean += size / int64(len(tt.sizes))
			}
			steps := int(8 * tt.bytes / mean)
			var sum float64
			n := 0
			for i := range steps {
				j := s.r.IntN(len(tt.sizes))
				if tt.shift && s.r.IntN(10) > 0 {
					j = i * 8 / steps % len(tt.sizes)
				}
				if !s.put(tt.sizes[j]) {
					t.Fatalf("no room for %d bytes in an empty arena", tt.sizes[j])
				}
				if i > steps/4 {
					sum += float64(s.a.Used()) / float64(s.a.Capacity())
					n++
				}
			}
			if got := sum / float64(n); got < tt.want {
				t.Errorf("%.3f of the arena is in use, want at least %.2f", got, tt.want)
			} else {
				t.Logf("%.4f of the arena is in use, %.3f objects left per new one", got, float64(s.evict)/float64(steps))
			}
		})
	}
}

// REQ-S41: a million objects of layouts that come and go, always at capacity: the
// largest is never refused while something may leave, and in the end the whole
// arena is one range again.
func TestREQ_S41_MixedSizesDoNotWedge(t *testing.T) {
	const steps = 1_000_000
	layouts := []int64{4 << 10, 36 << 10, 64 << 10, 100<<10 + 7, 1 << 20, 2<<20 + 4096, 9 << 20}
	s := &cacheSim{a: newArena(t, Options{Bytes: 96 << 20}), r: newRand(41, 41)}
	var used float64
	for i := range steps {
		// One layout for a while, the next one mixed in, then that one alone.
		j := i / 9973
		if s.r.IntN(9973) < i%9973 {
			j++
		}
		if !s.put(layouts[j%len(layouts)]) {
			t.Fatalf("step %d: no room for %d bytes in an empty arena", i, layouts[j%len(layouts)])
		}
		used += float64(s.a.Used()) / float64(s.a.Capacity())
		if i%99_991 == 0 {
			check(t, s.a)
			if !s.put(layouts[len(layouts)-1]) {
				t.Fatalf("step %d: no room for the largest layout", i)
			}
		}
	}
	if mean := used / steps; mean < 0.6 {
		t.Errorf("%.3f of the arena is in use on average", mean)
	} else {
		t.Logf("%.3f of the arena is in use on average", mean)
	}
	for _, b := range s.live[s.head:] {
		s.a.Free(b)
	}
	wantEmpty(t, s.a)
}

// One object in use per run is all that can stand in the way of another size:
// Reclaim gives out everything between.
func TestReclaimFreesWhatLiesBetween(t *testing.T) {
	a := newArena(t, Options{Bytes: 256 << 20})
	var live []Buf
	for {
		b, ok := a.Alloc(32 << 10)
		if !ok {
			break
		}
		live = append(live, b)
	}
	kept := 0
	for i, b := range live {
		if i%128 == 64 {
			kept++
			continue
		}
		a.Free(b)
	}
	if !a.Reclaim() {
		t.Fatal("nothing to reclaim")
	}
	if a.Reclaim() {
		t.Error("something is left to reclaim")
	}
	check(t, a)
	// Between two objects that are 4 MiB apart one of 3 MiB fits.
	got := a.Available(3<<20, 1<<20)
	if want := 64; kept != want || got < want-1 {
		t.Errorf("%d pieces of 3 MiB fit between %d objects, want at least %d", got, kept, want-1)
	}
	for i := 64; i < len(live); i += 128 {
		a.Free(live[i])
	}
	wantEmpty(t, a)
}
