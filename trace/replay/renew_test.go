package replay_test

import (
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
	"github.com/lmcache-go/lmcache/trace/replay"
)

// without leaves the records of one name out.
func without(records iter.Seq2[trace.Record, error], name string) iter.Seq2[trace.Record, error] {
	return func(yield func(trace.Record, error) bool) {
		for rec, err := range records {
			if rec.Name != name && !yield(rec, err) {
				return
			}
		}
	}
}

// TestREQ_T22_Renewals: writers, lookups and readers that take longer than leases live,
// and renew them, are not late in a replay at the recorded times. Without the records of
// that they are, which shows that they matter.
func TestREQ_T22_Renewals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ttl = 2 * time.Second
		options := l1.Options{Bytes: 8 * objectBytes, ReadTTL: ttl, WriteTTL: ttl}
		a := openWorld(t, options)
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		renewed := func(live bool) {
			t.Helper()
			if !live {
				t.Fatal("it is no longer live")
			}
		}
		f := a.recorded(trace.Options{}, func() {
			ctx, keys := t.Context(), []kv.Key{chunk("", 0, 0), chunk("", 0, 1)}
			w, err := a.m.ReserveWrite(ctx, keys, a.layout, storage.New, storage.WriteOptions{})
			check(err)
			time.Sleep(ttl / 2)
			renewed(w.Renew())
			time.Sleep(ttl * 3 / 4)
			if r := w.Finish(); len(r.Finished) != 2 {
				t.Fatalf("%+v", r)
			}
			p, err := a.m.SubmitPrefetch(ctx, keys, a.layout, storage.PrefetchOptions{RequestID: "r"})
			check(err)
			time.Sleep(ttl / 2)
			renewed(p.Renew())
			time.Sleep(ttl * 3 / 4)
			one, err := p.Read(ctx, storage.Select{Hi: 1})
			check(err)
			two, err := p.Read(ctx, storage.Select{Lo: 1, Hi: 2})
			check(err)
			time.Sleep(ttl / 2)
			renewed(two.Renew()) // the other one expires
			time.Sleep(ttl * 3 / 4)
			if one.Renew() {
				t.Fatal("it is live")
			}
			one.Finish()
			two.Finish()
			p.Release()
		})
		a.close()
		b := openWorld(t, options)
		r := run(t, b, f.Records(), replay.Options{Bus: b.bus, Strict: true, Diverged: func(d replay.Divergence) { t.Error(d) }})
		if r.Diverged != 0 || r.Unmet != 0 || r.Own != 4 || r.Strict != "" || r.Misses != 0 {
			t.Errorf("%+v", r)
		}
		b.close()
		c := openWorld(t, options)
		r = run(t, c, without(f.Records(), storage.CallRenew), replay.Options{Bus: c.bus})
		if r.Divergences["failed"] == 0 || r.Aborts != 0 {
			t.Errorf("nothing depends on the renewals: %+v", r)
		}
		c.close()
	})
}
