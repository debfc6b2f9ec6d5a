package l1

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/invariants"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// panics reports whether f does.
func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

// REQ-S15: the checks themselves fail when they should, and only in builds with
// invariants.
func TestREQ_S15_MutexChecks(t *testing.T) {
	var m mutex
	if m.held(1) {
		t.Error("a free mutex is held")
	}
	m.Lock()
	if !m.held(1000) {
		t.Error("a mutex that is held is free")
	}
	m.coverLocked(maxHold - 1)
	m.coverLocked(1)
	if got := panics(func() { m.coverLocked(1) }); got != invariants.Enabled {
		t.Errorf("a hold of %d keys: panic %v, want %v", maxHold+1, got, invariants.Enabled)
	}
	m.Unlock()
	m.Lock()
	m.coverLocked(maxHold) // a new hold
	m.Unlock()
	m.mustBeFree("a test")
}

// outside fails the test when it is called under the mutex of a manager.
type outside struct {
	t     *testing.T
	m     atomic.Pointer[Manager]
	calls map[string]*atomic.Int64
}

func (o *outside) called(what string) {
	o.calls[what].Add(1)
	if m := o.m.Load(); m != nil && m.mu.held(heldTries) {
		o.t.Errorf("%s under the mutex", what)
	}
}

func (o *outside) fault(s Step) error {
	o.called(string(s))
	if s == StepCommit && o.calls[string(s)].Load() > 30 {
		return errors.New("no space left")
	}
	return nil
}

// logs is a handler of a logger.
type logs struct {
	slog.Handler
	o *outside
}

func (l logs) Enabled(context.Context, slog.Level) bool { return true }

func (l logs) Handle(context.Context, slog.Record) error {
	l.o.called("log")
	return nil
}

// waits is a runtime that looks before it waits.
type waits struct {
	*runtime.Live
	o *outside
}

func (w waits) Wait(ctx context.Context, woken <-chan struct{}, until time.Time) bool {
	w.o.called("wait")
	return w.Live.Wait(ctx, woken, until)
}

// REQ-S15: the system, devices, loggers and waits are called without the mutex, in
// calls with many keys too.
func TestREQ_S15_NothingSlowUnderTheMutex(t *testing.T) {
	leak.Check(t)
	o := &outside{t: t, calls: map[string]*atomic.Int64{}}
	for _, what := range []string{"create", "reserve", "commit", "populate", "log", "wait", "pin", "unpin"} {
		o.calls[what] = &atomic.Int64{}
	}
	const piece = 16 * 4096
	m, err := New(Options{
		Bytes: 40 * piece, InitBytes: piece, Policy: "IsolatedLRU", ShmName: "test", ShmDir: t.TempDir(),
		Logger: slog.New(logs{slog.DiscardHandler, o}), piece: piece, fault: o.fault,
	})
	if err != nil {
		t.Fatal(err)
	}
	o.m.Store(m)
	pinned := make(chan struct{})
	one := sync.OnceFunc(func() { close(pinned) })
	pin, err := m.Pin("gpu0", func(mem []byte) (func() error, error) {
		o.called("pin")
		if &mem[0] == &m.mem.pool.Bytes()[0] {
			return nil, errors.New("cannot be pinned")
		}
		defer one()
		return func() error { o.called("unpin"); return nil }, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	layout, err := kv.RawLayout(4000)
	if err != nil {
		t.Fatal(err)
	}
	now, keys := time.Now(), longKeys(600)
	w, err := m.ReserveWrite(now, keys, layout, WriteNew, WriteOptions{}) // more than there is
	if err != nil {
		t.Fatal(err)
	}
	r := w.FinishAndRead(now, 2)
	taken, _ := r.Take(now, All(len(keys)))
	late := now.Add(2 * DefaultReadTTL)
	taken.Finish(late, CauseRead) // too late
	r.Orphan(late)
	r.Finish(late, CauseAbort)
	m.Touch(late, keys)
	if err := m.SetQuota(late, "", 100*4096); err != nil {
		t.Fatal(err)
	}
	m.Delete(late, keys[:200], true)
	m.Clear(late, true)
	if w, err = m.ReserveWrite(late, keys, layout, WriteAll, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.Abort(late, AbortOwner)
	<-pinned // by a worker, in its own time
	if err := errors.Join(m.Check(), pin.Close(), m.Close()); err != nil {
		t.Error(err)
	}
	rt := waits{runtime.NewLive(), o}
	defer rt.Close()
	if m, err = New(Options{Bytes: 4096, NoBytes: true, Runtime: rt}); err != nil {
		t.Fatal(err)
	}
	o.m.Store(m)
	w, err = m.ReserveWriteWithin(t.Context(), time.Now(), time.Millisecond, keys[:2], layout, WriteNew, WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.Abort(time.Now(), AbortOwner)
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	for what, n := range o.calls {
		if n.Load() == 0 {
			t.Errorf("%s: never called", what)
		}
	}
}
