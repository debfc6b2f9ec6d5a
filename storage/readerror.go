package storage

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// ReadError says which keys could not be read.
type ReadError struct {
	Keys []*l1.KeyError // in order of the selection
}

// Error names the number of keys and the first of them.
func (e *ReadError) Error() string {
	if len(e.Keys) == 1 {
		return e.Keys[0].Error()
	}
	return fmt.Sprintf("%v (and %d more)", e.Keys[0], len(e.Keys)-1)
}

// Unwrap gives the errors of the single keys.
func (e *ReadError) Unwrap() []error {
	errs := make([]error, len(e.Keys))
	for i, k := range e.Keys {
		errs[i] = k
	}
	return errs
}

// failRead ends a scope that could not be entered: it announces the keys that were
// not claimed and gives back those that were. A zero lease says that the handle has
// no holders any more, all having been claimed or given back.
func (p *Prefetch) failRead(keys []kv.Key, taken l1.ReadLease, enter int64, at time.Time) *ReadError {
	m := p.m
	f := failure{ok: NewBitmap(len(keys)), err: &ReadError{}}
	if taken != (l1.ReadLease{}) {
		f.sort(keys, func(i int) (l1.Code, string) { return taken.Code(i), taken.Detail(i).String() })
	} else if now, err := m.l1.ReserveRead(at, keys, p.layout, l1.ReadOptions{Look: true}); err == nil {
		f.sort(keys, func(i int) (l1.Code, string) {
			if c := now.Code(i); c != l1.Success {
				return c, now.Detail(i).String()
			}
			return l1.KeyNotReadable, l1.DetailNotLeased.String()
		})
	} else { // closed: nothing is resident any more
		f.sort(keys, func(int) (l1.Code, string) { return l1.KeyNotExist, "" })
	}
	if enter != NoCall {
		m.done(CallDone{Name: CallReadEnter, N: enter, OK: f.ok, Bad: len(f.err.Keys), Missing: len(f.missing)}, at)
		n := m.call(at, Call{Name: CallReadExit, Keys: keys, Owner: p.n})
		m.done(CallDone{Name: CallReadExit, N: n}, at)
	}
	f.announce(m, at)
	res := taken.Finish(at, l1.CauseAbort)
	for _, k := range f.err.Keys {
		res.Failed = append(slices.Clip(res.Failed), k.Key)
	}
	m.released(res, l1.CauseAbort, at)
	return f.err
}

// logReadError names the first of the keys that could not be read. The others share
// its fate, and a line for each could bury the log.
func (m *Manager) logReadError(ctx context.Context, err *ReadError, owner string) {
	first := err.Keys[0]
	m.log.ErrorContext(ctx, fmt.Sprintf("Failed to read prefetched object %s from L1 storage: %s", first.Key, first.Code),
		slog.String("detail", first.Detail), slog.String("owner", owner), slog.Int("failed", len(err.Keys)))
}

// failure is a read that did not get all of its keys.
type failure struct {
	err             *ReadError
	ok              Bitmap // claimed keys, by index in the selection
	missing, locked []kv.Key
	detail          string // what the locked ones have in common; empty: nothing
}

// sort puts every key where it belongs, once, given the outcome per index.
func (f *failure) sort(keys []kv.Key, outcome func(int) (l1.Code, string)) {
	seen := make(map[kv.Key]struct{})
	mixed := false
	for i, k := range keys {
		code, detail := outcome(i)
		if code == l1.Success {
			f.ok.Set(i)
			continue
		}
		if _, repeat := seen[k]; repeat {
			continue
		}
		seen[k] = struct{}{}
		f.err.Keys = append(f.err.Keys, &l1.KeyError{Op: "read", Key: k, Code: code, Detail: detail})
		if code == l1.KeyNotExist {
			f.missing = append(f.missing, k)
			continue
		}
		mixed = mixed || len(f.locked) > 0 && detail != f.detail
		f.locked, f.detail = append(f.locked, k), detail
	}
	if mixed {
		f.detail = ""
	}
}

func (f *failure) announce(m *Manager, at time.Time) {
	t := m.topics.readFailed
	if len(f.missing) > 0 {
		t.PublishAt(ReadFailed{During: DuringL1Retrieve, Reason: ReasonNotFound, Keys: f.missing}, at)
	}
	if len(f.locked) > 0 {
		t.PublishAt(ReadFailed{During: DuringL1Retrieve, Reason: ReasonWriteLocked, Detail: f.detail, Keys: f.locked}, at)
	}
}
