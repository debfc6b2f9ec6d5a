package replay

import (
	"context"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// A renewal of what was claimed by a call that has to wait, because the replay's tier is
// slower, waits with it; one of the lookup that it waits for does not.
func TestRenewalsWaitWithTheirScope(t *testing.T) {
	o := chunks(4)
	o.L1.ReadTTL, o.Prefetch.Timeout = 10*time.Second, 9*time.Second
	o.Tiers = []storage.Tier{{Name: "mem", Settings: l2.Settings{Workers: 1}}}
	layout, ctx := rawLayout(t), context.Background()
	tape := record(t, o, []storage.Model{{}}, func(m *storage.Manager, v *storage.Virtual) {
		keys := []kv.Key{testKey(1), testKey(2)}
		w, err := m.ReserveWrite(ctx, keys, layout, storage.New, storage.WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		w.Finish()
		v.RunUntil(v.Now().Add(10 * time.Second))
		m.Delete(keys[1:], true)
		p, err := m.SubmitPrefetch(ctx, keys, layout, storage.PrefetchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		v.RunUntil(v.Now().Add(time.Second))
		if !p.Renew() {
			t.Fatal("it is not live")
		}
		l, err := p.Read(ctx, storage.Select{Hi: 2})
		if err != nil {
			t.Fatal(err)
		}
		v.RunUntil(v.Now().Add(time.Second))
		if !l.Renew() {
			t.Fatal("it is not live")
		}
		v.RunUntil(v.Now().Add(5 * time.Second))
		l.Finish()
		p.Release()
	})
	for _, slow := range []time.Duration{0, 1500 * time.Millisecond, 3500 * time.Millisecond} {
		r, live := renewed(t, tape, o, slow)
		if live != 2 || r.Own != 3 || r.Unmet != 0 || r.Misses != 0 || r.Hits != 2 {
			t.Errorf("with calls of %v: %d renewals of what is live, %+v", slow, live, r)
		}
	}
}

// A renewal of a reservation that waits for a lookup waits with it: it is made in time.
func TestRenewalsWaitWithTheirReservation(t *testing.T) {
	o := chunks(4)
	o.L1.WriteTTL, o.Prefetch.Timeout = 2*time.Second, 9*time.Second
	o.Tiers = []storage.Tier{{Name: "mem", Settings: l2.Settings{Workers: 1}}}
	layout, ctx := rawLayout(t), context.Background()
	tape := record(t, o, []storage.Model{{}}, func(m *storage.Manager, v *storage.Virtual) {
		keys := []kv.Key{testKey(1), testKey(2)}
		p, err := m.SubmitPrefetch(ctx, keys, layout, storage.PrefetchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		v.RunUntil(v.Now().Add(time.Second))
		w, err := m.ReserveWrite(ctx, keys, layout, storage.New, storage.WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		v.RunUntil(v.Now().Add(1500 * time.Millisecond))
		if !w.Renew() {
			t.Fatal("it is not live")
		}
		v.RunUntil(v.Now().Add(1500 * time.Millisecond))
		w.Finish()
		p.Release()
	})
	for _, slow := range []time.Duration{0, 1500 * time.Millisecond, 3500 * time.Millisecond} {
		r, live := renewed(t, tape, o, slow)
		if live != 1 || r.Own != 1 || r.Unmet != 0 || r.Diverged != 0 {
			t.Errorf("with calls of %v: %d renewals of what is live, %+v", slow, live, r)
		}
	}
}

// renewed replays a tape over a tier whose calls take so long, and counts the renewals of
// what is live.
func renewed(t *testing.T, tape *Tape, o storage.Options, slow time.Duration) (r *Result, live int) {
	t.Helper()
	r = replayed(t, tape, VirtualOptions{Storage: o, Models: []storage.Model{{Latency: slow}}, Complete: func(l Line) {
		for _, o := range l.Outcomes {
			if o.Name == storage.CallRenew && o.Entered {
				live++
			}
		}
	}})
	return r, live
}

func testKey(n byte) kv.Key {
	var b [32]byte
	b[0] = n
	return kv.Key{Hash: kv.Hash32(b), Model: "m"}
}
