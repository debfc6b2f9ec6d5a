package l1_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// pattern fills b with what version v of key k contains.
func pattern(b []byte, k kv.Key, v uint64) {
	h, _ := k.Hash.Array()
	x := v*0x9e3779b97f4a7c15 ^ binary.LittleEndian.Uint64(h[:8]) ^ uint64(k.Rank)<<32 ^ uint64(len(k.Salt))
	for i := range b {
		if i%8 == 0 {
			x = x*6364136223846793005 + 1442695040888963407
		}
		b[i] = byte(x >> (8 * (i % 8)))
	}
}

// world is a manager and what a plain map says should be in it.
type world struct {
	t        *testing.T
	m        *l1.Manager
	rt       *runtime.Virtual
	r        *rand.Rand
	bytes    bool
	layouts  []kv.Layout
	keys     []kv.Key
	version  map[kv.Key]uint64 // last committed; 0: none, or removed on purpose
	layoutOf map[kv.Key]int
	next     uint64
	writes   []*write
	reads    []*read
	quotas   bool
	allowed  map[string]int64 // per salt with a quota: what it may have now
}

type write struct {
	l      l1.WriteLease
	keys   []kv.Key
	layout int
	v      []uint64 // per position; 0: not granted or done
	temp   bool     // temporaries: finished with a reader
	born   time.Time
}

type read struct {
	l      l1.ReadLease
	keys   []kv.Key
	layout int
	v      []uint64 // per position; 0: not granted
	born   time.Time
	take   bool // made by Take, or by the commit
	part   bool // a part was given back: its bytes are no longer ours
}

func (w *world) pick(n int) []kv.Key {
	from := w.r.IntN(len(w.keys))
	keys := make([]kv.Key, 0, n)
	for i := range n {
		if w.r.IntN(20) == 0 {
			from = w.r.IntN(len(w.keys))
		}
		keys = append(keys, w.keys[(from+i)%len(w.keys)])
	}
	return keys
}

const ttl = time.Minute

func (w *world) step() {
	now := w.rt.Now()
	switch op := w.r.IntN(100); {
	case op < 25:
		w.reserve(now)
	case op < 45 && len(w.writes) > 0:
		w.finish(now)
	case op < 52 && len(w.writes) > 0:
		i := w.r.IntN(len(w.writes))
		wr := w.writes[i]
		wr.l.Abort(now, l1.AbortOwner)
		wr.l.Abort(now, l1.AbortOwner)
		w.writes = append(w.writes[:i], w.writes[i+1:]...)
	case op < 70:
		w.lookup(now)
	case op < 78 && len(w.reads) > 0:
		w.takeSome(now)
	case op < 90 && len(w.reads) > 0:
		w.release(now)
	case op < 92:
		w.m.Touch(now, w.pick(1+w.r.IntN(5)))
	case op < 95:
		w.remove(now)
	case op < 96 && w.quotas:
		w.quota(now)
	case op < 96:
		w.clear(now)
	case op < 98:
		w.rt.RunUntil(now.Add(time.Duration(w.r.Int64N(int64(ttl)))))
	default:
		if len(w.reads) > 0 {
			rd := w.reads[w.r.IntN(len(w.reads))]
			rd.l.Renew(now)
		}
	}
}

func (w *world) reserve(now time.Time) {
	keys := w.pick(1 + w.r.IntN(90))
	layout := w.r.IntN(len(w.layouts))
	mode := l1.WriteMode(w.r.IntN(3))
	var temp []bool
	if w.r.IntN(6) == 0 {
		temp = make([]bool, len(keys))
		for i := range temp {
			temp[i] = w.r.IntN(3) > 0
		}
	}
	l, err := w.m.ReserveWrite(now, keys, w.layouts[layout], mode, l1.WriteOptions{Owner: "model", Temporary: temp})
	if err != nil {
		w.t.Fatal(err)
	}
	wr := &write{l: l, keys: keys, layout: layout, v: make([]uint64, len(keys)), temp: temp != nil, born: now}
	for i, b := range l.All() {
		w.next++
		wr.v[i] = w.next
		if w.bytes {
			pattern(b, keys[i], wr.v[i])
			for _, pad := range b[len(b):cap(b)] {
				if pad != 0 {
					w.t.Fatal("padding is not zero")
				}
			}
		}
	}
	seen := map[kv.Key]bool{}
	for i, k := range keys {
		code := l.Code(i)
		if (code == l1.Success) != (wr.v[i] != 0) {
			w.t.Fatalf("position %d: code %v, buffer %v", i, code, wr.v[i] != 0)
		}
		if code == l1.Success && seen[k] {
			w.t.Fatalf("key granted twice in one call")
		}
		seen[k] = seen[k] || code == l1.Success
	}
	w.writes = append(w.writes, wr)
}

func (w *world) finish(now time.Time) {
	i := w.r.IntN(len(w.writes))
	wr := w.writes[i]
	if wr.temp {
		w.writes = append(w.writes[:i], w.writes[i+1:]...)
		w.finishAndRead(now, wr)
		return
	}
	lo, hi := 0, len(wr.keys)
	if w.r.IntN(2) == 0 {
		lo = w.r.IntN(hi)
		hi = lo + 1 + w.r.IntN(hi-lo)
	}
	res := wr.l.FinishRange(now, lo, hi, l1.OriginNew)
	ok := map[kv.Key]bool{}
	for _, k := range res.Finished {
		ok[k] = true
	}
	dead := now.Sub(wr.born) >= ttl
	for p := lo; p < hi; p++ {
		if wr.v[p] == 0 {
			continue
		}
		k := wr.keys[p]
		if ok[k] && dead {
			w.t.Fatalf("an expired reservation was committed")
		}
		if ok[k] {
			w.version[k], w.layoutOf[k] = wr.v[p], wr.layout
		}
		wr.v[p] = 0
	}
	left := false
	for _, v := range wr.v {
		left = left || v != 0
	}
	if !left {
		wr.l.Abort(now, l1.AbortOwner)
		w.writes = append(w.writes[:i], w.writes[i+1:]...)
	}
}

func (w *world) finishAndRead(now time.Time, wr *write) {
	l := wr.l.FinishAndRead(now, 1+w.r.IntN(3))
	rd := &read{l: l, keys: wr.keys, layout: wr.layout, v: make([]uint64, len(wr.keys)), born: now, take: true}
	for p, k := range wr.keys {
		if l.Code(p) != l1.Success {
			continue
		}
		if wr.v[p] == 0 {
			w.t.Fatalf("position %d was leased and never granted", p)
		}
		if now.Sub(wr.born) >= ttl {
			w.t.Fatal("an expired reservation was committed")
		}
		w.version[k], w.layoutOf[k] = wr.v[p], wr.layout
		rd.v[p] = wr.v[p]
	}
	w.verify(l, rd)
	w.reads = append(w.reads, rd)
}

func (w *world) lookup(now time.Time) {
	keys := w.pick(1 + w.r.IntN(90))
	layout := w.r.IntN(len(w.layouts))
	l, err := w.m.ReserveRead(now, keys, w.layouts[layout], l1.ReadOptions{Owner: "model", Readers: 1 + w.r.IntN(3), Promise: true})
	if err != nil {
		w.t.Fatal(err)
	}
	rd := &read{l: l, keys: keys, layout: layout, v: make([]uint64, len(keys)), born: now}
	for i, k := range keys {
		if l.Code(i) != l1.Success {
			continue
		}
		if w.version[k] == 0 || w.layoutOf[k] != layout {
			w.t.Fatalf("found a key that is not there, or has another layout")
		}
		rd.v[i] = w.version[k]
	}
	w.verify(l, rd)
	w.reads = append(w.reads, rd)
}

func (w *world) verify(l l1.ReadLease, rd *read) {
	if !w.bytes {
		return
	}
	want := make([]byte, w.layouts[rd.layout].Size())
	for i, b := range l.All() {
		if rd.v[i] == 0 {
			w.t.Fatalf("buffer at position %d that was not granted", i)
		}
		pattern(want, rd.keys[i], rd.v[i])
		if !bytes.Equal(b, want) {
			w.t.Fatalf("wrong bytes at position %d", i)
		}
	}
}

func (w *world) takeSome(now time.Time) {
	rd := w.reads[w.r.IntN(len(w.reads))]
	if rd.take {
		return
	}
	s := l1.Select{Lo: w.r.IntN(len(rd.keys)), Hi: len(rd.keys)}
	if len(rd.keys) > 0 && w.r.IntN(3) == 0 {
		s.Stride, s.Offset = 2, w.r.IntN(2)
	}
	l, bad := rd.l.Take(now, s)
	keys := s.Pick(rd.keys)
	t := &read{l: l, keys: keys, layout: rd.layout, v: make([]uint64, len(keys)), born: now, take: true}
	misses := 0
	for i, k := range keys {
		if l.Code(i) != l1.Success {
			misses++
			continue
		}
		// A live holder reads what it was leased; after expiry, what is there now.
		pos := -1
		n := -1
		for p := range rd.keys {
			if s.Has(p, len(rd.keys)) {
				if n++; n == i {
					pos = p
				}
			}
		}
		t.v[i] = rd.v[pos]
		if now.Sub(rd.born) >= ttl && w.version[k] != 0 && w.layoutOf[k] == rd.layout {
			t.v[i] = w.version[k]
		}
	}
	if misses != bad && l.Keys() != nil {
		w.t.Fatalf("Take reports %d bad positions, %d have a code", bad, misses)
	}
	if now.Sub(rd.born) < ttl && !rd.part { // renewals make later ones ambiguous
		w.verify(l, t)
	}
	w.reads = append(w.reads, t)
}

func (w *world) release(now time.Time) {
	i := w.r.IntN(len(w.reads))
	rd := w.reads[i]
	if now.Sub(rd.born) < ttl && rd.take && !rd.part {
		w.verify(rd.l, rd) // whatever happened to the key since
	}
	cause := []l1.ReadCause{l1.CauseRead, l1.CauseUnused, l1.CauseAbort}[w.r.IntN(3)]
	if len(rd.keys) > 0 && w.r.IntN(3) == 0 {
		rd.l.Release(now, l1.Select{Lo: w.r.IntN(len(rd.keys)), Hi: len(rd.keys)}, 1, cause)
		rd.part = true
		return
	}
	rd.l.Finish(now, cause)
	rd.l.Finish(now, cause)
	w.reads = append(w.reads[:i], w.reads[i+1:]...)
}

func (w *world) remove(now time.Time) {
	keys := w.pick(1 + w.r.IntN(5))
	force := w.r.IntN(2) == 0
	for i, c := range w.m.Delete(now, keys, force) {
		if c == l1.Success || c == l1.KeyNotExist {
			w.version[keys[i]] = 0
		}
		if force && c == l1.KeyIsLocked {
			w.t.Fatal("a forced delete found a key locked")
		}
	}
}

// quota changes a limit. What leases hold of a lowered one may stay.
func (w *world) quota(now time.Time) {
	salt := w.salts()[w.r.IntN(2)]
	if w.r.IntN(4) == 0 {
		_, had := w.allowed[salt]
		if w.m.DeleteQuota(salt) != had {
			w.t.Fatalf("salt %q: deleting says %v", salt, !had)
		}
		delete(w.allowed, salt)
		return
	}
	q := w.r.Int64N(60) * 4096
	if err := w.m.SetQuota(now, salt, q); err != nil {
		w.t.Fatal(err)
	}
	w.allowed[salt] = max(q, w.m.Stats().BytesBySalt[salt])
}

func (*world) salts() []string { return []string{"", "tenant"} }

// withinQuotas checks that no tenant has more than its quota, or more than leases
// kept when it was lowered, of which there is never more again.
func (w *world) withinQuotas() {
	w.t.Helper()
	quotas := w.m.Quotas()
	if len(quotas) != len(w.allowed) {
		w.t.Fatalf("%d quotas, want %d", len(quotas), len(w.allowed))
	}
	for _, q := range quotas {
		if q.Used > w.allowed[q.Salt] {
			w.t.Fatalf("salt %q has %d bytes, quota %d, allowed %d", q.Salt, q.Used, q.Bytes, w.allowed[q.Salt])
		}
		w.allowed[q.Salt] = max(q.Bytes, q.Used)
	}
}

func (w *world) clear(now time.Time) {
	force := w.r.IntN(2) == 0
	w.m.Clear(now, force)
	if force {
		clear(w.version)
		if n := w.m.Stats().Objects; n != 0 {
			w.t.Fatalf("%d objects after a forced clear", n)
		}
	}
}

// Random operations against a manager and a plain map; after each one all sums
// and links are verified: used bytes are those of the live buffers, and not more
// than the capacity.
func TestREQ_S40_Model(t *testing.T) {
	for _, o := range []l1.Options{
		{Bytes: 40 * 4096},
		{Bytes: 400 * 4096, Align: 64},
		{Bytes: 40 * 4096, NoBytes: true},
		{Bytes: 64 * 4096, Policy: "noop"},
		{Bytes: 40 * 4096, Mode: l1.ModeWatermark},
		{Bytes: 40 * 4096, Mode: l1.ModeWatermark, Watermark: 0.3, EvictionRatio: 0.7, NoBytes: true},
		{Bytes: 40 * 4096, Policy: "RecencyFrequency"},
		{Bytes: 80 * 4096, Policy: "IsolatedLRU"},
		{Bytes: 80 * 4096, Policy: "IsolatedLRU", Mode: l1.ModeWatermark, Align: 64},
	} {
		for seed := range uint64(2) {
			t.Run(fmt.Sprintf("%d/%s/%s/%v/seed%d", o.Bytes, o.Policy, o.Mode, o.NoBytes, seed), func(t *testing.T) {
				runModel(t, o, seed)
			})
		}
	}
}

func runModel(t *testing.T, o l1.Options, seed uint64) {
	w := &world{
		t: t, r: rand.New(rand.NewPCG(seed, 1)), bytes: !o.NoBytes,
		version: map[kv.Key]uint64{}, layoutOf: map[kv.Key]int{}, quotas: o.Policy == "IsolatedLRU", allowed: map[string]int64{},
	}
	w.rt = runtime.NewVirtual(runtime.VirtualOptions{})
	o.Runtime, o.ReadTTL, o.WriteTTL = w.rt, ttl, ttl
	m, err := l1.New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.m = m
	for _, n := range []int64{1000, 5000, 20_000} {
		l, err := kv.RawLayout(n)
		if err != nil {
			t.Fatal(err)
		}
		w.layouts = append(w.layouts, l)
	}
	for _, salt := range w.salts() {
		for chunk := range 60 {
			for rank := range 2 {
				var h [32]byte
				h[0], h[9] = byte(chunk), 7
				w.keys = append(w.keys, kv.Key{Hash: kv.Hash32(h), Model: "m", Salt: salt, Rank: uint32(0x02000200 | rank<<16 | rank)})
			}
		}
	}
	for i := range 1200 {
		w.step()
		w.rt.RunUntil(w.rt.Now()) // background work that is due
		w.withinQuotas()
		if err := m.Check(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		s := m.Stats()
		if s.UsedBytes > s.CapacityBytes || s.UsedBytes < s.StagedBytes+s.OrphanedBytes {
			t.Fatalf("step %d: %d bytes used of %d, %d staged, %d orphaned", i, s.UsedBytes, s.CapacityBytes, s.StagedBytes, s.OrphanedBytes)
		}
	}
	now := w.rt.Now()
	for _, wr := range w.writes {
		wr.l.Abort(now, l1.AbortOwner)
	}
	for _, rd := range w.reads {
		rd.l.Finish(now, l1.CauseRead)
	}
	m.Clear(now, false)
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	if s := m.Stats(); s.UsedBytes != 0 || s.Leases != 0 || s.Objects != 0 {
		t.Fatalf("left behind: %+v", s)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}
