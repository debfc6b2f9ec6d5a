package storage_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

// recorder writes down the trace events, isolated as a trace recorder is.
type recorder struct {
	lines []string
	names map[int64]string // of calls; an outcome must have the same
}

func (*recorder) Name() string { return "recorder" }

func (r *recorder) Subscribe(s *eventbus.Subscription) {
	s.Isolated(1000, eventbus.Wait(time.Second))
	eventbus.On(s, func(c storage.Call, _ time.Time) {
		args := ""
		switch c.Name {
		case storage.CallReserveWrite:
			args = fmt.Sprintf(" %v %v", c.Layout, c.Mode)
		case storage.CallSubmitPrefetch:
			args = fmt.Sprintf(" %v readers=%d %q %v skip=%v warm=%v %v", c.Layout, c.Readers, c.RequestID, c.Policy, c.SkipL2, c.Warm, c.Deadline)
		case storage.CallFinishRead:
			args = fmt.Sprintf(" readers=%d unused=%v", c.Readers, c.Unused)
			if c.Aborted {
				args += " aborted"
			}
		case storage.CallRenew:
			if c.Scope > 0 {
				args = fmt.Sprintf(" scope=%d", c.Scope)
			}
		case storage.CallQuota:
			args = fmt.Sprintf(" %q %d", c.Salt, c.Bytes)
		case storage.CallClear, storage.CallDelete:
			args = fmt.Sprintf(" force=%v", c.Force)
			if c.Outer {
				args += fmt.Sprintf(" tier=%d", c.Tier)
			}
		}
		r.names[c.N] = c.Name
		r.lines = append(r.lines, fmt.Sprintf("%d %s %s%s owner=%d", c.N, c.Name, named(c.Keys), args, c.Owner))
	})
	eventbus.On(s, func(d storage.CallDone, _ time.Time) {
		line := fmt.Sprintf("%d done %s", d.N, bits(d.OK))
		if d.Name != r.names[d.N] {
			line += " of a " + d.Name
		}
		if d.OutOfMemory.Count() > 0 {
			line += " oom=" + bits(d.OutOfMemory)
		}
		for _, n := range []struct {
			name string
			n    int
		}{{"bad", d.Bad}, {"missing", d.Missing}, {"l1", d.L1Hits}, {"hits", d.Hits}, {"l2", d.L2Hits}} {
			if n.n != 0 {
				line += fmt.Sprintf(" %s=%d", n.name, n.n)
			}
		}
		if d.Resolved {
			line += " resolved"
		}
		if d.Aborted {
			line += " aborted"
		}
		if d.Expired {
			line += " expired"
		}
		r.lines = append(r.lines, line)
	})
}

func bits(b storage.Bitmap) string {
	if b.Len() == 0 {
		return "-"
	}
	var s strings.Builder
	for i := range b.Len() {
		if b.Has(i) {
			s.WriteByte('1')
		} else {
			s.WriteByte('0')
		}
	}
	return s.String()
}

// record starts a recorder.
func (w *world) record() *recorder {
	w.t.Helper()
	r := &recorder{names: make(map[int64]string)}
	if _, err := w.bus.Subscribe(r); err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) recorded(r *recorder, want ...string) {
	w.t.Helper()
	w.bus.Drain(w.v.Now())
	if diff := cmp.Diff(want, r.lines); diff != "" {
		w.t.Errorf("trace (-want +got):\n%s", diff)
	}
	r.lines = nil
}

func TestTraceOfEveryCall(t *testing.T) {
	w := newWorld(t, 4)
	w.put("z") // nobody records: no number is used
	w.m.Clear(false)
	rec := w.record()
	const layout = "torch.uint8[4096]"
	l := w.reserve("abca", storage.New)
	for i, b := range l.All() {
		fill(b, "abca"[i])
	}
	l.FinishRange(0, 2)
	l.Drop(2)
	l.Abort()
	l.Finish()
	w.recorded(rec,
		"0 reserve_write abca "+layout+" new owner=-1", "0 done 1110 bad=1",
		"1 finish_write ab owner=0", "1 done 11",
		"0 done 0010 aborted")

	l = w.reserve("bcdef", storage.New)
	w.after(l1.DefaultWriteTTL)
	l.Finish()
	w.recorded(rec,
		"2 reserve_write bcdef "+layout+" new owner=-1", "2 done 01100 oom=00011 bad=3",
		"2 done 01100 aborted expired", // its time was over, before the next call
		"3 finish_write cd owner=2", "3 done 00 bad=2")

	p := w.prefetch("abx", storage.PrefetchOptions{
		Readers: 2, RequestID: "r", Policy: storage.Sparse, SkipL2: true, Deadline: time.Second, Owner: "o",
	})
	first := w.read(p, 2)
	first.EndScope()
	first.EndScope()
	first.FinishRange(0, 1)
	first.Finish()
	first.Finish()
	second, err := p.Read(t.Context(), storage.Select{Hi: 1})
	if err != nil {
		t.Fatal(err)
	}
	second.Abort()
	_, err = p.Read(t.Context(), storage.Select{Lo: 1, Hi: 3})
	if err == nil {
		t.Fatal("read a key that is not there")
	}
	p.Release()
	w.recorded(rec,
		"4 submit_prefetch_task abx "+layout+` readers=2 "r" SPARSE skip=true warm=false 1s owner=-1`,
		"4 done 110 bad=1 l1=2", "4 done 110 bad=1 l1=2 hits=2 resolved",
		"5 read_prefetched_results.__enter__ ab owner=4", "5 done 11",
		"6 read_prefetched_results.__exit__ ab owner=4", "6 done -",
		"7 finish_read_prefetched a readers=1 unused=false owner=4", "7 done 1",
		"8 finish_read_prefetched b readers=1 unused=false owner=4", "8 done 1",
		"9 read_prefetched_results.__enter__ a owner=4", "9 done 1",
		"10 read_prefetched_results.__exit__ a owner=4", "10 done -",
		"11 finish_read_prefetched a readers=1 unused=false aborted owner=4", "11 done 1",
		"12 read_prefetched_results.__enter__ bx owner=4", "12 done 10 bad=1 missing=1",
		"13 read_prefetched_results.__exit__ bx owner=4", "13 done -",
	)

	// A release is one call per number of holders left.
	p = w.prefetch("abb", storage.PrefetchOptions{Readers: 3})
	w.read(p, 1).Finish()
	p.Release()
	p.Release()
	w.m.Touch(keys("a"))
	w.m.Delete(keys("a"), true)
	w.m.Clear(true)
	w.recorded(rec,
		"14 submit_prefetch_task abb "+layout+` readers=3 "" PREFIX skip=false warm=false 0s owner=-1`,
		"14 done 111 l1=3", "14 done 111 l1=3 hits=3 resolved",
		"15 read_prefetched_results.__enter__ a owner=14", "15 done 1",
		"16 read_prefetched_results.__exit__ a owner=14", "16 done -",
		"17 finish_read_prefetched a readers=1 unused=false owner=14", "17 done 1",
		"18 finish_read_prefetched a readers=2 unused=true owner=14",
		"19 finish_read_prefetched b readers=3 unused=true owner=14", "18 done 1", "19 done 1",
		"20 lmcache.trace.touch a owner=-1", "20 done -",
		"21 lmcache.trace.delete a force=true owner=-1", "21 done -",
		"22 lmcache.trace.clear - force=true owner=-1", "22 done -",
	)
}

// A reservation whose time is over is an outcome, whether a call comes or not, however
// many keys it has, and once.
func TestTraceOfExpiredReservations(t *testing.T) {
	w := newWorld(t, 400)
	rec := w.record()
	var took []time.Duration
	aborted := 0
	if _, err := w.bus.Subscribe(onDone(func(d storage.CallDone) {
		if d.Aborted {
			took = append(took, d.Took)
			aborted += d.OK.Count()
		}
	})); err != nil {
		t.Fatal(err)
	}
	l := w.reserve("abac", storage.New)
	l.FinishRange(0, 1)
	w.after(l1.DefaultWriteTTL - time.Minute)
	renewed := w.reserve("d", storage.New)
	w.after(30 * time.Second)
	if !renewed.Renew() {
		t.Error("it is no longer live")
	}
	w.after(30 * time.Second)
	const layout = "torch.uint8[4096]"
	w.recorded(rec,
		"0 reserve_write abac "+layout+" new owner=-1", "0 done 1101 bad=1",
		"1 finish_write a owner=0", "1 done 1",
		"2 reserve_write d "+layout+" new owner=-1", "2 done 1",
		"3 lmcache.trace.renew - owner=2", "3 done -",
		"0 done 0101 aborted expired")
	l.Abort() // there is nothing left but memory
	w.after(l1.DefaultWriteTTL)
	w.recorded(rec, "0 done 0101 aborted", "2 done 1 aborted expired")
	if want := []time.Duration{l1.DefaultWriteTTL, l1.DefaultWriteTTL, l1.DefaultWriteTTL + 30*time.Second}; !slices.Equal(took, want) {
		t.Errorf("it took %v, want %v", took, want)
	}
	took, aborted = nil, 0

	var many []storage.Key
	for i := range 300 {
		many = append(many, key(fmt.Sprintf("k%d", i)))
	}
	all, err := w.m.ReserveWrite(t.Context(), many, w.layout, storage.New, storage.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	before := w.v.Now()
	w.v.At(before.Add(l1.DefaultWriteTTL), func() { w.m.Touch(keys("a")) }) // in the same moment
	w.after(l1.DefaultWriteTTL)
	w.bus.Drain(w.v.Now())
	all.Abort()
	renewed.Abort()
	last := rec.lines[len(rec.lines)-1]
	if aborted != 300 || last != "5 done -" {
		t.Errorf("%d keys were given up, the last line is %q", aborted, last)
	}
}

// A lease that is given more time is recorded with whose it is: of a reader also by the
// scope in which it was claimed.
func TestTraceOfRenewals(t *testing.T) {
	w := newWorld(t, 40)
	w.put("ab")
	unknown := w.reserve("x", storage.New)
	rec := w.record()
	unknown.Renew() // no recording knows it
	l := w.reserve("c", storage.New)
	l.Renew()
	l.Finish()
	l.Renew() // it has ended
	p := w.prefetch("ab", storage.PrefetchOptions{})
	p.Renew()
	r, err := p.Read(t.Context(), storage.Select{Hi: 2})
	if err != nil {
		t.Fatal(err)
	}
	r.Renew()
	w.after(l1.DefaultReadTTL)
	r.Renew() // it is over
	const layout = "torch.uint8[4096]"
	w.recorded(rec,
		"0 reserve_write c "+layout+" new owner=-1", "0 done 1",
		"1 lmcache.trace.renew - owner=0", "1 done -",
		"2 finish_write c owner=0", "2 done 1",
		"3 lmcache.trace.renew - owner=0", "3 done - bad=1",
		"4 submit_prefetch_task ab "+layout+` readers=1 "" PREFIX skip=false warm=false 0s owner=-1`, "4 done 11 l1=2", "4 done 11 l1=2 hits=2 resolved",
		"5 lmcache.trace.renew - owner=4", "5 done -",
		"6 read_prefetched_results.__enter__ ab owner=4", "6 done 11",
		"7 lmcache.trace.renew - scope=6 owner=4", "7 done -",
		"8 lmcache.trace.renew - scope=6 owner=4", "8 done - bad=1",
	)
	r.Abort()
	p.Release()
	unknown.Abort()
}

// onDone hears outcomes.
type onDone func(storage.CallDone)

func (onDone) Name() string { return "outcomes" }

func (f onDone) Subscribe(s *eventbus.Subscription) {
	s.Isolated(1000, eventbus.Drop)
	eventbus.On(s, func(d storage.CallDone, _ time.Time) { f(d) })
}

// A scope that began before the recorder did has no end in the trace, and its
// owner no number.
func TestTraceThatBeginsLate(t *testing.T) {
	w := newWorld(t, 4)
	l := w.reserve("b", storage.New)
	w.put("a")
	p := w.prefetch("a", storage.PrefetchOptions{})
	r := w.read(p, 1)
	rec := w.record()
	r.Finish()
	p.Release()
	l.Abort()
	w.recorded(rec, "0 finish_read_prefetched a readers=1 unused=false owner=-1", "0 done 1")
}

// Arguments that are refused leave no trace; a manager that is closed has no calls.
func TestTraceOfRefusedCalls(t *testing.T) {
	w := newWorld(t, 2)
	rec := w.record()
	if _, err := w.m.ReserveWrite(t.Context(), nil, w.layout, storage.New, storage.WriteOptions{}); err == nil {
		t.Error("no keys: want an error")
	}
	if _, err := w.m.SubmitPrefetch(t.Context(), keys("a"), w.layout, storage.PrefetchOptions{Policy: 7}); err == nil {
		t.Error("policy 7: want an error")
	}
	if _, err := w.m.SubmitPrefetch(t.Context(), keys("a"), rawLayout(t, 1<<30), storage.PrefetchOptions{}); err == nil {
		t.Error("an object larger than L1: want an error")
	}
	w.recorded(rec,
		`0 submit_prefetch_task a torch.uint8[1073741824] readers=1 "" PREFIX skip=false warm=false 0s owner=-1`,
		"0 done 0 bad=1 resolved")
	if err := w.m.Close(context.Background()); err != nil {
		t.Error(err)
	}
	w.m.Touch(keys("a"))
	w.m.Clear(true)
	if got := w.m.Delete(keys("a"), true); !slices.Equal(got, []l1.Code{l1.KeyNotExist}) {
		t.Errorf("delete after Close: %v", got)
	}
	w.recorded(rec)
}

// BenchmarkTraceGate is what recording costs a call while nobody records.
func BenchmarkTraceGate(b *testing.B) {
	bus := eventbus.New(eventbus.Options{Manual: true})
	topic := eventbus.TopicOf[storage.Call](bus)
	b.ReportAllocs()
	on := 0
	for range b.N { // b.Loop would cost as much as what is measured
		if topic.Active() {
			on++
		}
	}
	if on > 0 {
		b.Error("nobody records, and the topic is active")
	}
}
