package l1

import (
	"context"
	"log/slog"
)

// growthStep is how many bytes are made ready between two lines in the log.
const growthStep = 10 << 30

// grow is one worker: it commits, populates and pins pieces in order until there
// are no more.
func (g *memory) grow(ctx context.Context) {
	for ctx.Err() == nil {
		i := int(g.next.Add(1) - 1)
		if int64(i) >= g.end.Load() {
			return
		}
		if err := g.commit(i); err != nil {
			g.m.mu.Lock()
			g.loseLocked(i)
			tell := g.tellLocked()
			g.m.mu.Unlock()
			if tell {
				g.explainLoss(err)
			}
			return
		}
		if err := g.populate(i); err != nil { // whoever touches it first does it then
			g.logger().Debug("L1 memory could not be populated in advance", slog.Int("piece", i), slog.Any("error", err))
		}
		g.m.mu.Lock()
		g.pieces[i].committed = true
		pinnings := g.pinnings // is replaced, never changed
		g.m.mu.Unlock()
		for _, p := range pinnings {
			p.take(i)
		}
		g.m.mu.Lock()
		before := g.front
		g.readyLocked(i)
		after := g.front
		g.m.mu.Unlock()
		g.logProgress(before, after)
	}
}

// commit has a piece committed.
func (g *memory) commit(i int) error {
	g.m.mu.mustBeFree("committing memory")
	return g.pool.Commit(i)
}

// populate has a committed piece populated.
func (g *memory) populate(i int) error {
	g.m.mu.mustBeFree("populating memory")
	return g.pool.Populate(i)
}

// readyLocked lets piece i be handed out as soon as all before it are.
func (g *memory) readyLocked(i int) {
	g.pieces[i].ready = true
	g.advanceLocked()
}

// loseLocked gives up piece i, which could not be committed, and all behind it.
func (g *memory) loseLocked(i int) {
	g.end.Store(min(g.end.Load(), int64(i)))
	g.pieces[i].lost = true
	g.advanceLocked()
}

// advanceLocked brings the allocator up to date. Pieces become ready from the
// start only, so that no object size loses anything at their borders.
func (g *memory) advanceLocked() {
	for !g.done && g.pieces[g.front].ready {
		g.front++
		g.done = g.front == len(g.pieces)
	}
	a := g.m.mu.arena
	a.Advance(int64(g.front) * g.pool.PieceBytes())
	if !g.done && g.pieces[g.front].lost {
		a.Cut()
		g.done = true
		g.m.wakeLocked() // what is used has become more of what there is
	}
}

// roomLocked sees to it that n objects of a size fit into memory that is ready,
// as long as there is any that is not. It leaves the mutex while it commits.
func (m *Manager) roomLocked(size int64, n int) {
	g := m.mem
	if g == nil {
		return
	}
	for !g.done && !m.mu.closed && m.mu.arena.Available(size, n) < n {
		i := g.front
		g.work.Add(1)
		m.mu.Unlock()
		err := g.commit(i)
		m.mu.Lock()
		g.work.Done()
		if err == nil {
			g.pieces[i].committed = true
			g.readyLocked(i)
			continue
		}
		g.loseLocked(i)
		if g.tellLocked() {
			m.mu.Unlock()
			g.explainLoss(err)
			m.mu.Lock()
		}
	}
}

// tellLocked reports whether nobody has told of lost memory yet.
func (g *memory) tellLocked() bool {
	told := g.told
	g.told = true
	return !told
}

// explainLoss says that a part of the memory cannot be had.
func (g *memory) explainLoss(err error) {
	g.logger().Error("L1 memory cannot grow any further; the cache stays smaller than configured",
		slog.Int64("committed_bytes", g.pool.Committed()), slog.Int64("configured_bytes", g.m.arena.Size()), slog.Any("error", err))
}

// logProgress says how far growth is, now and then.
func (g *memory) logProgress(before, after int) {
	size, total := g.pool.PieceBytes(), g.m.arena.Size()
	if n := int64(after) * size; n/growthStep > int64(before)*size/growthStep {
		g.logger().Info("L1 memory is growing", slog.Int64("ready_bytes", min(n, total)), slog.Int64("total_bytes", total))
	}
}
