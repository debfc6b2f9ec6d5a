package lmcache

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/internal/runtime"
)

// drainTime is how long a worker that is detached for its client may take to finish
// what runs, before its device is given up.
const drainTime = 30 * time.Second

// liveness is the registered remote workers and when they were last heard of. It
// detaches those that are silent. Embedded workers are not in it: they live until
// they are closed.
type liveness struct {
	e           *Engine
	alarm       alarm
	registering sync.Mutex // of AttachHost with an instance id; comes first
	mu          struct {
		sync.Mutex
		known   map[int64]*instance
		unknown map[int64]time.Time // that pinged, to the last warning
		reaped  int64
	}
}

// remoteWorker is a worker with an instance id.
type remoteWorker interface {
	busy() bool // transfers run, which counts as a sign of life
	close(ctx context.Context) error
}

type instance struct {
	w      remoteWorker
	seen   time.Time
	pinged bool
}

// maxUnknown is how many unknown ids are remembered, to warn once a minute each.
const maxUnknown = 1024

func (l *liveness) open(e *Engine) {
	l.e, l.alarm.bell = e, l
	l.mu.known = make(map[int64]*instance)
	l.mu.unknown = make(map[int64]time.Time)
}

// every is the time between two scans; 0: there are none.
func (l *liveness) every() time.Duration { return l.e.o.ReapTimeout / 4 }

// join registers a worker and returns the one that it replaces, which is to be
// retired.
func (l *liveness) join(id int64, w remoteWorker) (old remoteWorker) {
	now := l.e.sm.Now()
	l.mu.Lock()
	if i := l.mu.known[id]; i != nil {
		old = i.w
	}
	l.mu.known[id] = &instance{w: w, seen: now}
	delete(l.mu.unknown, id)
	l.mu.Unlock()
	if l.every() > 0 {
		l.e.alarms.set(&l.alarm, now.Add(l.every()))
	}
	return old
}

// leave removes a worker, unless another has its id.
func (l *liveness) leave(id int64, w remoteWorker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := l.mu.known[id]; i != nil && i.w == w {
		delete(l.mu.known, id)
	}
}

// find is the worker of an instance, which has been heard of by that; nil: there is
// none.
func (l *liveness) find(id int64) remoteWorker {
	now := l.e.sm.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.mu.known[id]
	if i == nil {
		return nil
	}
	i.seen = now
	return i.w
}

// seen notes a sign of life.
func (l *liveness) seen(id int64) { l.find(id) }

// ring scans for silent workers and retires them.
func (l *liveness) ring(now time.Time) (next time.Time) {
	silent, left := l.silent(now)
	for _, s := range silent {
		l.e.log.Warn("worker is silent: it is detached", slog.Int64("instance", s.id), slog.Duration("silence", s.silence))
		l.e.retire(s.w)
	}
	if left == 0 {
		return time.Time{}
	}
	return now.Add(l.every())
}

type silentWorker struct {
	id      int64
	w       remoteWorker
	silence time.Duration
}

// silent takes out those that have been silent for too long.
func (l *liveness) silent(now time.Time) (list []silentWorker, left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, i := range l.mu.known {
		if i.w.busy() {
			i.seen = now
		}
		limit := l.e.o.RegistrationGrace
		if i.pinged {
			limit = l.e.o.ReapTimeout
		}
		if silence := now.Sub(i.seen); silence > limit {
			list = append(list, silentWorker{id, i.w, silence})
			delete(l.mu.known, id)
			l.mu.reaped++
		}
	}
	slices.SortFunc(list, func(a, b silentWorker) int { return cmp.Compare(a.id, b.id) })
	return list, len(l.mu.known)
}

// ping notes that the client of an instance lives; false: it is unknown.
func (l *liveness) ping(id int64) (known, warn bool) {
	now := l.e.sm.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := l.mu.known[id]; i != nil {
		i.seen, i.pinged = now, true
		return true, false
	}
	if last, ok := l.mu.unknown[id]; ok && now.Sub(last) < time.Minute {
		return false, false
	}
	if len(l.mu.unknown) >= maxUnknown {
		for other, last := range l.mu.unknown {
			if now.Sub(last) >= time.Minute {
				delete(l.mu.unknown, other)
			}
		}
		if len(l.mu.unknown) >= maxUnknown {
			return false, false // that many at once are no news
		}
	}
	l.mu.unknown[id] = now
	return false, true
}

// retire closes a worker whose client is gone, without waiting for it.
func (e *Engine) retire(w remoteWorker) {
	if h, ok := w.(*HostWorker); ok { // nothing to wait for
		_ = h.Close() // never fails
		return
	}
	e.rt.Start(runtime.Call{
		Deadline: e.rt.Now().Add(drainTime),
		Do:       w.close,
	}, func(r runtime.Result) {
		if r.Err != nil {
			e.log.Error("detaching a worker", slog.Any("error", r.Err))
		}
	})
}

// Ping notes that the client of a remote worker lives, and says whether it is
// registered. A client whose instance is unknown has to register again.
func (e *Engine) Ping(id int64) (known bool) {
	known, warn := e.remote.ping(id)
	if warn {
		e.log.Warn("ping of an unknown instance", slog.Int64("instance", id))
	}
	return known
}

// Instance is the remote worker that is registered under an instance id, a *Worker
// or a *HostWorker, or ErrUnknownInstance. Asking counts as a sign of life.
func (e *Engine) Instance(id int64) (w any, err error) {
	if w := e.remote.find(id); w != nil {
		return w, nil
	}
	return nil, ErrUnknownInstance
}

// Host is the HostWorker of an instance; ErrUnknownInstance: there is none. Asking
// counts as a sign of life.
func (e *Engine) Host(id int64) (*HostWorker, error) {
	if h, ok := e.remote.find(id).(*HostWorker); ok {
		return h, nil
	}
	return nil, ErrUnknownInstance
}

// Detach closes the worker of an instance: it refuses new work and waits for what
// runs, at most 30 s or until ctx ends. An unknown instance is a warning.
func (e *Engine) Detach(ctx context.Context, id int64) error {
	w := e.remote.find(id)
	if w == nil {
		e.log.WarnContext(ctx, "detaching an unknown instance", slog.Int64("instance", id))
		return nil
	}
	e.remote.leave(id, w)
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	return w.close(ctx)
}

// LivenessStats is the state of the remote workers as a whole.
type LivenessStats struct {
	Instances         int
	Reaped            int64 // detached since the start, because they were silent
	ReapTimeout       time.Duration
	RegistrationGrace time.Duration
}

// InstanceStats is what is known of the client of a remote worker.
type InstanceStats struct {
	ID       int64
	LastSeen time.Time
	Pinged   bool // ever
}

func (l *liveness) stats() LivenessStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return LivenessStats{
		Instances: len(l.mu.known), Reaped: l.mu.reaped,
		ReapTimeout: l.e.o.ReapTimeout, RegistrationGrace: l.e.o.RegistrationGrace,
	}
}

// of is the state of one; nil: the worker is embedded, or has been replaced.
func (l *liveness) of(id *int64, w remoteWorker) *InstanceStats {
	if id == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.mu.known[*id]
	if i == nil || i.w != w {
		return nil
	}
	return &InstanceStats{ID: *id, LastSeen: i.seen, Pinged: i.pinged}
}
