package replay

import (
	"context"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

// RecordUnusual records one of each thing that only the extended format tells: a prefetch
// that is given up before it has resolved, a reservation that expires, a release of
// different numbers of holders, scopes and renewals.
func RecordUnusual(t testing.TB, o trace.Options) *trace.File {
	t.Helper()
	so := chunks(24)
	so.L1.WriteTTL, so.L1.ReadTTL, so.Prefetch.Timeout = 50*time.Millisecond, 100*time.Millisecond, 50*time.Millisecond
	so.Tiers = []storage.Tier{{Name: "mem", Settings: l2.Settings{Workers: 1}}}
	f, _ := recordFile(t, so, []storage.Model{{Latency: 5 * time.Millisecond}}, o, func(m *storage.Manager, v *storage.Virtual) {
		ctx, layout := context.Background(), rawLayout(t)
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		pass := func(d time.Duration) { v.RunUntil(v.Now().Add(d)) }
		var keys []kv.Key
		for i := range byte(9) {
			keys = append(keys, testKey(i))
		}
		w, err := m.ReserveWrite(ctx, keys[:4], layout, storage.New, storage.WriteOptions{})
		check(err)
		pass(time.Millisecond)
		w.Renew()
		w.Finish()
		late, err := m.ReserveWrite(ctx, keys[4:6], layout, storage.New, storage.WriteOptions{})
		check(err)
		pass(60 * time.Millisecond)
		late.Abort() // its time is over

		p, err := m.SubmitPrefetch(ctx, keys, layout, storage.PrefetchOptions{RequestID: "given up", Readers: 2})
		check(err)
		pass(time.Millisecond)
		p.Release()
		p, err = m.SubmitPrefetch(ctx, keys[6:], layout, storage.PrefetchOptions{RequestID: "given up, nothing is there"})
		check(err)
		p.Release()
		pass(20 * time.Millisecond)

		p, err = m.SubmitPrefetch(ctx, keys[:4], layout, storage.PrefetchOptions{RequestID: "partly read", Readers: 3})
		check(err)
		_, err = p.Wait(ctx)
		check(err)
		p.Renew()
		pass(time.Millisecond)
		one, err := p.Read(ctx, storage.Select{Hi: 2})
		check(err)
		two, err := p.Read(ctx, storage.Select{Hi: 3})
		check(err)
		one.EndScope()
		two.Renew()
		pass(time.Millisecond)
		two.Finish()
		one.Finish()
		p.Release() // 1, 1, 2 and 3 holders
	})
	return f
}

// TestREQ_T22_UnusualCalls: each of these calls is in the recording, and a replay does the same.
func TestREQ_T22_UnusualCalls(t *testing.T) {
	for _, args := range []trace.Args{trace.ArgsDocumented, trace.Args056} {
		f := RecordUnusual(t, trace.Options{Args: args})
		seen := make(map[string]int)
		for rec, err := range f.Records() {
			if err != nil {
				t.Fatal(err)
			}
			outcomes, err := rec.Outcomes()
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range outcomes {
				if o.Expired {
					seen["expired"]++
				}
			}
			c, err := rec.Call()
			if err != nil {
				continue // the end
			}
			for what, is := range map[string]bool{
				"cancel": c.Cancelled, "cancel of nothing": c.Cancelled && len(c.Keys) == 0, "more": c.More, "scope": c.Scope > 0, "renew": c.Name == storage.CallRenew,
			} {
				if is {
					seen[what]++
				}
			}
		}
		for what, n := range map[string]int{"expired": 1, "cancel": 2, "cancel of nothing": 1, "more": 2, "scope": 3, "renew": 3} {
			if seen[what] != n {
				t.Errorf("%d times %s, want %d", seen[what], what, n)
			}
		}
		so := chunks(24)
		so.L1.WriteTTL, so.L1.ReadTTL, so.Prefetch.Timeout = 50*time.Millisecond, 100*time.Millisecond, 50*time.Millisecond
		so.Tiers = []storage.Tier{{Name: "mem", Settings: l2.Settings{Workers: 1}}}
		r := replayed(t, readTape(t, f), VirtualOptions{Storage: so, Models: []storage.Model{{Latency: 5 * time.Millisecond}}})
		if r.Diverged != 0 || r.Unmet != 0 || r.Compared < 20 || r.Aborts == 0 {
			t.Errorf("%+v, %v", r, r.First)
		}
	}
}
