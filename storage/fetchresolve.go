package storage

import (
	"log/slog"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// lostReasons are those of L2PrefetchFailed, in the order in which they are told.
var lostReasons = [...]string{
	ReasonL1OOM, ReasonNotFound, ReasonIOError, ReasonCorrupt, ReasonTimeout, ReasonLayoutMismatch, ReasonSerdeFailure,
}

// finishLocked ends a prefetch that waits for nothing any more. A resolved one waits
// for its own loads only.
func (c *fetchControl) finishLocked(f *fetch, at time.Time) {
	if f.phase != phaseLoad || f.own > 0 || f.joins > 0 && !f.resolved {
		return
	}
	f.phase = phaseDone
	if f.sent {
		c.topics.loadCompleted.PublishAt(L2LoadCompleted{
			RequestID: f.p.id, LoadedCount: f.loaded, FailedCount: f.failed, JoinedCount: f.shared,
		}, at)
	}
	for _, why := range lostReasons {
		if keys := f.lost[why]; len(keys) > 0 {
			c.topics.failed.PublishAt(L2PrefetchFailed{Reason: why, Keys: keys}, at)
		}
	}
	if f.slot {
		c.mu.loading--
		c.mu.bytes -= f.size
		c.mu.kick = true
	}
	c.unpinLocked(f)
	if !f.resolved {
		c.resolveLocked(f, at, MissNone)
	}
	c.endLocked(f, at)
}

// resolveLocked fixes the result and announces it.
func (c *fetchControl) resolveLocked(f *fetch, at time.Time, rest MissReason) {
	c.concludeLocked(f, at, rest)
	c.announceLocked(f, at)
}

// concludeLocked fixes the result by what is leased now. rest is why what is
// outstanding is missed.
func (c *fetchControl) concludeLocked(f *fetch, at time.Time, rest MissReason) {
	p := f.p
	n := len(p.keys)
	f.resolved = true
	if f.timer != nil {
		f.timer.Stop()
	}
	if len(f.staged) > 0 {
		f.staged = nil
		c.writers.Add(-1)
		f.patience.Stop()
	}
	held := f.heldLocked(at)
	r := PrefetchResult{Found: NewBitmap(n), InL1: NewBitmap(n)}
	end := n
	if p.o.Policy == Prefix {
		end = held.Prefix()
	}
	for i := range n {
		switch {
		case !held.Has(i):
			if r.Miss == nil {
				r.Miss = make([]MissReason, n)
			}
			r.Miss[i] = f.missOf(i, rest)
		case i >= end:
			if r.Miss == nil {
				r.Miss = make([]MissReason, n)
			}
			r.Miss[i] = MissAfterGap
		default:
			r.Found.Set(i)
			if f.inL1.Has(i) {
				r.InL1.Set(i)
				r.L1++
			}
		}
	}
	r.Prefix, r.L2 = r.Found.Prefix(), f.suppliedOf(r.Found)
	if !p.o.Warm && end < held.last() {
		p.l.Trim(at, Select{Lo: end, Hi: n})
	}
	p.l.Seal()
	f.result = r
	if !f.known {
		f.plan, f.known = r.Prefix, true
		close(f.planned)
	}
	c.mu.completed++
	c.later(func() { close(f.done) }) // who waits may delete what was pinned
	c.mu.after = append(c.mu.after, f.then...)
	f.then = nil
}

// heldLocked is the positions that the handle has holders on; of a warm one, those
// that are resident.
func (f *fetch) heldLocked(at time.Time) Bitmap {
	p := f.p
	held := NewBitmap(len(p.keys))
	if p.released.Load() {
		return held
	}
	if p.o.Warm {
		for i := range p.keys {
			if f.source[i] == fromL1 || f.got[i] {
				held.Set(i)
			}
		}
	} else {
		if len(f.repeats) > 0 && f.known {
			p.l.Fill(at, f.repeats, p.o.Readers)
		}
		for i, h := range p.l.HoldersByPosition() {
			if h > 0 || f.inL1.Has(i) && f.repeatsFirst(i) {
				held.Set(i)
			}
		}
	}
	if len(f.repeats) > 0 {
		first := f.firsts()
		for _, i := range f.repeats {
			if k, ok := first[p.keys[i]]; ok && held.Has(k) {
				held.Set(i)
			}
		}
	}
	return held
}

// suppliedOf is how many of the positions loads have supplied. One whose key stands
// earlier reports what that one got.
func (f *fetch) suppliedOf(found Bitmap) (n int) {
	first := f.firsts()
	for i := range f.got {
		at := i
		if f.repeated(i) {
			at = first[f.p.keys[i]]
		}
		if found.Has(i) && f.got[at] {
			n++
		}
	}
	return n
}

// firsts are the missing positions by key; nil: none is repeated.
func (f *fetch) firsts() map[kv.Key]int {
	if len(f.repeats) == 0 {
		return nil
	}
	first := make(map[kv.Key]int, len(f.missing))
	for _, i := range f.missing {
		first[f.p.keys[i]] = i
	}
	return first
}

// repeatsFirst reports whether a position that L1 had at submission reports what
// another one of the same key holds.
func (f *fetch) repeatsFirst(i int) bool {
	for j := range i {
		if f.p.keys[j] == f.p.keys[i] {
			return f.p.l.Holders(j) > 0
		}
	}
	return false
}

// missOf is why a position is missed.
func (f *fetch) missOf(i int, rest MissReason) MissReason {
	outstanding := !f.decided || f.source[i] != fromNowhere ||
		f.phase == phaseLookup && f.has[i] != 0 // it was found, and there was no room to load it yet
	switch {
	case rest != MissNone && (outstanding || f.why[i] == MissNone || f.p.released.Load()):
		return rest
	case f.why[i] != MissNone:
		return f.why[i]
	case f.source[i] == fromL1: // its lease has expired meanwhile
		return MissEvicted
	default:
		return MissL2
	}
}

// announceLocked publishes the result, and logs it if something was found.
func (c *fetchControl) announceLocked(f *fetch, at time.Time) {
	p, m, r := f.p, c.m, &f.result
	found := r.Found.Count()
	if m.topics.prefetchResolved.Active() {
		e := PrefetchResolved{
			RequestID: p.id, ExternalRequestID: p.o.RequestID, Total: len(p.keys),
			L1Hits: r.L1, L2Hits: found - r.L1, Joined: f.shared, PrefixLen: r.Prefix, Elapsed: at.Sub(p.at),
		}
		for _, why := range r.Miss {
			e.Misses.Add(why, 1)
		}
		m.topics.prefetchResolved.PublishAt(e, at)
	}
	c.mu.told = append(c.mu.told, func() {
		if found > 0 && m.log.Enabled(f.ctx, slog.LevelInfo) {
			m.log.InfoContext(f.ctx, prefetchMessage(r.L1, found-r.L1, len(p.keys), at.Sub(p.at), p.o.RequestID, p.id),
				slog.String("external_request_id", p.o.RequestID), slog.Int("l1_hits", r.L1), slog.Int("l2_hits", found-r.L1), slog.Int("keys", len(p.keys)))
		}
		if p.n != NoCall {
			m.done(CallDone{
				N: p.n, Name: CallSubmitPrefetch, OK: r.Found, Bad: len(p.keys) - found, L1Hits: p.hits, Hits: found, L2Hits: r.L2, Resolved: true,
			}, p.at)
		}
	})
}
