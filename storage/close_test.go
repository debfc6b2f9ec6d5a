package storage_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

func TestCloseNamesWhoHoldsMemory(t *testing.T) {
	layout := rawLayout(t, objectBytes)
	m, v, err := storage.OpenVirtual(storage.Options{L1: l1.Options{Bytes: 4 * objectBytes}}, storage.VirtualOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	w, err := m.ReserveWrite(ctx, keys("ab"), layout, storage.New, storage.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range w.All() {
		fill(b, "ab"[i])
	}
	w.Finish()
	p, err := m.SubmitPrefetch(ctx, keys("ab"), layout, storage.PrefetchOptions{Owner: "reader", Readers: 2})
	if err != nil {
		t.Fatal(err)
	}
	v.RunUntil(v.Now().Add(time.Minute))
	staged, err := m.ReserveWrite(ctx, keys("c"), layout, storage.New, storage.WriteOptions{Owner: "writer"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Read(ctx, storage.Select{Hi: 2})
	if err != nil {
		t.Fatal(err)
	}

	var held *l1.LeakError
	if err := m.Close(ctx); !errors.As(err, &held) {
		t.Fatalf("Close: %v, want a LeakError", err)
	}
	if held.Leases != 3 || held.Owner != "reader" || held.Oldest != time.Minute {
		t.Errorf("Close: %+v, want 3 leases, the oldest for 1m by reader", held)
	}
	if err := m.Close(ctx); err != nil {
		t.Errorf("second Close: %v", err)
	}

	// Everything new is refused.
	if _, err := m.ReserveWrite(ctx, keys("x"), layout, storage.New, storage.WriteOptions{}); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("ReserveWrite after Close: %v", err)
	}
	if _, err := m.SubmitPrefetch(ctx, keys("a"), layout, storage.PrefetchOptions{}); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("SubmitPrefetch after Close: %v", err)
	}
	if n := m.Clear(true); n != 0 {
		t.Errorf("Clear after Close removed %d", n)
	}
	m.Touch(keys("a"))

	// What was handed out goes on working.
	second, err := p.Read(ctx, storage.Select{Hi: 2})
	if err != nil {
		t.Fatalf("Read of a handle after Close: %v", err)
	}
	for _, lease := range []storage.ReadLease{r, second} {
		for i, b := range lease.All() {
			if !filledWith(b, "ab"[i]) {
				t.Error("the bytes of a lease changed with Close")
			}
		}
		lease.Finish()
	}
	for _, b := range staged.All() {
		fill(b, 'c')
	}
	staged.Finish()
	p.Release()
	p.Release()
	if _, err := p.Read(ctx, storage.Select{Hi: 1}); err == nil {
		t.Error("read without holders after Close")
	}
	if s := m.Stats(); !s.Closed || s.L1.LeasedBytes != 0 || s.Prefetches != 0 {
		t.Errorf("stats after all: %+v", s)
	}
}

// A lease that expired has no claim on memory: after Close it reads nothing.
func TestCloseEndsExpiredHandles(t *testing.T) {
	layout := rawLayout(t, objectBytes)
	m, v, err := storage.OpenVirtual(storage.Options{L1: l1.Options{Bytes: objectBytes}}, storage.VirtualOptions{})
	if err != nil {
		t.Fatal(err)
	}
	store(t, m, keys("a"), layout)
	p, err := m.SubmitPrefetch(t.Context(), keys("a"), layout, storage.PrefetchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	v.RunUntil(v.Now().Add(l1.DefaultReadTTL))
	if err := m.Close(t.Context()); err != nil {
		t.Errorf("Close: %v: nobody holds memory", err)
	}
	var bad *storage.ReadError
	if _, err := p.Read(t.Context(), storage.Select{Hi: 1}); !errors.As(err, &bad) || bad.Keys[0].Code != l1.KeyNotExist {
		t.Errorf("Read after Close: %v, want %v", err, l1.KeyNotExist)
	}
	p.Release()
}

// REQ-S11, REQ-S25: every method, from 8 goroutines, beside Close.
func TestCloseBesideEverything(t *testing.T) {
	leak.Check(t)
	layout := rawLayout(t, objectBytes)
	for range 20 {
		bus := eventbus.New(eventbus.Options{})
		if _, err := bus.Subscribe(&counting{}); err != nil {
			t.Fatal(err)
		}
		m, err := storage.Open(t.Context(), storage.Options{L1: l1.Options{Bytes: 16 * objectBytes}, Bus: bus})
		if err != nil {
			t.Fatal(err)
		}
		shared, err := m.SubmitPrefetch(t.Context(), keys("x"), layout, storage.PrefetchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var wg, begun sync.WaitGroup
		begun.Add(8)
		for g := range 8 {
			wg.Go(func() {
				for i := range 60 {
					if i == 5 {
						begun.Done()
					}
					everything(t, m, shared, "abcdefghijklmnopqrst"[(g+i)%12:], i)
				}
			})
		}
		begun.Wait()
		for range 2 {
			wg.Go(func() {
				var held *l1.LeakError
				var pinned *l1.PinnedError
				if err := m.Close(context.Background()); err != nil && !errors.As(err, &held) && !errors.As(err, &pinned) {
					t.Errorf("Close: %v", err)
				}
			})
		}
		wg.Wait()
		if s := m.Stats().L1; s.Leases != 0 || s.LeasedBytes != 0 || s.StagedBytes != 0 || s.OrphanedBytes != 0 {
			t.Errorf("left after Close: %+v", s)
		}
		if err := m.Check(); err != nil {
			t.Error(err)
		}
		if err := bus.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// everything calls each method once and gives back what it got.
func everything(t *testing.T, m *storage.Manager, shared *storage.Prefetch, names string, i int) {
	ctx := t.Context()
	layout := rawLayout(t, objectBytes)
	w, err := m.ReserveWrite(ctx, keys(names), layout, storage.Mode(i%3), storage.WriteOptions{Owner: "w"})
	if err != nil && !errors.Is(err, storage.ErrClosed) {
		t.Error(err)
	}
	for i, b := range w.All() {
		fill(b, names[i])
	}
	w.Drop(1)
	w.Renew()
	w.FinishRange(0, 3)
	if i%2 == 0 {
		w.Finish()
	}
	w.Abort()
	p, err := m.SubmitPrefetch(ctx, keys(names), layout, storage.PrefetchOptions{Readers: 2, Policy: storage.Policy(i % 2), Warm: i%5 == 0})
	if err != nil {
		if !errors.Is(err, storage.ErrClosed) {
			t.Error(err)
		}
	} else {
		r, _ := p.Status()
		if lease, err := p.Read(ctx, storage.Select{Hi: r.Prefix}); err == nil {
			for i, b := range lease.All() {
				if !filledWith(b, names[i]) {
					t.Errorf("object %c has foreign bytes", names[i])
				}
			}
			lease.Renew()
			lease.FinishRange(0, 1)
			lease.EndScope()
			lease.Finish()
		}
		p.Renew()
		p.ReleaseRange(storage.Select{Lo: 1, Hi: 4}, 1)
		p.Release()
	}
	if _, err := shared.Read(ctx, storage.Select{Hi: 1}); err == nil {
		t.Error("read what was never stored")
	}
	shared.Release()
	m.Touch(keys(names))
	m.Delete(keys(names[:2]), i%4 == 0)
	if i%16 == 0 {
		m.Clear(i%32 == 0)
	}
	m.Stats()
	m.Memory()
	if p, err := m.Pin("device", func([]byte) (func() error, error) { return func() error { return nil }, nil }); err == nil {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// REQ-S20, REQ-S78: what cannot be built is refused with all reasons, and leaves
// nothing.
func TestOpenRefuses(t *testing.T) {
	leak.Check(t)
	live := runtime.NewLive()
	defer live.Close()
	for name, o := range map[string]storage.Options{
		"no memory":      {},
		"two clocks":     {L1: l1.Options{Bytes: 1, Runtime: live}},
		"unknown policy": {L1: l1.Options{Bytes: 1, Policy: "none"}},
		"too much":       {L1: l1.Options{Bytes: 1 << 62}},
	} {
		if _, err := storage.Open(t.Context(), o); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if _, _, err := storage.OpenVirtual(storage.Options{Runtime: live, L1: l1.Options{Bytes: 1}}, storage.VirtualOptions{}); err == nil {
		t.Error("virtual, with another runtime: opened")
	}
}
