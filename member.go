package lmcache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// member is a worker's place among the ranks of a model, whichever side copies.
// Sessions and matches know their workers by it.
type member struct {
	e      *Engine
	id     string // engine_id in events
	key    layoutKey
	rank   int
	groups []objectGroup
}

// objectBytes is the size of all objects of one chunk.
func (w *member) objectBytes() int64 {
	n := int64(0)
	for i := range w.groups {
		n += w.groups[i].layout.Size()
	}
	return n
}

// matches reports whether a match is about this worker's model.
func (w *member) matches(m *Match) error {
	if m.key != w.key {
		return fmt.Errorf("lmcache: the match is about model %q and world size %d, the worker about %q and %d",
			m.key.model, m.key.world, w.key.model, w.key.world)
	}
	return nil
}

// serves reports whether the session is about this worker's model.
func (w *member) serves(s *Session) error {
	if s == nil || s.e != w.e {
		return errors.New("lmcache: the session is of another engine")
	}
	if s.bad != nil {
		return s.bad
	}
	k, groups, _, err := w.e.resolve(s.r.Model, s.r.WorldSize)
	if err != nil {
		return err
	}
	if k != w.key {
		return fmt.Errorf("lmcache: the session is about model %q and world size %d, the worker about %q and %d",
			k.model, k.world, w.key.model, w.key.world)
	}
	s.use(w.e.sm.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return ErrClosed
	}
	s.mu.layout, s.mu.groups = k, len(groups)
	return nil
}

// reserve stages memory for chunks [lo, hi) of one group.
func (w *member) reserve(ctx context.Context, s *Session, g *objectGroup, hashes []kv.Hash, lo, hi int) (storage.WriteLease, error) {
	// The chunk before the first one is expanded with them, for its key.
	from := max(lo-1, 0)
	list := w.e.keys.take(hi - from)
	defer w.e.keys.give(list)
	keys, err := s.request(w.key, w.rank).AppendKeys(*list, g.id, hashes[from:hi])
	if err != nil {
		return storage.WriteLease{}, err
	}
	o := storage.WriteOptions{Owner: s.r.ID}
	if from < lo {
		o.After = keys[0]
	}
	l, err := w.e.sm.ReserveWrite(ctx, keys[lo-from:], g.layout, storage.New, o)
	return l, closedError(err)
}

// logTransfer writes the line of a transfer of a session that has finished.
func (w *member) logTransfer(session, verb string, tokens int, took time.Duration) {
	ctx := context.Background() //nolint:forbidigo // a record without a caller
	if w.e.log.Enabled(ctx, slog.LevelInfo) {
		w.e.log.InfoContext(ctx, fmt.Sprintf("%s %d tokens in %.3f seconds", verb, tokens, took.Seconds()),
			slog.String("session", session), slog.Int("tokens", tokens), slog.Float64("seconds", took.Seconds()))
	}
}
