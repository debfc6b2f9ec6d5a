package l1_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus/eventbustest"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// flow sends distinct keys through a manager: prompts of random length and a few
// tenants at a time, whose names are not used again, some with a quota; part of the
// reservations is aborted, part of the prompts read.
type flow struct {
	m      *l1.Manager
	layout kv.Layout
	r      *rand.Rand
	now    time.Time
	made   int
	limits []string
}

func newFlow(tb testing.TB, seed uint64) *flow {
	tb.Helper()
	m, err := l1.New(l1.Options{
		Bytes: 2000 * unit, NoBytes: true, Policy: "IsolatedLRU", Mode: l1.ModeWatermark,
		Bus: eventbustest.NewManualBus(tb),
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := m.Close(); err != nil {
			tb.Error(err)
		}
	})
	return &flow{m: m, layout: layoutOf(tb, unit), r: rand.New(rand.NewPCG(seed, 77)), now: time.Now()}
}

// send goes on until n keys have been sent in all.
func (f *flow) send(tb testing.TB, n int) {
	tb.Helper()
	for f.made < n {
		f.now = f.now.Add(time.Millisecond)
		salt := fmt.Sprintf("tenant-%d", f.made/5000*4+f.r.IntN(4))
		keys := make([]kv.Key, 1+f.r.IntN(100))
		for i := range keys {
			var h [32]byte
			binary.BigEndian.PutUint64(h[:], f.r.Uint64())
			binary.BigEndian.PutUint64(h[8:], uint64(f.made))
			f.made++
			keys[i] = kv.Key{Hash: kv.Hash32(h), Model: "m", Salt: salt, Rank: 0x01000100}
		}
		w, err := f.m.ReserveWrite(f.now, keys, f.layout, l1.WriteNew, l1.WriteOptions{})
		if err != nil {
			tb.Fatal(err)
		}
		if f.r.IntN(10) == 0 {
			w.Abort(f.now, l1.AbortOwner)
		} else {
			w.Finish(f.now, l1.OriginNew)
		}
		l, err := f.m.ReserveRead(f.now, keys, f.layout, l1.ReadOptions{})
		if err != nil {
			tb.Fatal(err)
		}
		l.Finish(f.now, l1.CauseRead)
		if f.r.IntN(100) == 0 {
			f.limit(tb, salt)
		}
	}
}

// limit gives a tenant a quota and takes the oldest of ten away.
func (f *flow) limit(tb testing.TB, salt string) {
	tb.Helper()
	if f.m.HasQuota(salt) {
		return
	}
	if err := f.m.SetQuota(f.now, salt, 300*unit); err != nil {
		tb.Fatal(err)
	}
	if f.limits = append(f.limits, salt); len(f.limits) > 10 {
		f.m.DeleteQuota(f.limits[0])
		f.limits = f.limits[1:]
	}
}

// heap is the bytes of all live objects of the process.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// grown fails if the manager's memory has grown by more than what the tables of a
// full manager vary by.
func (f *flow) grown(tb testing.TB, before int64) {
	tb.Helper()
	const slack = 1 << 20
	if after := heap(); after > before+slack {
		tb.Errorf("the heap grew from %d to %d bytes over %d keys", before, after, f.made)
	}
	if err := f.m.Check(); err != nil {
		tb.Error(err)
	}
}

// REQ-S77: after the bounded tables are full, distinct keys leave nothing behind.
func TestREQ_S77_DistinctKeysLeaveNothing(t *testing.T) {
	f := newFlow(t, 1)
	f.send(t, 200_000)
	before := heap()
	f.send(t, 1_000_000)
	f.grown(t, before)
}

// BenchmarkSoak is the same for as many keys as it is told to send; see make soak.
func BenchmarkSoak(b *testing.B) {
	seed, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	if err != nil {
		seed = 1
	}
	f := newFlow(b, seed)
	f.send(b, 200_000)
	before := heap()
	start := time.Now()
	b.ResetTimer()
	f.send(b, 200_000+b.N)
	b.StopTimer()
	f.grown(b, before)
	if b.N > 1 {
		b.Logf("seed %d, %d keys in %v", seed, b.N, time.Since(start))
	}
}
