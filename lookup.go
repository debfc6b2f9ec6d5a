package lmcache

import (
	"context"
	"slices"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// A lookup asks the storage once per object group, since one call has one layout.
// Groups of full attention are asked for the whole prompt at once. The others need
// only the end of the prefix, so they wait for its plan and are then asked for
// their windows; where an answer shortens the prefix, so that the windows lie
// elsewhere, one more round asks for the rest. With one group there is one call.

// submit asks for what can be asked now, and leaves the rest to a goroutine of the
// engine if an answer is outstanding.
func (m *Match) submit(ctx context.Context) {
	windows := false
	for i := range m.groups {
		switch g := &m.groups[i]; {
		case g.aux:
		case g.window > 0:
			windows = true
		default:
			if !m.query(ctx, g, 0, m.part, storage.Prefix) {
				return
			}
		}
	}
	if windows {
		m.windows(ctx)
	}
}

// windows asks the windowed groups.
func (m *Match) windows(ctx context.Context) {
	r := rounds{m: m}
	if r.run(ctx, false) {
		return
	}
	planned := make(chan struct{})
	m.mu.Lock() // the session's alarm may be looking
	m.planned = planned
	m.mu.Unlock()
	m.s.e.rounds.Go(func() {
		defer close(planned)
		r.run(context.WithoutCancel(ctx), true)
	})
}

// query submits one task. It reports false if the match is over, or the storage.
func (m *Match) query(ctx context.Context, g *objectGroup, lo, hi int, policy storage.Policy) bool {
	s, e := m.s, m.s.e
	list := e.keys.take((hi - lo) * m.key.world)
	defer e.keys.give(list)
	var err error
	if *list, err = s.request(m.key, kv.AllWorkers).AppendKeys(*list, g.id, m.chain.Hashes()[lo:hi]); err != nil {
		m.exit("", storage.MissNone, 0, err)
		return false
	}
	p, err := e.sm.SubmitPrefetch(ctx, *list, g.layout, storage.PrefetchOptions{
		Owner: s.r.ID, RequestID: s.r.ID, Readers: m.wanted, Policy: policy,
	})
	if err != nil {
		if err = closedError(err); err == ErrClosed { //nolint:errorlint // it is exactly that
			err = nil
		}
		m.exit("", storage.MissClosed, m.part, err)
		return false
	}
	return m.adopt(task{g: g, p: p, lo: lo, hi: hi})
}

// adopt keeps a task, unless the match was dropped meanwhile.
func (m *Match) adopt(t task) bool {
	m.mu.Lock()
	void := m.mu.void
	if !void {
		if m.mu.tasks == nil {
			m.mu.tasks = m.mu.one[:0]
		}
		at := 0
		for at < len(m.mu.tasks) && m.mu.tasks[at].g.id <= t.g.id {
			at++
		}
		m.mu.tasks = slices.Insert(m.mu.tasks, at, t)
	}
	m.mu.Unlock()
	if void {
		t.p.Release()
	}
	return !void
}

// planLocked is the planned prefix of the groups of full attention, in chunks, and
// whether it is known yet.
func (m *Match) planLocked() (chunks int, known bool) {
	chunks = m.part
	for i := range m.mu.tasks {
		if t := &m.mu.tasks[i]; t.g.window == 0 {
			n, ok := t.p.LookupHits()
			if !ok {
				return 0, false
			}
			chunks = min(chunks, n/m.key.world)
		}
	}
	return chunks, true
}

// snapshot is the tasks so far.
func (m *Match) snapshot() []task {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.mu.tasks)
}

// rounds are the questions that windowed groups need.
type rounds struct {
	m    *Match
	plan int
	next int
}

// run goes on until all is asked, or, unless it may wait, until it would have to:
// then it reports false and can be run again.
func (r *rounds) run(ctx context.Context, wait bool) bool {
	m := r.m
	if r.next == 0 {
		for _, t := range m.snapshot() {
			if _, known := t.p.LookupHits(); !known {
				if !wait {
					return false
				}
				_, _ = t.p.WaitPlan(ctx) // it ends with the plan, or with the storage
			}
		}
		m.mu.Lock()
		r.plan, _ = m.planLocked()
		m.mu.Unlock()
		if !r.ask(ctx, func(g *objectGroup) (int, int) { return g.from(0, r.plan), r.plan }) {
			return true
		}
		r.next++
	}
	for _, t := range m.snapshot() {
		if _, known := t.p.Status(); t.g.window > 0 && !known {
			if !wait {
				return false
			}
			_, _ = t.p.Wait(ctx) // it ends with the answer, or with the storage
		}
	}
	if m.foldTasks(r.plan, true, found) < r.plan {
		r.ask(ctx, func(g *objectGroup) (int, int) { return 0, g.from(0, r.plan) })
	}
	return true
}

// ask submits one task for each windowed group, for the chunks that of returns.
func (r *rounds) ask(ctx context.Context, of func(*objectGroup) (lo, hi int)) bool {
	for i := range r.m.groups {
		g := &r.m.groups[i]
		if g.aux || g.window == 0 {
			continue
		}
		if lo, hi := of(g); lo < hi && !r.m.query(ctx, g, lo, hi, storage.Sparse) {
			return false
		}
	}
	return true
}

// found and inL1 are the presences that a result tells.
func found(r *storage.PrefetchResult) storage.Bitmap { return r.Found }
func inL1(r *storage.PrefetchResult) storage.Bitmap  { return r.InL1 }

// foldTasks folds what the tasks have of up to n chunks. With windows, only the
// windowed groups count: the others are taken to have all.
func (m *Match) foldTasks(n int, windows bool, of func(*storage.PrefetchResult) storage.Bitmap) int {
	tasks := m.snapshot()
	return fold(n, rowsOf(m.groups, tasks, m.key.world, n, windows, of))
}

// rowsOf is the presence of each group and rank over n chunks.
func rowsOf(groups []objectGroup, tasks []task, world, n int, windows bool, of func(*storage.PrefetchResult) storage.Bitmap) []row {
	var rows []row
	for i := range groups {
		g := &groups[i]
		if g.aux || windows && g.window == 0 {
			continue
		}
		for rank := range world {
			r := row{present: make([]bool, n), window: g.window}
			for j := range tasks {
				if t := &tasks[j]; t.g == g {
					res, _ := t.p.Status()
					bits := of(&res)
					for c := t.lo; c < min(t.hi, n); c++ {
						r.present[c] = bits.Has((c-t.lo)*world + rank)
					}
				}
			}
			rows = append(rows, r)
		}
	}
	return rows
}
