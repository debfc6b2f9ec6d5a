package l1_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// step is the size of the pieces in which memory grows in these tests.
const step = 16 * unit

// gate lets the background make a number of pieces ready, and no more until it is
// opened.
type gate struct {
	tokens  chan struct{}
	waiting chan struct{} // one for each piece that waits
	once    sync.Once
}

func newGate(pieces int) *gate {
	g := &gate{tokens: make(chan struct{}, 1<<16), waiting: make(chan struct{}, 1<<16)}
	g.let(pieces)
	return g
}

func (g *gate) let(pieces int) {
	for range pieces {
		g.tokens <- struct{}{}
	}
}

func (g *gate) open() { g.once.Do(func() { close(g.tokens) }) }

func (g *gate) fault(s l1.Step) error {
	if s == l1.StepPopulate {
		g.waiting <- struct{}{}
		<-g.tokens
	}
	return nil
}

// newLive makes a manager with a clock and goroutines of its own.
func newLive(t *testing.T, o l1.Options) *l1.Manager {
	t.Helper()
	m, err := l1.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// stage reserves keys and returns the lease and how many were granted.
func stage(t *testing.T, m *l1.Manager, layout kv.Layout, keys ...kv.Key) (l1.WriteLease, int) {
	t.Helper()
	w, err := m.ReserveWrite(time.Now(), keys, layout, l1.WriteNew, l1.WriteOptions{Owner: "writer"})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range w.All() {
		n++
	}
	return w, n
}

// until waits for what other goroutines are about to do.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); {
		if time.Now().After(end) {
			t.Fatalf("%s: never", what)
		}
		pause := time.NewTimer(time.Millisecond)
		<-pause.C
	}
}

// REQ-S32: while the memory grows, a reservation gets what it needs at once, to the
// last byte of the final capacity, and nothing is evicted for it.
func TestREQ_S32_GrowthNeitherFailsNorEvicts(t *testing.T) {
	leak.Check(t)
	for _, size := range []int64{unit, 3 * unit, 5*unit + 1, 40 * unit} {
		g := newGate(0)
		m := newLive(t, l1.Faulty(l1.Options{Bytes: 20 * step, InitBytes: 2 * step}, step, g.fault))
		t.Cleanup(g.open)
		if s := m.Stats(); s.CapacityBytes != 20*step || s.ConfiguredBytes != 20*step || s.CommittedBytes < 2*step || s.CommittedBytes > 5*step {
			t.Errorf("at the start: %+v", s)
		}
		layout := layoutOf(t, size)
		fits := int(20 * step / ((size + unit - 1) / unit * unit))
		stored := 0
		for stored < fits {
			n := min(7, fits-stored)
			w, granted := stage(t, m, layout, chunks(1, stored, stored+n)...)
			if granted != n {
				t.Fatalf("%d bytes: %d of %d granted after %d of %d: %+v", size, granted, n, stored, fits, m.Stats())
			}
			for _, b := range w.All() {
				for i := range b {
					b[i] = 1
				}
			}
			w.Finish(time.Now(), l1.OriginNew)
			stored += n
		}
		s := m.Stats()
		if s.EvictedObjects != 0 || s.EvictionRuns != 0 || s.CommittedBytes != 20*step || s.Objects != int64(fits) || s.CapacityBytes != 20*step {
			t.Errorf("%d bytes: %+v", size, s)
		}
		// Now that there is no more, it evicts.
		if w, granted := stage(t, m, layout, chunk(2, 0)); granted != 1 || m.Stats().EvictedObjects != 1 {
			t.Errorf("%d bytes: %d granted, %+v", size, granted, m.Stats())
		} else {
			w.Abort(time.Now(), l1.AbortOwner)
		}
		if err := m.Check(); err != nil {
			t.Error(err)
		}
	}
}

// REQ-S40: with memory that is committed in part, whatever the background does,
// used bytes are those of the live buffers, what is used and what is free make the
// capacity, and no byte is lost or used twice.
func TestREQ_S40_PartlyCommittedMemory(t *testing.T) {
	for seed := range uint64(6) {
		rnd := rand.New(rand.NewPCG(seed, 40))
		g := newGate(0)
		m := newLive(t, l1.Faulty(l1.Options{Bytes: 30 * step, InitBytes: step}, step, g.fault))
		t.Cleanup(g.open)
		layouts := []kv.Layout{layoutOf(t, unit), layoutOf(t, 3*unit), layoutOf(t, 20*unit)}
		type object struct {
			w    l1.WriteLease
			size int64
			fill byte
		}
		var live []object
		used := int64(0)
		for i := range 800 {
			if rnd.IntN(20) == 0 {
				g.let(1)
			}
			if len(live) > 0 && rnd.IntN(5) < 2 {
				k := rnd.IntN(len(live))
				o := live[k]
				for _, b := range o.w.All() {
					if bytes.Count(b, []byte{o.fill}) != len(b) {
						t.Fatalf("seed %d: a buffer has lost its bytes", seed)
					}
				}
				o.w.Abort(time.Now(), l1.AbortOwner)
				used -= o.size
				live[k] = live[len(live)-1]
				live = live[:len(live)-1]
			} else {
				layout := layouts[rnd.IntN(len(layouts))]
				w, n := stage(t, m, layout, chunk(int(seed), i))
				if n == 1 {
					o := object{w, layout.Size(), byte(i)}
					for _, b := range w.All() {
						for j := range b {
							b[j] = o.fill
						}
					}
					live, used = append(live, o), used+o.size
				}
			}
			s := m.Stats()
			if s.UsedBytes != used || s.UsedBytes > s.CapacityBytes || s.CapacityBytes != 30*step || used > s.CommittedBytes {
				t.Fatalf("seed %d: %d bytes live: %+v", seed, used, s)
			}
			if err := m.Check(); err != nil {
				t.Fatal(err)
			}
		}
		for _, o := range live {
			o.w.Abort(time.Now(), l1.AbortOwner)
		}
	}
}

// Callers that need memory and the background get it side by side.
func TestGrowthBesideCallers(t *testing.T) {
	leak.Check(t)
	m := newLive(t, l1.Faulty(l1.Options{Bytes: 400 * step, InitBytes: step}, step, nil))
	layout := layoutOf(t, unit-100)
	var all sync.WaitGroup
	for c := range 4 {
		all.Go(func() {
			for i := range 400 * 16 / 4 / 8 {
				keys := chunks(c, i*8, i*8+8)
				w, err := m.ReserveWrite(time.Now(), keys, layout, l1.WriteNew, l1.WriteOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				for j, b := range w.All() {
					pattern(b, keys[j], 1)
				}
				if n := len(w.Finish(time.Now(), l1.OriginNew).Finished); n != 8 {
					t.Errorf("%d of 8 stored", n)
				}
			}
		})
	}
	all.Wait()
	s := m.Stats()
	if s.Objects != 400*16 || s.EvictedObjects != 0 || s.UsedBytes != s.CapacityBytes {
		t.Errorf("%+v", s)
	}
	for c := range 4 {
		keys := chunks(c, 0, 1600)
		r, err := m.ReserveRead(time.Now(), keys, layout, l1.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, layout.Size())
		for j, b := range r.All() {
			if pattern(want, keys[j], 1); !bytes.Equal(b, want) {
				t.Fatalf("object %d of caller %d has other bytes", j, c)
			}
		}
		r.Finish(time.Now(), l1.CauseRead)
	}
	if err := m.Check(); err != nil {
		t.Error(err)
	}
}

// Close ends growth wherever it is, and a reservation that waits for memory.
func TestCloseDuringGrowth(t *testing.T) {
	leak.Check(t)
	for _, wait := range []l1.Step{l1.StepPopulate, l1.StepCommit} {
		entered, leave := make(chan struct{}, 100), make(chan struct{})
		var started atomic.Bool
		m, err := l1.New(l1.Faulty(l1.Options{Bytes: 100 * step, InitBytes: step}, step, func(s l1.Step) error {
			if s == wait && started.Load() {
				entered <- struct{}{}
				<-leave
			}
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		started.Store(true)
		var all sync.WaitGroup
		all.Go(func() {
			w, err := m.ReserveWrite(time.Now(), chunks(1, 0, 1000), layoutOf(t, unit), l1.WriteNew, l1.WriteOptions{})
			if err == nil {
				w.Abort(time.Now(), l1.AbortOwner)
			} else if !errors.Is(err, l1.ErrClosed) {
				t.Error(err)
			}
		})
		<-entered
		closed := make(chan struct{})
		all.Go(func() {
			defer close(closed)
			if err := m.Close(); err != nil && !errors.As(err, new(*l1.LeakError)) {
				t.Error(err)
			}
		})
		until(t, "closing", func() bool {
			_, err := m.ReserveRead(time.Now(), chunks(1, 0, 1), layoutOf(t, unit), l1.ReadOptions{Look: true})
			return errors.Is(err, l1.ErrClosed)
		})
		select {
		case <-closed:
			if wait == l1.StepCommit {
				t.Error("closed while memory is being committed")
			}
		default:
		}
		close(leave)
		all.Wait()
	}
}

// mappings is the number of lines of /proc/self/maps, 0 where there is none.
func mappings() int {
	data, _ := os.ReadFile("/proc/self/maps")
	return bytes.Count(data, []byte("\n"))
}

// REQ-S20: whatever step of the construction fails, no goroutine, no mapping and no
// file stays.
func TestREQ_S20_FailedOpenLeavesNothing(t *testing.T) {
	leak.Check(t)
	broken := errors.New("broken")
	for _, kind := range []string{"lazy", "eager", "shared", "shared eager"} {
		for _, c := range []struct {
			step  l1.Step
			after int
		}{{l1.StepCreate, 0}, {l1.StepReserve, 0}, {l1.StepCommit, 0}, {l1.StepCommit, 5}, {l1.StepPopulate, 0}, {l1.StepPopulate, 9}} {
			shared, eager := strings.HasPrefix(kind, "shared"), strings.HasSuffix(kind, "eager")
			if c.step == l1.StepCreate && !shared || c.step == l1.StepPopulate && !eager {
				continue
			}
			t.Run(fmt.Sprint(kind, " ", c.step, " ", c.after), func(t *testing.T) {
				dir := t.TempDir()
				var n atomic.Int64
				o := l1.Options{Bytes: 10 * step, InitBytes: 6 * step, Eager: eager}
				if shared {
					o.ShmName, o.ShmDir = "test", dir
				}
				before := mappings()
				m, err := l1.New(l1.Faulty(o, step, func(s l1.Step) error {
					if s == c.step && n.Add(1) > int64(c.after) {
						return broken
					}
					return nil
				}))
				if !errors.Is(err, broken) || m != nil {
					t.Fatalf("got %v", err)
				}
				if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
					t.Errorf("left %v (%v)", list, err)
				}
				if after := mappings(); after > before+8 { // the Go runtime may have made some; 10 pieces are more
					t.Errorf("%d mappings, %d before", after, before)
				}
			})
		}
	}
}

// Memory that cannot be had in the background or for a caller makes the cache
// smaller. It is said once, it is seen, and the rest goes on.
func TestMemoryThatCannotBeHad(t *testing.T) {
	leak.Check(t)
	for _, name := range []string{"background", "caller"} {
		t.Run(name, func(t *testing.T) {
			full := errors.New("no space left")
			var commits atomic.Int64
			g := newGate(100)
			if name == "caller" {
				g = newGate(0)
			}
			var log bytes.Buffer
			m := newLive(t, l1.Faulty(l1.Options{
				Bytes: 20 * step, InitBytes: 3 * step, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			}, step, func(s l1.Step) error {
				if s == l1.StepCommit && commits.Add(1) > 5 {
					return full
				}
				return g.fault(s)
			}))
			t.Cleanup(g.open)
			layout := layoutOf(t, unit)
			if name == "background" {
				until(t, "the loss", func() bool { return m.Stats().CapacityBytes < 20*step })
			}
			for i := range 40 {
				w, n := stage(t, m, layout, chunks(1, i*8, i*8+8)...)
				if n != 8 {
					t.Fatalf("%d of 8 granted: %+v", n, m.Stats())
				}
				w.Finish(time.Now(), l1.OriginNew)
			}
			s := m.Stats()
			if s.ConfiguredBytes != 20*step || s.CapacityBytes != 5*step || s.CommittedBytes != 5*step || s.Objects != 5*16 || s.UsedBytes != s.CapacityBytes {
				t.Errorf("%+v", s)
			}
			if err := m.Check(); err != nil {
				t.Error(err)
			}
			// An object that would fit the configured size only is out of memory.
			if w, n := stage(t, m, layoutOf(t, 6*step), chunk(3, 0)); n != 0 || w.Code(0) == l1.Success {
				t.Errorf("%d granted of what cannot fit", n)
			}
			g.open()
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(log.String(), "L1 memory cannot grow any further"); n != 1 || !strings.Contains(log.String(), `error="no space left"`) {
				t.Errorf("said %d times:\n%s", n, log.String())
			}
		})
	}
}

// Eager memory is all there before New returns, and says how far it is.
func TestEager(t *testing.T) {
	leak.Check(t)
	var heard []int64
	var populated atomic.Int64
	m := newLive(t, l1.Faulty(l1.Options{Bytes: 30*step + unit, Eager: true, Progress: func(done, total int64) {
		if total != 30*step+unit {
			t.Errorf("%d of %d", done, total)
		}
		heard = append(heard, done)
	}}, step, func(s l1.Step) error {
		if s == l1.StepPopulate {
			populated.Add(1)
		}
		return nil
	}))
	if len(heard) != 31 || heard[30] != 30*step+unit || populated.Load() != 31 {
		t.Errorf("heard %v, populated %d pieces", heard, populated.Load())
	}
	for i := 1; i < len(heard); i++ {
		if heard[i] <= heard[i-1] {
			t.Errorf("%d after %d", heard[i], heard[i-1])
		}
	}
	d := m.Memory()
	if s := m.Stats(); s.CommittedBytes != 30*step+unit || d.CommittedBytes != s.CommittedBytes || d.Bytes != s.CommittedBytes || d.Base == 0 || d.Align != unit || d.Name != "" {
		t.Errorf("%+v, %d committed", d, s.CommittedBytes)
	}
	// The end of the context stops it.
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	if _, err := l1.Open(ctx, l1.Faulty(l1.Options{Bytes: 1000 * step, Eager: true, Progress: func(int64, int64) { cancel(stop) }}, step, nil)); !errors.Is(err, stop) {
		t.Errorf("after the context has ended: %v", err)
	}
}

// An initial size above the size is taken for the size, and said.
func TestInitialSizeIsClamped(t *testing.T) {
	for _, init := range []int64{0, 4 * step, 5 * step} {
		var log bytes.Buffer
		m := newLive(t, l1.Faulty(l1.Options{Bytes: 4 * step, InitBytes: init, Logger: slog.New(slog.NewTextHandler(&log, nil))}, step, nil))
		if got := m.Stats().CommittedBytes; got != 4*step {
			t.Errorf("%d bytes are committed with an initial size of %d", got, init)
		}
		if said := strings.Contains(log.String(), "level=INFO msg=\"the initial size of L1 is more"); said != (init > 4*step) {
			t.Errorf("initial size %d:\n%s", init, log.String())
		}
	}
}

// Without a live runtime nothing happens in the background.
func TestVirtualMemoryIsThereAtOnce(t *testing.T) {
	leak.Check(t)
	var populated atomic.Int64
	f := newFixture(t, l1.Faulty(l1.Options{Bytes: 10 * step, InitBytes: step}, step, func(s l1.Step) error {
		if s == l1.StepPopulate {
			populated.Add(1)
		}
		return nil
	}))
	if s := f.m.Stats(); s.CommittedBytes != 10*step || populated.Load() != 0 {
		t.Errorf("%d bytes committed, %d pieces populated", s.CommittedBytes, populated.Load())
	}
	none := newFixture(t, l1.Options{Bytes: 1 << 40, NoBytes: true})
	if s, d := none.m.Stats(), none.m.Memory(); s.CommittedBytes != 0 || d.Base != 0 || d.CommittedBytes != 0 || d.Bytes != 1<<40 {
		t.Errorf("without bytes: %+v, %+v", s, d)
	}
}
