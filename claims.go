package lmcache

import (
	"context"
	"errors"

	"github.com/lmcache-go/lmcache/storage"
)

// readPart is leased objects of one group: those of n chunks from one on.
type readPart struct {
	lease storage.ReadLease
	g     *objectGroup // of the worker
	chunk int
	n     int
}

var (
	errVoid   = errors.New("lmcache: the lookup was replaced or its session has ended")
	errLayout = errors.New("lmcache: the worker's layout is not that of the lookup")
	errWindow = errors.New("lmcache: the lookup does not cover the window before the end of the range")
)

// reading is one claim of objects while it runs.
type reading struct {
	m      *Match
	w      *member
	hi     int
	skip   int // leading chunks that the host has
	failed error
	parts  []readPart
}

// read leases a match's objects of chunks [lo, hi) for a worker, group by group:
// holders of the lookup the first time, if it has any left, and else fresh ones, so
// that a worker that asks again never uses up those of another reader. Chunks
// below skip are not needed: what was held of them goes back. It is all or
// nothing: after an error every holder that the worker would have used went back.
// dst is empty; the parts are appended to it.
func (m *Match) read(ctx context.Context, dst []readPart, w *member, lo, hi, skip int) ([]readPart, error) {
	r := reading{m: m, w: w, hi: hi, skip: skip, parts: dst}
	switch {
	case m.isVoid():
		return nil, errVoid
	case !sameGroups(m.groups, w.groups):
		r.failed = errLayout
	case m.clears != w.e.clears.Load(): // the objects it was about are gone, though their bytes may not be
		m.refuse(ctx, w, lo, hi)
	}
	r.groups(ctx, lo)
	if r.failed != nil {
		for _, p := range r.parts {
			p.lease.Abort()
		}
		return nil, r.failed
	}
	return r.parts, nil
}

// refuse gives back what a worker would have claimed of chunks [lo, hi).
func (m *Match) refuse(ctx context.Context, w *member, lo, hi int) {
	r := reading{m: m, w: w, hi: hi, failed: errLayout}
	r.groups(ctx, lo)
}

// groups claims chunks from lo on, of each group what a range that begins there needs.
func (r *reading) groups(ctx context.Context, lo int) {
	for i := range r.m.groups {
		if g := &r.m.groups[i]; !g.aux {
			r.group(ctx, g, g.from(lo, r.hi))
		}
	}
}

func (m *Match) isVoid() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.void
}

// group claims chunks [lo, hi) of one group.
func (r *reading) group(ctx context.Context, g *objectGroup, lo int) {
	m := r.m
	m.mu.Lock()
	tasks := m.mu.tasks
	m.mu.Unlock()
	covered := 0
	for i := range tasks {
		t := &tasks[i]
		from, to := max(lo, t.lo), min(r.hi, t.hi)
		if t.g != g || from >= to {
			continue
		}
		covered += to - from
		var room [4]claim
		m.mu.Lock()
		claims := t.claim(room[:0], r.w, m.readers(), from, to)
		m.mu.Unlock()
		for _, c := range claims {
			r.claim(ctx, t, c)
		}
	}
	if covered < r.hi-lo && r.failed == nil {
		r.failed = errWindow
	}
}

// claim leases one run of chunks, or gives them back where they are not needed.
func (r *reading) claim(ctx context.Context, t *task, c claim) {
	world := r.w.key.world
	if skip := min(max(c.lo, r.skip), c.hi); skip > c.lo || r.failed != nil {
		if r.failed != nil {
			skip = c.hi
		}
		if c.ours {
			t.p.ReleaseRange(t.sel(world, c.lo, skip, r.w.rank), 1)
		}
		c.lo = skip
	}
	if c.lo == c.hi {
		return
	}
	lease, err := r.lease(ctx, t, c)
	if err != nil {
		r.failed = err
		return
	}
	r.parts = append(r.parts, readPart{lease: lease, g: &r.w.groups[t.g.id], chunk: c.lo, n: c.hi - c.lo})
}

func (r *reading) lease(ctx context.Context, t *task, c claim) (storage.ReadLease, error) {
	s := t.sel(r.w.key.world, c.lo, c.hi, r.w.rank)
	if c.ours {
		return t.p.Read(ctx, s)
	}
	id := r.m.s.r.ID
	again, err := r.w.e.sm.SubmitPrefetch(ctx, s.Pick(t.p.Keys()), t.g.layout, storage.PrefetchOptions{Owner: id, RequestID: id, SkipL2: true})
	if err != nil {
		return storage.ReadLease{}, err
	}
	defer again.Release()
	return again.Read(ctx, storage.Select{Hi: c.hi - c.lo})
}
