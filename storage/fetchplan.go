package storage

import (
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/internal/tier"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// planLocked decides where each missing key comes from, reserves memory for what is
// to be loaded, and begins.
func (c *fetchControl) planLocked(f *fetch, at time.Time) {
	f.phase = phaseLoad
	c.clearLocked(f, at)
	c.refreshLocked(f, f.missing, at)
	c.sourcesLocked(f)
	end := f.retained()
	var wanted []int // positions to be loaded
	for _, i := range f.missing {
		if i < end && f.source[i] == fromTier {
			wanted = append(wanted, i)
		}
	}
	if len(wanted) > 0 {
		c.reserveLocked(f, wanted, at)
		end = f.retained()
	}
	c.beginLoadsLocked(f, wanted, end, at)
}

// refreshLocked leases those of the positions that have become resident, and notes
// where the others stand.
func (c *fetchControl) refreshLocked(f *fetch, positions []int, at time.Time) {
	if c.m.o.Prefetch.IgnoreL1 || len(positions) == 0 {
		return
	}
	l := f.p.l
	code, detail := l.Code, l.Detail
	if f.p.o.Warm {
		keys := make([]kv.Key, len(positions))
		index := make(map[int]int, len(positions))
		for n, i := range positions {
			keys[n], index[i] = f.p.keys[i], n
		}
		look, err := c.m.l1.ReserveRead(at, keys, f.p.layout, l1.ReadOptions{Look: true})
		if err != nil {
			return
		}
		code = func(i int) l1.Code { return look.Code(index[i]) }
		detail = func(i int) l1.Detail { return look.Detail(index[i]) }
	} else {
		l.Fill(at, positions, f.p.o.Readers)
	}
	for _, i := range positions {
		switch {
		case code(i) == l1.Success:
			f.source[i], f.why[i] = fromL1, MissNone
		case detail(i) == l1.DetailStaged:
			f.why[i] = MissStaged
		case f.why[i] == MissStaged: // its writer has gone
			f.why[i] = missReason(detail(i))
			if f.decided && f.has[i] == 0 {
				f.why[i] = MissL2
			}
		}
	}
}

// sourcesLocked chooses where each missing key is to come from.
func (c *fetchControl) sourcesLocked(f *fetch) {
	fp := f.p.layout.Fingerprint()
	for _, i := range f.missing {
		switch _, flies := c.mu.flights[flightKey{f.p.keys[i], fp}]; {
		case f.source[i] == fromL1:
		case flies:
			f.source[i] = fromFlight
		case f.why[i] == MissStaged && !f.p.o.Warm:
			f.source[i] = fromWriter
		case f.has[i] != 0:
			f.source[i] = fromTier
		default:
			f.source[i] = fromNowhere
		}
	}
}

// retained is the end of what the trim policy keeps, as far as is known.
func (f *fetch) retained() int {
	n := len(f.p.keys)
	if f.p.o.Policy != Prefix {
		return n
	}
	for i := range n {
		if f.source[i] == fromNowhere && !f.repeated(i) {
			return i
		}
	}
	return n
}

// reserveLocked gets memory for positions that are to be loaded. What gets none, or
// is not to be loaded after all, has another source afterwards.
func (c *fetchControl) reserveLocked(f *fetch, wanted []int, at time.Time) {
	keys := make([]kv.Key, len(wanted))
	temporary := make([]bool, len(wanted))
	for n, i := range wanted {
		keys[n] = f.p.keys[i]
		temporary[n] = !f.p.o.Warm && !c.policy.Keep(keys[n])
	}
	mode := l1.WriteNew
	if c.m.o.Prefetch.IgnoreL1 {
		mode = l1.WriteAll
	}
	w, err := c.m.l1.ReserveWrite(at, keys, f.p.layout, mode, l1.WriteOptions{Owner: f.p.o.Owner, Temporary: temporary})
	f.write = w
	var oom []kv.Key
	var again []int
	for n, i := range wanted {
		switch {
		case err != nil:
			f.source[i], f.why[i] = fromNowhere, MissClosed
		case w.Code(n) == l1.Success:
		case w.Code(n) == l1.OutOfMemory:
			f.source[i], f.why[i] = fromNowhere, MissL1OOM
			oom = append(oom, keys[n])
		default: // it has become resident, or somebody writes it
			f.source[i] = fromNowhere
			again = append(again, i)
		}
	}
	if len(again) > 0 {
		c.refreshLocked(f, again, at)
		for _, i := range again {
			if f.source[i] == fromNowhere && f.why[i] == MissStaged && !f.p.o.Warm {
				f.source[i] = fromWriter
			}
		}
	}
	if len(oom) > 0 {
		c.topics.allocationFailed.PublishAt(AllocationFailed{During: DuringL2Prefetch, Keys: oom}, at)
		f.lost[ReasonL1OOM] = append(f.lost[ReasonL1OOM], oom...)
	}
}

// beginLoadsLocked begins what is left of the plan.
func (c *fetchControl) beginLoadsLocked(f *fetch, wanted []int, end int, at time.Time) {
	loads := make([]*load, len(c.m.tiers))
	count := 0
	for n, i := range wanted {
		switch {
		case f.source[i] != fromTier:
		case i >= end:
			f.source[i] = fromNowhere
			f.why[i] = MissAfterGap
			f.write.AbortRange(at, n, n+1, l1.AbortTrimmed)
		default:
			t := c.policy.Choose(f.p.keys[i], f.has[i])
			if t < 0 || t >= len(loads) || f.has[i]&(1<<t) == 0 {
				t = prefetchAll{}.Choose(f.p.keys[i], f.has[i])
			}
			if loads[t] == nil {
				loads[t] = &load{f: f, tier: t}
			}
			loads[t].add(i, n)
			count++
		}
	}
	fp := f.p.layout.Fingerprint()
	for _, i := range f.missing {
		if i >= end {
			if s := f.source[i]; s != fromL1 && s != fromNowhere {
				f.source[i], f.why[i] = fromNowhere, MissAfterGap
			}
			continue
		}
		switch f.source[i] {
		case fromFlight:
			fl := c.mu.flights[flightKey{f.p.keys[i], fp}]
			fl.joins = append(fl.joins, join{f, i})
			fl.keep = fl.keep || c.keeps(f, i)
			f.joins++
			c.mu.joined++
		case fromWriter:
			f.staged = append(f.staged, i)
			f.joins++
		}
	}
	for _, l := range c.suppliersLocked(f) { // who began it may not wait for as long
		c.m.tiers[l.tier].Extend(&l.job, f.deadline)
	}
	f.plan = c.prefix(f)
	f.known = true
	close(f.planned)
	f.own = count
	if count > 0 {
		f.slot = true
		f.size = int64(count) * c.m.physical(f.p.layout.Size())
		c.mu.loading++
		c.mu.bytes += f.size
	}
	tiers := 0
	for _, l := range loads {
		if l == nil {
			continue
		}
		tiers++
		f.loads = append(f.loads, l)
		c.beginLoadLocked(l, at)
	}
	hits := count + f.joins
	c.topics.lookupCompleted.PublishAt(L2LookupCompleted{RequestID: f.p.id, PrefixHitCount: hits}, at)
	c.narrowPinsLocked(f)
	if hits > 0 {
		f.sent = true
		c.topics.loadSubmitted.PublishAt(L2LoadSubmitted{RequestID: f.p.id, KeyCount: count, AdapterCount: tiers, JoinedCount: f.joins}, at)
	}
	if len(f.staged) > 0 {
		c.writers.Add(1)
		until := at.Add(writerPatience)
		f.patience = c.m.rt.At(until, func() { c.impatient(f) })
		c.lookAgainLocked(f, at, false) // a writer that finished before the count was raised told nobody
	}
	c.finishLocked(f, at)
}

// narrowPinsLocked keeps only the pins of what is loaded.
func (c *fetchControl) narrowPinsLocked(f *fetch) {
	old := f.pins
	f.pins = make([]*tier.Pins, len(old))
	for _, l := range f.loads {
		f.pins[l.tier] = c.m.tiers[l.tier].Pin(l.keys())
	}
	for _, p := range old {
		c.dropLocked(p)
	}
}

// prefix is the length of the planned prefix.
func (c *fetchControl) prefix(f *fetch) int {
	for i := range f.source {
		if f.source[i] == fromNowhere && !f.repeated(i) {
			return i
		}
	}
	return len(f.source)
}

// keeps reports whether a position's object stays in L1 after its last reader.
func (c *fetchControl) keeps(f *fetch, i int) bool {
	return f.p.o.Warm || c.policy.Keep(f.p.keys[i])
}

// committed looks whether prefetches have waited for objects that writers have just
// finished.
func (c *fetchControl) committed(at time.Time) {
	if c.writers.Load() == 0 {
		return
	}
	c.mu.Lock()
	defer c.unlock()
	for _, f := range append([]*fetch(nil), c.mu.active...) {
		if len(f.staged) > 0 {
			c.lookAgainLocked(f, at, false)
		}
	}
}

// impatient ends the wait for writers.
func (c *fetchControl) impatient(f *fetch) {
	c.mu.Lock()
	defer c.unlock()
	if len(f.staged) > 0 {
		c.lookAgainLocked(f, c.m.rt.Now(), true)
	}
}

// lookAgainLocked leases what writers have finished; with last, it waits no longer
// for the others.
func (c *fetchControl) lookAgainLocked(f *fetch, at time.Time, last bool) {
	staged := f.staged
	if !f.resolved {
		c.refreshLocked(f, staged, at)
	}
	f.staged = nil
	for _, i := range staged {
		switch {
		case f.resolved, f.source[i] == fromL1:
			f.joins--
		case last || f.why[i] != MissStaged:
			f.source[i] = fromNowhere
			f.joins--
		default:
			f.staged = append(f.staged, i)
		}
	}
	if len(f.staged) == 0 {
		c.writers.Add(-1)
		f.patience.Stop()
	}
	c.finishLocked(f, at)
}
