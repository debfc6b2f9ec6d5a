package storage_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/l1"
)

// metaSet is one set of options under which a list of operations is run.
type metaSet struct {
	name string
	modelOptions
}

// shared names a segment in the machine's shared memory.
func shared(eager bool) func(*l1.Options) {
	return func(o *l1.Options) {
		o.ShmName, o.Eager = fmt.Sprintf("metamorphic_%d", os.Getpid()), eager
	}
}

func eager(o *l1.Options) { o.Eager = true }

// alike are sets that may differ in nothing that a caller can see, whatever the
// capacity is: the first one is what the others are compared with.
func alike(shm bool) []metaSet {
	bubble := modelOptions{live: true, bubble: true}
	sets := []metaSet{
		{"virtual", modelOptions{}},
		{"virtual, eager", modelOptions{change: eager}},
		{"virtual, no bytes", modelOptions{noBytes: true}},
		{"virtual, align 256", modelOptions{align: 256}},
		{"virtual, align 4096, eager", modelOptions{align: 4096, change: eager}},
		{"virtual, isolated", modelOptions{policy: "IsolatedLRU"}},
		{"virtual, isolated, huge quotas", modelOptions{policy: "IsolatedLRU", quota: hugeQuotas, noBytes: true}},
		{"live", bubble},
		{"live, eager, align 128", modelOptions{align: 128, change: eager}.in(bubble)},
		{"live, no bytes", modelOptions{noBytes: true}.in(bubble)},
		{"live, isolated, huge quotas", modelOptions{policy: "IsolatedLRU", quota: hugeQuotas}.in(bubble)},
	}
	if shm {
		sets = append(sets,
			metaSet{"virtual, shared", modelOptions{change: shared(false)}},
			metaSet{"virtual, shared, eager, align 4096", modelOptions{align: 4096, change: shared(true)}},
			metaSet{"live, shared", modelOptions{change: shared(false)}.in(bubble)},
		)
	}
	return sets
}

// in is o with the driver of another one.
func (o modelOptions) in(driver modelOptions) modelOptions {
	o.live, o.bubble = driver.live, driver.bubble
	return o
}

// roomyAlike are alike as long as memory is never short.
func roomyAlike() []metaSet {
	full := func(o *l1.Options) { o.Watermark = 1 }
	return []metaSet{
		{"virtual, watermark 1", modelOptions{mode: l1.ModeWatermark, change: full}},
		{"virtual, watermark 1, isolated", modelOptions{mode: l1.ModeWatermark, change: full, policy: "IsolatedLRU", quota: hugeQuotas}},
		{"live, watermark 1", modelOptions{mode: l1.ModeWatermark, change: full, live: true, bubble: true}},
		{"virtual, noop", modelOptions{policy: "noop"}},
		{"live, noop, no bytes", modelOptions{policy: "noop", noBytes: true, live: true, bubble: true}},
	}
}

// safe are sets that choose other victims, or none: each is compared with the map
// alone.
func safe() []metaSet {
	low := func(o *l1.Options) { o.Watermark, o.EvictionRatio = .5, .5 }
	var sets []metaSet
	for _, o := range []modelOptions{
		{mode: l1.ModeWatermark},
		{mode: l1.ModeWatermark, change: low},
		{policy: "noop"},
		{policy: "RecencyFrequency"},
		{policy: "IsolatedLRU", quota: smallQuotas},
		{policy: "IsolatedLRU", quota: smallQuotas, mode: l1.ModeWatermark, change: low},
		{policy: "IsolatedLRU", quota: smallQuotas, noBytes: true, align: 256},
	} {
		for _, objects := range []int64{1, 3, modelObjects, 20} {
			for _, live := range []bool{false, true} {
				o.objects, o.live, o.bubble = objects, live, live
				name := fmt.Sprintf("live %v, %d objects, %s %q, quotas %d", live, objects, o.mode, o.policy, o.quota)
				sets = append(sets, metaSet{name, o})
			}
		}
	}
	return sets
}

// run runs a list of operations under a set of options.
func (s *metaSet) run(t *testing.T, ops []byte) (m *model) {
	run := func(t *testing.T) { m = runModel(t, s.modelOptions, ops) }
	if s.bubble {
		synctest.Test(t, run)
	} else {
		run(t)
	}
	return m
}

// difference says where two runs first differ in results or events; empty: nowhere.
func difference(a, b *model) string {
	text := func(m *model) []string {
		events := make([]string, len(m.seen.lines))
		for i, l := range m.seen.lines {
			events[i] = fmt.Sprintf("%v %s", m.seen.times[i].UTC().Format("15:04:05.000000000"), l)
		}
		return events
	}
	for _, c := range []struct {
		what string
		a, b []string
	}{{"result", a.results, b.results}, {"event", text(a), text(b)}} {
		for i := range max(len(c.a), len(c.b)) {
			switch {
			case i >= len(c.a):
				return fmt.Sprintf("%s %d: %s, and not", c.what, i, c.b[i])
			case i >= len(c.b):
				return fmt.Sprintf("%s %d: nothing, want %s", c.what, i, c.a[i])
			case c.a[i] != c.b[i]:
				return fmt.Sprintf("%s %d: %s, want %s", c.what, i, c.b[i], c.a[i])
			}
		}
	}
	return ""
}

// metaRun is what metamorphic runs have done.
type metaRun struct {
	shm                                          bool
	lists, runs, steps, results, events, evicted int
}

// list runs one list of operations under all sets.
func (r *metaRun) list(t *testing.T, seed uint64) {
	ops := newScript(seed, 3000)
	r.lists++
	for _, objects := range []int64{modelObjects, 1024} {
		sets := alike(r.shm)
		if objects > modelObjects {
			sets = append(sets, roomyAlike()...)
		}
		var first *model
		for i := range sets {
			s := &sets[i]
			s.objects, s.keep = objects, true
			m := r.one(t, s, seed, ops)
			if objects > modelObjects && m.evicted > 0 {
				t.Fatalf("seed %d, %s: %d objects were evicted though there was room", seed, s.name, m.evicted)
			}
			if first == nil {
				first = m
			}
			if d := difference(first, m); d != "" {
				t.Fatalf("seed %d, %d objects: %s differs from %s: %s", seed, objects, s.name, sets[0].name, d)
			}
		}
	}
	for _, s := range safe() {
		r.one(t, &s, seed, ops)
	}
}

// one runs a list under one set.
func (r *metaRun) one(t *testing.T, s *metaSet, seed uint64, ops []byte) *model {
	defer func() { // the test has failed in the model
		if t.Failed() {
			t.Logf("seed %d, %s", seed, s.name)
		}
	}()
	m := s.run(t, ops)
	r.runs++
	r.steps += m.steps
	r.results += len(m.results)
	r.events += len(m.seen.lines)
	r.evicted += m.evicted
	return m
}

// canShare reports whether this machine has shared memory for the runs.
func canShare(t *testing.T) bool {
	o := l1.Options{Bytes: 64 * 1024}
	shared(true)(&o)
	m, err := l1.New(o)
	if err != nil {
		t.Logf("not run with shared memory: %v", err)
		return false
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	return true
}

// seedAndDuration are those of the environment: which list of operations is the first,
// and how long to go on; 1 and 0 without.
func seedAndDuration(t *testing.T) (seed uint64, limit time.Duration) {
	t.Helper()
	seed, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	if err != nil {
		seed = 1
	}
	limit, err = time.ParseDuration(os.Getenv("DURATION"))
	if err != nil && os.Getenv("DURATION") != "" {
		t.Fatal(err)
	}
	return seed, limit
}

// TestREQ_S40_Metamorphic runs lists of random operations under many sets of options.
// What must not matter does not: results and events are equal, one by one. What does
// matter still keeps to the map: never wrong bytes, never more than the capacity or a
// quota, nothing evicted that is leased. Used memory is that of live buffers after
// every step of all.
//
// SEED is the first list; with DURATION it goes on for so long. See make metamorphic.
func TestREQ_S40_Metamorphic(t *testing.T) {
	seed, limit := seedAndDuration(t)
	began := time.Now()
	r := metaRun{shm: canShare(t)}
	for n := range uint64(1) << 40 {
		if n >= 3 && time.Since(began) >= limit {
			break
		}
		r.list(t, seed+n)
	}
	t.Logf("seeds %d to %d in %v: %d runs, %d steps, %d results and %d events compared, %d evictions, shared memory %v",
		seed, seed+uint64(r.lists)-1, time.Since(began).Round(time.Second), r.runs, r.steps, r.results, r.events, r.evicted, r.shm)
	if r.evicted == 0 || r.results == 0 || r.events == 0 {
		t.Error("the run proves nothing")
	}
}
