package l1_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/eventbus/eventbustest"
	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// unit is the size of a small object in the fixtures.
const unit = 4096

// fixture is a manager under virtual time. At the end of the test it is checked,
// and nothing may be lent out.
type fixture struct {
	t      testing.TB
	m      *l1.Manager
	rt     *runtime.Virtual
	bus    *eventbus.Bus
	layout kv.Layout
}

// newFixture makes a manager; Bytes of o defaults to 8 small objects.
func newFixture(t testing.TB, o l1.Options) *fixture {
	t.Helper()
	f := &fixture{t: t, rt: runtime.NewVirtual(runtime.VirtualOptions{}), layout: layoutOf(t, unit)}
	if o.Bus == nil {
		o.Bus = eventbustest.NewManualBus(t)
	}
	f.bus = o.Bus
	if o.Bytes == 0 {
		o.Bytes = 8 * unit
	}
	o.Runtime = f.rt
	m, err := l1.New(o)
	if err != nil {
		t.Fatal(err)
	}
	f.m = m
	t.Cleanup(func() {
		f.check()
		if s := m.Stats(); s.Leases != 0 || s.OrphanedBytes != 0 {
			t.Errorf("%d leases and %d orphaned bytes are left", s.Leases, s.OrphanedBytes)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func layoutOf(t testing.TB, n int64) kv.Layout {
	t.Helper()
	l, err := kv.RawLayout(n)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (f *fixture) now() time.Time { return f.rt.Now() }

func (f *fixture) advance(d time.Duration) { f.rt.RunUntil(f.now().Add(d)) }

func (f *fixture) check() {
	f.t.Helper()
	if err := f.m.Check(); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) reserve(mode l1.WriteMode, keys ...kv.Key) l1.WriteLease {
	f.t.Helper()
	w, err := f.m.ReserveWrite(f.now(), keys, f.layout, mode, l1.WriteOptions{Owner: "writer"})
	if err != nil {
		f.t.Fatal(err)
	}
	return w
}

// store commits keys, each filled with its pattern of version v, and returns how
// many there was memory for.
func (f *fixture) store(v uint64, keys ...kv.Key) int {
	f.t.Helper()
	w := f.reserve(l1.WriteAll, keys...)
	for i, b := range w.All() {
		pattern(b, keys[i], v)
	}
	return len(w.Finish(f.now(), l1.OriginNew).Finished)
}

func (f *fixture) read(readers int, keys ...kv.Key) l1.ReadLease {
	f.t.Helper()
	r, err := f.m.ReserveRead(f.now(), keys, f.layout, l1.ReadOptions{Owner: "reader", Readers: readers})
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

// resident is the number of keys that are there now.
func (f *fixture) resident(keys ...kv.Key) (n int) {
	f.t.Helper()
	r, err := f.m.ReserveRead(f.now(), keys, f.layout, l1.ReadOptions{Look: true})
	if err != nil {
		f.t.Fatal(err)
	}
	for i := range keys {
		if r.Code(i) == l1.Success {
			n++
		}
	}
	return n
}

// holds fails unless the lease's buffers are those of version v.
func (f *fixture) holds(r l1.ReadLease, v uint64) {
	f.t.Helper()
	keys := r.Keys()
	want := make([]byte, f.layout.Size())
	for i, b := range r.All() {
		pattern(want, keys[i], v)
		if string(b) != string(want) {
			f.t.Fatalf("position %d does not hold version %d", i, v)
		}
	}
}

func (f *fixture) codes(got func(int) l1.Code, want ...l1.Code) {
	f.t.Helper()
	for i, c := range want {
		if got(i) != c {
			f.t.Fatalf("position %d: got %v, want %v", i, got(i), c)
		}
	}
}

// chunk is the key of chunk i of a prompt, on rank 0 of 1.
func chunk(prompt, i int) kv.Key { return rankOf(prompt, i, 0, 1) }

func rankOf(prompt, i, rank, world int) kv.Key {
	var h [32]byte
	binary.BigEndian.PutUint64(h[:], uint64(prompt*1000003+i+1)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint32(h[8:], uint32(prompt))
	binary.BigEndian.PutUint32(h[12:], uint32(i))
	return kv.Key{Hash: kv.Hash32(h), Model: "m", Rank: uint32(world<<24 | rank<<16 | world<<8 | rank)}
}

// chunks are the keys [lo, hi) of a prompt.
func chunks(prompt, lo, hi int) []kv.Key {
	keys := make([]kv.Key, 0, hi-lo)
	for i := lo; i < hi; i++ {
		keys = append(keys, chunk(prompt, i))
	}
	return keys
}
