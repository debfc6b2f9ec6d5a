package storage

import (
	"slices"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/internal/tier"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// lookLocked begins lookups as long as the limit allows.
func (c *fetchControl) lookLocked(at time.Time) {
	for c.mu.looking < maxLookups && len(c.mu.queue) > 0 {
		f := c.mu.queue[0]
		c.mu.queue = c.mu.queue[1:]
		c.askLocked(f, at)
	}
}

// askLocked asks all tiers that can be asked.
func (c *fetchControl) askLocked(f *fetch, at time.Time) {
	f.phase = phaseLookup
	c.mu.looking++
	keys := make([]kv.Key, len(f.missing))
	for n, i := range f.missing {
		keys[n] = f.p.keys[i]
	}
	want := c.wantLocked(keys)
	live := 0
	for i, t := range c.m.tiers {
		list, at := partFor(keys, want, i, f.missing)
		switch {
		case len(list) == 0:
			f.ended[i] = true
		case !t.Live():
			f.ended[i] = true
			f.broken = MissAdapterOpen
		default:
			l := tier.NewLookup(list, f.p.layout, f.deadline, func(a tier.Answer) { c.answer(f, i, at, a) })
			f.asked[i] = l
			live++
			c.later(func() { t.Ask(l) })
		}
	}
	if c.topics.lookupSubmitted.Active() {
		c.topics.lookupSubmitted.PublishAt(L2LookupSubmitted{
			RequestID: f.p.id, KeyCount: len(keys), AdapterCount: live, KeyCountPerSalt: perSalt(keys),
		}, at)
	}
	if live == 0 {
		c.answeredLocked(f, at)
	}
}

// wantLocked is the tiers that may have each key, as bits by index.
func (c *fetchControl) wantLocked(keys []kv.Key) []uint64 {
	want := make([]uint64, len(keys))
	for n := range keys {
		want[n] = c.policy.Ask(keys[n], len(c.m.tiers))
	}
	return want
}

// partFor is the keys that tier i is asked for, and their positions.
func partFor(keys []kv.Key, want []uint64, i int, positions []int) ([]kv.Key, []int) {
	n := 0
	for _, w := range want {
		if w&(1<<i) != 0 {
			n++
		}
	}
	if n == len(keys) {
		return keys, positions
	}
	some, at := make([]kv.Key, 0, n), make([]int, 0, n)
	for k, w := range want {
		if w&(1<<i) != 0 {
			some, at = append(some, keys[k]), append(at, positions[k])
		}
	}
	return some, at
}

// answer takes over what a tier says.
func (c *fetchControl) answer(f *fetch, i int, positions []int, a tier.Answer) {
	c.mu.Lock()
	defer c.unlock()
	if f.decided { // it is late
		c.dropLocked(a.Pins)
		return
	}
	f.ended[i] = true
	f.pins[i] = a.Pins
	switch {
	case a.Err == nil:
	case a.Err == tier.ErrOpen: //nolint:errorlint // it is returned as it is
		f.broken = MissAdapterOpen
	case l2.ReasonOf(a.Err) == l2.ReasonTimeout:
		f.broken = MissL2Timeout
	case l2.ReasonOf(a.Err) == l2.ReasonClosed:
		f.broken = MissClosed
	default:
		f.broken = MissL2IO
	}
	for n, ok := range a.Found {
		if ok {
			f.has[positions[n]] |= 1 << i
		}
	}
	if f.covered() {
		c.answeredLocked(f, c.m.rt.Now())
	}
}

// covered reports whether no answer that is missing can change the plan: all have
// come, or those of the first tiers name every key.
func (f *fetch) covered() bool {
	for i := range f.ended {
		if !f.ended[i] {
			return false
		}
		first := uint64(1)<<(i+1) - 1
		all := true
		for _, pos := range f.missing {
			if f.has[pos]&first == 0 {
				all = false
				break
			}
		}
		if all {
			return true
		}
	}
	return true
}

// decideLocked ends the lookup: answers that come now are late. They hold nothing that
// somebody deletes who has heard the result.
func (c *fetchControl) decideLocked(f *fetch) {
	f.decided = true
	c.mu.looking--
	for i, l := range f.asked {
		if l != nil && !f.ended[i] {
			c.m.tiers[i].Drop(l)
		}
	}
	f.asked = nil
	why := MissL2
	if f.broken != MissNone {
		why = f.broken
	}
	for _, i := range f.missing {
		if f.has[i] == 0 && (f.why[i] == MissAbsent || f.why[i] == MissEvicted) {
			f.why[i] = why
		}
	}
}

// answeredLocked goes on with a prefetch whose lookup has ended.
func (c *fetchControl) answeredLocked(f *fetch, at time.Time) {
	c.decideLocked(f)
	c.mu.ready = append(c.mu.ready, f)
	c.admitReadyLocked(at)
	c.lookLocked(at)
}

// admitReadyLocked plans those that wait for room, in order. Those that need no room
// do not wait.
func (c *fetchControl) admitReadyLocked(at time.Time) {
	blocked := false
	for n := 0; n < len(c.mu.ready); {
		f := c.mu.ready[n]
		need := c.needLocked(f)
		fits := c.mu.loading == 0 ||
			c.mu.loading < c.m.o.Prefetch.MaxInflight && c.mu.bytes+need <= c.m.o.Prefetch.MaxBytes
		if need > 0 && (blocked || !fits) {
			blocked = true
			n++
			continue
		}
		c.mu.ready = append(c.mu.ready[:n:n], c.mu.ready[n+1:]...)
		c.planLocked(f, at)
	}
}

// needLocked is the bytes that a prefetch would reserve.
func (c *fetchControl) needLocked(f *fetch) (bytes int64) {
	size := c.m.physical(f.p.layout.Size())
	fp := f.p.layout.Fingerprint()
	for i := range f.p.keys {
		switch {
		case f.source[i] == fromL1:
		case f.has[i] != 0:
			if _, flies := c.mu.flights[flightKey{f.p.keys[i], fp}]; !flies {
				bytes += size
			}
		case f.p.o.Policy == Prefix && f.why[i] != MissStaged && !f.repeated(i):
			if _, flies := c.mu.flights[flightKey{f.p.keys[i], fp}]; !flies {
				return bytes // nothing behind it is loaded
			}
		}
	}
	return bytes
}

func (f *fetch) repeated(i int) bool {
	_, found := slices.BinarySearch(f.repeats, i)
	return found
}
