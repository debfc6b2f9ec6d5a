package lmcache

import (
	"context"
	"fmt"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// resolve waits for the answers of all tasks and folds them, the first time.
func (m *Match) resolve(ctx context.Context) error {
	m.mu.Lock()
	done := m.mu.resolved || m.mu.void
	m.mu.Unlock()
	if done {
		return nil
	}
	if m.planned != nil {
		select {
		case <-m.planned:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	m.mu.Lock()
	tasks := m.mu.tasks // no more are added
	m.mu.Unlock()
	for i := range tasks {
		if _, err := tasks[i].p.Wait(ctx); err != nil {
			return err
		}
	}
	m.settle(tasks)
	return nil
}

// settle takes the answers over, and gives back what lies outside of the prefix.
func (m *Match) settle(tasks []task) {
	m.mu.Lock()
	if m.mu.resolved || m.mu.void {
		m.mu.Unlock()
		return
	}
	m.mu.resolved, m.mu.known = true, m.s.e.sm.Now()
	m.mu.chunks, m.mu.l1Chunks = m.fold(tasks)
	m.missesLocked(tasks)
	n, frees := m.mu.chunks, m.mu.frees
	m.mu.Unlock()
	for i := range tasks {
		tasks[i].keep(m.key.world, tasks[i].g.from(0, n), n)
	}
	for _, f := range frees {
		m.apply(f)
	}
}

// fold is the chunks that can be supplied, and of them those that L1 could have
// supplied when it was asked.
func (m *Match) fold(tasks []task) (chunks, local int) {
	world := m.key.world
	if len(tasks) == 1 && len(m.groups) == 1 && m.groups[0].window == 0 {
		r, _ := tasks[0].p.Status()
		return r.Prefix / world, min(r.Prefix, r.InL1.Prefix()) / world
	}
	chunks = fold(m.part, rowsOf(m.groups, tasks, world, m.part, false, found))
	return chunks, fold(chunks, rowsOf(m.groups, tasks, world, chunks, false, inL1))
}

// missesLocked counts, for each chunk behind the prefix, why it was not supplied:
// the reason of its own first missing object, or else of the one before that cut
// the prefix.
func (m *Match) missesLocked(tasks []task) {
	last := storage.MissNone
	for c := m.mu.chunks; c < m.chain.Len(); c++ {
		if why := m.missOf(tasks, c); why != storage.MissNone {
			last = why
		}
		m.mu.miss.Add(last, 1)
	}
}

func (m *Match) missOf(tasks []task, c int) storage.MissReason {
	for i := range tasks {
		t := &tasks[i]
		r, _ := t.p.Status()
		if r.Miss == nil || c < t.lo || c >= t.hi {
			continue
		}
		for j := (c - t.lo) * m.key.world; j < (c-t.lo+1)*m.key.world; j++ {
			if r.Miss[j] != storage.MissNone {
				return r.Miss[j]
			}
		}
	}
	return storage.MissNone
}

// freeing is holders of chunks [lo, hi) that a host gives back.
type freeing struct {
	lo, hi  int
	rank    int // negative: all
	holders int // per object
}

// Release gives back the holders on the tokens [from, to) that no transfer has
// claimed, whole chunks only. It counts as asking for the result; before that is
// known, it takes effect with it. What was given back can still be retrieved as
// long as it stays in the cache.
func (m *Match) Release(from, to int) { m.free(from, to, -1, l1.MaxReaders) }

// ReleaseRank is Release for one rank, or all with AllRanks, and for a number of
// readers per object. An error means a rank or a number that cannot be.
func (m *Match) ReleaseRank(from, to, rank, readers int) error {
	switch {
	case rank != AllRanks && (rank < 0 || rank >= max(m.key.world, 1)):
		return fmt.Errorf("lmcache: rank: must be from 0 to %d or AllRanks, got %d", max(m.key.world, 1)-1, rank)
	case readers < 1:
		return fmt.Errorf("lmcache: readers: must be positive, got %d", readers)
	}
	m.free(from, to, rank, min(readers, l1.MaxReaders))
	return nil
}

// AllRanks stands for every rank of a model.
const AllRanks = kv.AllWorkers

func (m *Match) free(from, to, rank, holders int) {
	size := m.s.e.o.ChunkTokens
	f := freeing{lo: (min(max(from, 0), m.tokens) + size - 1) / size, hi: min(to/size, m.chain.Len()), rank: rank, holders: holders}
	if f.lo >= f.hi || holders <= 0 {
		return
	}
	m.mu.Lock()
	if m.mu.void {
		m.mu.Unlock()
		return
	}
	if !m.mu.resolved && !m.answeredLocked() {
		m.mu.frees = append(m.mu.frees, f)
		m.mu.Unlock()
		return
	}
	m.mu.Unlock()
	_, _ = m.deliver(context.Background()) //nolint:forbidigo // does not wait
	m.apply(f)
}

// answeredLocked reports whether the result can be had without waiting.
func (m *Match) answeredLocked() bool {
	if m.planned != nil {
		select {
		case <-m.planned:
		default:
			return false
		}
	}
	for i := range m.mu.tasks {
		if _, known := m.mu.tasks[i].p.Status(); !known {
			return false
		}
	}
	return true
}

// apply gives holders back. The tasks hold nothing outside of the prefix and its
// windows any more.
func (m *Match) apply(f freeing) {
	var list []given
	m.mu.Lock()
	for i := range m.mu.tasks {
		list = m.mu.tasks[i].free(list, m.key.world, m.readers(), f)
	}
	m.mu.Unlock()
	for _, g := range list {
		g.p.ReleaseRange(g.s, g.holders)
	}
}
