package l1_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/eventbus/eventbustest"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// The bytes of what is going to be finished, and of what is going to be aborted.
const (
	goodByte   = 0x11
	poisonByte = 0xEE
)

// stagings counts what becomes of the stagings of each key.
type stagings struct {
	Staged, Finished, Aborted map[kv.Key]int
}

func newStagings() stagings {
	return stagings{make(map[kv.Key]int), make(map[kv.Key]int), make(map[kv.Key]int)}
}

func add(counts map[kv.Key]int, keys []kv.Key) {
	for _, k := range keys {
		counts[k]++
	}
}

// announcer follows each key through the events: what is finished or aborted was
// staged, and each staging ends once.
type announcer struct {
	t *testing.T

	mu     sync.Mutex
	seen   stagings
	staged map[kv.Key]bool
}

func (*announcer) Name() string { return "announcer" }

func (a *announcer) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(e l1.WriteReserved, _ time.Time) {
		a.mu.Lock()
		defer a.mu.Unlock()
		add(a.seen.Staged, e.Keys)
		for _, k := range e.Keys {
			if a.staged[k] {
				a.t.Errorf("%v was staged twice", k)
			}
			a.staged[k] = true
		}
	})
	eventbus.On(s, func(e l1.WriteFinished, _ time.Time) { a.end(a.seen.Finished, e.Keys) })
	eventbus.On(s, func(e l1.WriteFinishedAndReadReserved, _ time.Time) { a.end(a.seen.Finished, e.Keys) })
	eventbus.On(s, func(e l1.WriteAborted, _ time.Time) { a.end(a.seen.Aborted, e.Keys) })
}

func (a *announcer) end(counts map[kv.Key]int, keys []kv.Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	add(counts, keys)
	for _, k := range keys {
		if !a.staged[k] {
			a.t.Errorf("%v ended and was not staged", k)
		}
		delete(a.staged, k)
	}
}

// abortWriter ends its stagings in every way and counts what it was told.
type abortWriter struct {
	t      *testing.T
	m      *l1.Manager
	layout kv.Layout
	rnd    *rand.Rand
	told   stagings
}

func (w *abortWriter) write(keys []kv.Key) {
	now := time.Now()
	o := l1.WriteOptions{}
	if w.rnd.IntN(3) == 0 {
		o.Temporary = make([]bool, len(keys))
		o.Temporary[0] = true
	}
	l, err := w.m.ReserveWrite(now, keys, w.layout, l1.WriteMode(w.rnd.IntN(3)), o)
	if err != nil {
		w.t.Error(err)
		return
	}
	var open []kv.Key
	mid := w.rnd.IntN(len(keys) + 1) // those before are finished, the others aborted
	for i, b := range l.All() {
		open = append(open, keys[i])
		with := byte(poisonByte)
		if i < mid {
			with = goodByte
		}
		for j := range b {
			b[j] = with
		}
	}
	add(w.told.Staged, open)
	first := w.rnd.IntN(2) == 0
	if first {
		l.AbortRange(now, mid, len(keys), l1.AbortOwner)
	}
	var done []kv.Key
	if mid == len(keys) && w.rnd.IntN(2) == 0 {
		r := l.FinishAndRead(now, 1)
		for i, k := range r.Keys() {
			if r.Holders(i) > 0 {
				done = append(done, k)
			}
		}
		r.Finish(now, l1.CauseRead)
	} else {
		done = l.FinishRange(now, 0, mid, l1.OriginNew).Finished
	}
	if !first {
		l.AbortRange(now, mid, len(keys), l1.AbortOwner)
	}
	l.Abort(now, l1.AbortOwner)
	if res := l.Finish(now, l1.OriginNew); len(res.Finished) != 0 {
		w.t.Errorf("%d keys were finished after the abort", len(res.Finished))
	}
	add(w.told.Finished, done)
	ended := make(map[kv.Key]bool)
	for _, k := range done {
		ended[k] = true
	}
	for _, k := range open {
		if !ended[k] {
			w.told.Aborted[k]++
		}
	}
}

// REQ-S3: stagings of the same keys are aborted and finished, in whole and in parts,
// 10^5 times, by several writers, beside readers, deletes, clears and evictions. No
// byte of an aborted staging is ever readable, and each staging is announced once,
// as what its writer was told.
func TestREQ_S3_AbortIsNotAnnounced(t *testing.T) {
	const writers, rounds, ops = 4, 250, 100 // 10^5 in all
	bus := eventbustest.NewBus(t)
	a := &announcer{t: t, seen: newStagings(), staged: make(map[kv.Key]bool)}
	if _, err := bus.Subscribe(a); err != nil {
		t.Fatal(err)
	}
	m, err := l1.New(l1.Options{Bytes: 6 * 64, Align: 64, Bus: bus})
	if err != nil {
		t.Fatal(err)
	}
	layout, all := layoutOf(t, 64), single(0, 8)
	some := func(rnd *rand.Rand) []kv.Key { return all[rnd.IntN(7):][:1+rnd.IntN(2)] }
	ws := make([]*abortWriter, writers)
	for i := range ws {
		ws[i] = &abortWriter{t: t, m: m, layout: layout, rnd: rand.New(rand.NewPCG(uint64(i), 3)), told: newStagings()}
	}
	var found [2]int
	for round := range rounds {
		var wg sync.WaitGroup
		for _, w := range ws {
			wg.Go(func() {
				for range ops {
					w.write(some(w.rnd))
				}
			})
		}
		for i := range found {
			rnd := rand.New(rand.NewPCG(uint64(round), uint64(i)+30))
			wg.Go(func() {
				for range ops {
					found[i] += readGood(t, m, layout, some(rnd))
					switch rnd.IntN(40) {
					case 0:
						m.Delete(time.Now(), all[rnd.IntN(8):][:1], true)
					case 1:
						m.Clear(time.Now(), rnd.IntN(2) == 0)
					}
				}
			})
		}
		wg.Wait()
		if err := bus.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
	}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	told := newStagings()
	for _, w := range ws {
		merge(told.Staged, w.told.Staged)
		merge(told.Finished, w.told.Finished)
		merge(told.Aborted, w.told.Aborted)
	}
	if diff := cmp.Diff(told, a.seen); diff != "" {
		t.Errorf("what writers were told and what was announced (-told +announced):\n%s", diff)
	}
	if d := bus.Stats().Dropped; d != 0 {
		t.Errorf("%d events were dropped", d)
	}
	if len(told.Finished) != len(all) || len(told.Aborted) != len(all) || found[0] == 0 || found[1] == 0 {
		t.Errorf("%d keys were finished, %d aborted, %v read: the run proves nothing", len(told.Finished), len(told.Aborted), found)
	}
	if s := m.Stats(); s.Leases != 0 || s.StagedBytes != 0 || s.LeasedBytes != 0 || s.OrphanedBytes != 0 {
		t.Errorf("left at the end: %+v", s)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := bus.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

func merge(into, from map[kv.Key]int) {
	for k, n := range from {
		into[k] += n
	}
}

// readGood leases what it can of keys and returns how many it got.
func readGood(t *testing.T, m *l1.Manager, layout kv.Layout, keys []kv.Key) (n int) {
	now := time.Now()
	r, err := m.ReserveRead(now, keys, layout, l1.ReadOptions{})
	if err != nil {
		t.Error(err)
		return 0
	}
	for _, b := range r.All() {
		n++
		for _, c := range b {
			if c != goodByte {
				t.Errorf("a reader got the byte %#x", c)
				break
			}
		}
	}
	r.Finish(now, l1.CauseRead)
	return n
}
