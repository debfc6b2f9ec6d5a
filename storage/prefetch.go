package storage

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Prefetch is the handle of one SubmitPrefetch. It owns the holders of what was
// found until they are read or released. Its methods are safe for concurrent use.
type Prefetch struct {
	m        *Manager
	l        l1.ReadLease
	n        int64 // number of the call
	id       int64
	o        PrefetchOptions
	keys     []kv.Key
	layout   kv.Layout
	result   PrefetchResult
	hits     int // keys leased in L1 at submission; see L1Hits
	at       time.Time
	f        *fetch // what the outer tiers are asked for; nil: nothing
	released atomic.Bool
}

// PrefetchResult says what a prefetch retained. It is shared and not changed.
type PrefetchResult struct {
	Found  Bitmap       // over request positions
	Prefix int          // leading positions found
	InL1   Bitmap       // positions that L1 held at submission, of those found
	L1     int          // how many
	L2     int          // of those found, positions that loads from outer tiers supplied, its own or those it joined
	Miss   []MissReason // per position; nil when nothing was missed
}

// SubmitPrefetch leases the keys that are resident with this layout, asks the outer
// tiers for the others, unless o.SkipL2 says otherwise, and returns at once. With Prefix it keeps the longest run of found keys from the first one,
// with Sparse all of them. The keys are copied; consecutive ones are taken to be
// consecutive chunks of a prompt.
//
// An error means bad arguments or a closed manager; a miss is a result.
func (m *Manager) SubmitPrefetch(ctx context.Context, keys []kv.Key, layout kv.Layout, o PrefetchOptions) (*Prefetch, error) {
	if err := m.check("SubmitPrefetch", keys, layout); err != nil {
		return nil, err
	}
	if o.Policy > Sparse {
		return nil, errPolicy(o.Policy)
	}
	o.Readers = m.readers(ctx, o)
	at := m.rt.Now()
	keys = slices.Clone(keys)
	n := NoCall
	if m.tracing() {
		n = m.call(at, Call{
			Name: CallSubmitPrefetch, Keys: keys, Layout: layout, Readers: o.Readers, RequestID: o.RequestID,
			Policy: o.Policy, SkipL2: o.SkipL2, Warm: o.Warm, Deadline: o.Deadline, Owner: NoCall,
		})
	}
	outer := len(m.tiers) > 0 && !o.SkipL2
	l, err := m.l1.ReserveRead(at, keys, layout, l1.ReadOptions{
		Owner: o.Owner, Readers: o.Readers, Promise: true, Look: o.Warm,
		Open: outer, Blind: outer && m.o.Prefetch.IgnoreL1,
	})
	if err != nil {
		if n != NoCall {
			m.done(CallDone{Name: CallSubmitPrefetch, N: n, OK: NewBitmap(len(keys)), Bad: len(keys), Resolved: true}, at)
		}
		return nil, closedError(err)
	}
	p := &Prefetch{m: m, l: l, n: n, id: -1, o: o, keys: keys, layout: layout, at: at}
	m.outstanding.Add(1)
	hits := 0
	for hits < len(keys) && l.Code(hits) == l1.Success {
		hits++
	}
	if outer {
		if p.missing() {
			p.fetch(ctx, hits)
			return p, nil
		}
		l.Seal()
	}
	p.resolve(hits)
	switch {
	case o.Warm:
		p.warm()
	case o.Policy == Prefix && hits < len(keys):
		l.Release(at, Select{Lo: hits, Hi: len(keys)}, l1.MaxReaders, l1.CauseTrim)
	}
	p.announce(ctx)
	return p, nil
}

// missing reports whether something is to be asked of the outer tiers.
func (p *Prefetch) missing() bool {
	for i := range p.keys {
		if p.l.Code(i) != l1.Success {
			return true
		}
	}
	return false
}

// fetch announces what L1 has and hands the rest to the outer tiers.
func (p *Prefetch) fetch(ctx context.Context, hits int) {
	m := p.m
	f := m.fetches.newFetch(ctx, p)
	p.f = f
	retained := f.inL1
	if p.hits = f.inL1.Count(); p.o.Policy == Prefix {
		retained = NewBitmap(len(p.keys))
		retained.SetPrefix(hits)
		p.hits = hits
	}
	if p.o.Warm {
		if found, _ := partition(p.keys, f.inL1.Count(), f.inL1.Has); len(found) > 0 {
			m.l1.Touch(p.at, found)
		}
	}
	if m.topics.readPrefetched.Active() {
		ok, failed := partition(p.keys, p.hits, retained.Has)
		m.topics.readPrefetched.PublishAt(ReadPrefetched{SucceededKeys: ok, FailedKeys: failed}, p.at)
	}
	if p.n != NoCall {
		m.done(CallDone{N: p.n, Name: CallSubmitPrefetch, OK: retained, Bad: len(p.keys) - p.hits, L1Hits: p.hits}, p.at)
	}
	m.fetches.submit(f)
}

// readers clips the number of readers, as the wire protocol does.
func (m *Manager) readers(ctx context.Context, o PrefetchOptions) int {
	switch {
	case o.Readers == 0:
		return 1
	case o.Readers < 0:
		m.log.WarnContext(ctx, "prefetch readers raised to 1", slog.Int("readers", o.Readers), slog.String("owner", o.Owner))
		return 1
	case o.Readers > l1.MaxReaders:
		m.log.WarnContext(ctx, "prefetch readers lowered to the limit", slog.Int("readers", o.Readers),
			slog.Int("limit", l1.MaxReaders), slog.String("owner", o.Owner))
		return l1.MaxReaders
	}
	return o.Readers
}

// resolve fixes the result, given the number of leading keys leased.
func (p *Prefetch) resolve(hits int) {
	n := len(p.keys)
	r := PrefetchResult{Found: NewBitmap(n), Prefix: hits, L1: hits}
	r.Found.SetPrefix(hits)
	if hits < n {
		r.Miss = make([]MissReason, n)
	}
	for i := hits; i < n; i++ {
		switch {
		case p.l.Code(i) != l1.Success:
			r.Miss[i] = missReason(p.l.Detail(i))
		case p.o.Policy == Prefix:
			r.Miss[i] = MissAfterGap
		default:
			r.Found.Set(i)
			r.L1++
		}
	}
	r.InL1 = r.Found // nothing was asked of another tier
	p.result, p.hits = r, r.L1
}

func missReason(d l1.Detail) MissReason {
	switch d {
	case l1.DetailEvicted:
		return MissEvicted
	case l1.DetailStaged:
		return MissStaged
	case l1.DetailLayoutMismatch:
		return MissLayout
	default:
		return MissAbsent
	}
}

// warm refreshes what was found, on which there is no lease.
func (p *Prefetch) warm() {
	found, _ := partition(p.keys, p.result.L1, p.result.Found.Has)
	if len(found) > 0 {
		p.m.l1.Touch(p.at, found)
	}
}

func (p *Prefetch) announce(ctx context.Context) {
	m, r := p.m, &p.result
	if m.topics.readPrefetched.Active() {
		ok, failed := partition(p.keys, r.L1, r.Found.Has)
		m.topics.readPrefetched.PublishAt(ReadPrefetched{SucceededKeys: ok, FailedKeys: failed}, p.at)
	}
	if m.topics.prefetchResolved.Active() {
		e := PrefetchResolved{
			RequestID: p.id, ExternalRequestID: p.o.RequestID, Total: len(p.keys),
			L1Hits: r.L1, PrefixLen: r.Prefix, Elapsed: m.rt.Now().Sub(p.at),
		}
		for _, why := range r.Miss {
			e.Misses.Add(why, 1)
		}
		m.topics.prefetchResolved.PublishAt(e, p.at)
	}
	if r.L1 > 0 && m.log.Enabled(ctx, slog.LevelInfo) {
		m.log.InfoContext(ctx, prefetchMessage(r.L1, 0, len(p.keys), m.rt.Now().Sub(p.at), p.o.RequestID, p.id),
			slog.String("external_request_id", p.o.RequestID), slog.Int("l1_hits", r.L1), slog.Int("keys", len(p.keys)))
	}
	if p.n != NoCall {
		d := CallDone{Name: CallSubmitPrefetch, N: p.n, OK: r.Found, Bad: len(p.keys) - r.L1, L1Hits: r.L1}
		m.done(d, p.at)
		d.Hits, d.Resolved = r.L1, true
		m.done(d, p.at)
	}
}

// L1Hits is the number of keys that were leased in L1 at submission: of the Prefix
// policy the leading ones, else all.
func (p *Prefetch) L1Hits() int { return p.hits }

// ID is the number of the request to the outer tiers; -1: none was made.
func (p *Prefetch) ID() int64 { return p.id }

// Keys are the requested keys, which must not be changed.
func (p *Prefetch) Keys() []kv.Key { return p.keys }

// LookupHits is the length of the planned prefix, and whether it is known yet. It is
// a plan, not a promise.
func (p *Prefetch) LookupHits() (n int, known bool) {
	if p.f == nil {
		return p.result.Prefix, true
	}
	select {
	case <-p.f.planned:
		return p.f.plan, true
	default:
		return 0, false
	}
}

// WaitPlan waits until LookupHits is known, and returns it. In virtual time it steps
// the queue; in a callback it panics.
func (p *Prefetch) WaitPlan(ctx context.Context) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if p.f == nil {
		return p.result.Prefix, nil
	}
	if err := p.m.wait(ctx, p.f.planned); err != nil {
		return 0, err
	}
	return p.f.plan, nil
}

// Status is the result, if it is known yet.
func (p *Prefetch) Status() (PrefetchResult, bool) {
	if p.f == nil {
		return p.result, true
	}
	select {
	case <-p.f.done:
		return p.f.result, true
	default:
		return PrefetchResult{}, false
	}
}

// Wait waits until the prefetch has resolved, which it does exactly once: at its
// deadline and with the end of the manager, too. In virtual time it steps the queue;
// in a callback it panics.
func (p *Prefetch) Wait(ctx context.Context) (PrefetchResult, error) {
	if err := ctx.Err(); err != nil {
		return PrefetchResult{}, err
	}
	if p.f == nil {
		return p.result, nil
	}
	if err := p.m.wait(ctx, p.f.done); err != nil {
		return PrefetchResult{}, err
	}
	return p.f.result, nil
}

// Renew starts the time of the unclaimed holders anew; false: they are no longer live.
func (p *Prefetch) Renew() bool { return renew(p.m, p.l, p.n, 0) }

// ReleaseRange gives back up to holders unclaimed holders of each selected key.
func (p *Prefetch) ReleaseRange(s Select, holders int) {
	p.release(s, holders, false)
}

// Release gives back every unclaimed holder. A prefetch that has not resolved is
// given up: it resolves with nothing. It is idempotent.
func (p *Prefetch) Release() {
	if p.released.Swap(true) {
		return
	}
	p.m.outstanding.Add(-1)
	p.release(l1.All(len(p.keys)), l1.MaxReaders, true)
}

// release gives back holders; with end, all of them for good.
func (p *Prefetch) release(s Select, holders int, end bool) {
	m, at := p.m, p.m.rt.Now()
	var calls []Call
	if m.tracing() {
		_, known := p.Status()
		calls = p.traceRelease(s, holders, at, end && !known)
	}
	if end && p.f != nil {
		m.fetches.cancel(p.f)
	}
	res := p.l.Release(at, s, holders, l1.CauseUnused)
	m.released(res, l1.CauseUnused, at)
	for i := range calls {
		c := &calls[i]
		ok := positions(c.Keys, intersect(c.Keys, res.Released))
		m.done(CallDone{Name: CallFinishRead, N: c.N, OK: ok, Bad: len(c.Keys) - ok.Count()}, at)
	}
}

// traceRelease records a release as one call per number of holders given back. All but
// the last say that there are more; that one says if the prefetch is given up, and if need
// be has no keys.
func (p *Prefetch) traceRelease(s Select, holders int, at time.Time, cancel bool) (calls []Call) {
	for i, h := range p.l.HoldersByPosition() {
		if h = min(h, holders); h <= 0 || !s.Has(i, len(p.keys)) {
			continue
		}
		c := slices.IndexFunc(calls, func(c Call) bool { return c.Readers == h })
		if c < 0 {
			c = len(calls)
			calls = append(calls, Call{Name: CallFinishRead, Readers: h, Unused: true, Owner: p.n})
		}
		calls[c].Keys = append(calls[c].Keys, p.keys[i])
	}
	if cancel && len(calls) == 0 {
		calls = append(calls, Call{Name: CallFinishRead, Readers: p.o.Readers, Unused: true, Owner: p.n})
	}
	for i := range calls {
		last := i == len(calls)-1
		calls[i].Cancelled, calls[i].More = cancel && last, !last
		calls[i].N = p.m.call(at, calls[i])
	}
	return calls
}

// intersect is those of keys that are among others, in order.
func intersect(keys, others []kv.Key) (both []kv.Key) {
	at := make(map[kv.Key]bool, len(others))
	for _, k := range others {
		at[k] = true
	}
	for _, k := range keys {
		if at[k] {
			both = append(both, k)
		}
	}
	return both
}

// released announces the end of leases.
func (m *Manager) released(r l1.ReleaseResult, cause l1.ReadCause, at time.Time) {
	if len(r.Released)+len(r.Failed) == 0 || !m.topics.readPrefetchedFinished.Active() {
		return
	}
	m.topics.readPrefetchedFinished.PublishAt(ReadPrefetchedFinished{
		SucceededKeys: r.Released, FailedKeys: r.Failed, Cause: cause,
	}, at)
}
