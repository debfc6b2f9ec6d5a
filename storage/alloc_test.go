//go:build !race && !invariants

package storage_test

import (
	"context"
	"testing"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

// REQ-P6: reserve and finish allocate the one key list of the call, a lookup its
// handle and its result besides; claiming, releasing, and publishing everything to
// a subscriber that listens as metrics do, nothing. Recording is off.
func TestAllocationsPerCall(t *testing.T) {
	for _, listened := range []bool{false, true} {
		bus := eventbus.New(eventbus.Options{Manual: true})
		if listened {
			if _, err := bus.Subscribe(&counting{}); err != nil {
				t.Fatal(err)
			}
		}
		layout := rawLayout(t, 1<<20)
		m, v, err := storage.OpenVirtual(storage.Options{
			L1: l1.Options{Bytes: 1 << 30, NoBytes: true}, Bus: bus,
		}, storage.VirtualOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		list := prompt(nil, 1, 16)
		write := func() {
			w, err := m.ReserveWrite(ctx, list, layout, storage.All, storage.WriteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if r := w.Finish(); len(r.Finished) != 16 {
				t.Fatalf("%d finished", len(r.Finished))
			}
			bus.Drain(v.Now())
		}
		read := func() {
			p, err := m.SubmitPrefetch(ctx, list, layout, storage.PrefetchOptions{})
			if err != nil {
				t.Fatal(err)
			}
			r, err := p.Read(ctx, storage.Select{Hi: 16})
			if err != nil {
				t.Fatal(err)
			}
			r.Finish()
			p.Release()
			bus.Drain(v.Now())
		}
		for range 100 { // buffers of the bus and records of leases grow first
			write()
			read()
		}
		if n := testing.AllocsPerRun(200, write); n > 1 {
			t.Errorf("listened %v: reserve and finish allocate %v times, want 1", listened, n)
		}
		if n := testing.AllocsPerRun(200, read); n > 3 {
			t.Errorf("listened %v: lookup, read, finish and release allocate %v times, want 3", listened, n)
		}
		if err := m.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := bus.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}
