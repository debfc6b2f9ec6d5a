package storage_test

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/storage"
)

// What a fault of an adapter does in each phase: nothing wrong is read, nothing stays
// leased or pinned, the state of the tier and the log tell of it, and when it is over
// the tier is used again.
func TestTierFaultMatrix(t *testing.T) {
	const damaged, panicked, late, away = "an object of a tier is damaged", "an adapter of the cache panicked",
		"a call of an adapter of the cache takes long", "a tier of the cache is not asked"
	type want struct {
		log     string // the log has a line that begins so; empty: it need not have any
		reason  l2.Reason
		corrupt bool
		gone    bool // the objects are not there afterwards
	}
	for _, tt := range []struct {
		name   string
		effect l2test.Effect
		err    error
		on     map[l2test.Op]want
	}{
		{"fail", l2test.Fail, l2.ErrTooLarge, map[l2test.Op]want{
			l2test.Store: {reason: l2.ReasonTooLarge, gone: true}, l2test.Load: {reason: l2.ReasonTooLarge}, l2test.Lookup: {reason: l2.ReasonTooLarge},
		}},
		{"input/output", l2test.FailCall, l2.ErrIO, map[l2test.Op]want{
			l2test.Store: {reason: l2.ReasonIO, gone: true}, l2test.Load: {reason: l2.ReasonIO}, l2test.Lookup: {reason: l2.ReasonIO},
		}},
		{"unreachable", l2test.FailCall, l2.ErrConnection, map[l2test.Op]want{
			l2test.Store: {log: away, reason: l2.ReasonIO}, l2test.Load: {reason: l2.ReasonIO}, l2test.Lookup: {reason: l2.ReasonIO},
		}},
		{"short", l2test.Short, nil, map[l2test.Op]want{l2test.Load: {log: damaged, reason: l2.ReasonCorrupt, corrupt: true, gone: true}}},
		{"corrupt", l2test.Corrupt, nil, map[l2test.Op]want{l2test.Load: {log: damaged, reason: l2.ReasonCorrupt, corrupt: true, gone: true}}},
		{"bad head", l2test.BadHead, nil, map[l2test.Op]want{l2test.Load: {log: damaged, reason: l2.ReasonCorrupt, corrupt: true, gone: true}}},
		{"lost", l2test.Lose, nil, map[l2test.Op]want{l2test.Store: {gone: true}}},
		{"hang", l2test.Hang, nil, map[l2test.Op]want{
			l2test.Store: {log: away, reason: l2.ReasonTimeout}, l2test.Load: {reason: l2.ReasonTimeout}, l2test.Lookup: {reason: l2.ReasonTimeout},
		}},
		{"deaf", l2test.Deaf, nil, map[l2test.Op]want{
			l2test.Store: {log: late}, l2test.Load: {log: late}, l2test.Lookup: {log: late},
		}},
		{"panic", l2test.Panic, nil, map[l2test.Op]want{
			l2test.Store: {log: panicked, gone: true}, l2test.Load: {log: panicked}, l2test.Lookup: {log: panicked},
		}},
	} {
		for op, want := range tt.on {
			t.Run(tt.name+" "+op.String(), func(t *testing.T) {
				var lines []string
				var mu sync.Mutex
				s := newShelf()
				f := l2test.NewFaulty(s)
				live(t, 16, []*shelf{s}, func(t *testing.T, w *world) {
					if op != l2test.Store {
						w.put("abc")
						w.flush()
						w.m.Clear(true)
					}
					fault := f.Inject(l2test.Fault{Op: op, Effect: tt.effect, Err: tt.err})
					if op == l2test.Store {
						w.put("abc")
					} else {
						p := w.prefetch("abc", storage.PrefetchOptions{Deadline: 10 * time.Second})
						r := w.wait(p)
						if r.Prefix != 0 || r.Found.Count() != 0 {
							t.Errorf("found %+v", r)
						}
						p.Release()
					}
					pass(2 * time.Minute)
					st := w.m.Stats()
					held := st.L1.LeasedBytes != 0 && op != l2test.Store || st.Tiers[0].Pins != 0
					if fault.Hits() == 0 || held && tt.effect != l2test.Deaf { // what a call still has stays reserved
						t.Errorf("%d faults; %d bytes are leased, %d keys pinned", fault.Hits(), st.L1.LeasedBytes, st.Tiers[0].Pins)
					}
					if n := st.Tiers[0].FailuresByReason[string(want.reason)]; want.reason != "" && n == 0 {
						t.Errorf("no failure with reason %s: %v", want.reason, st.Tiers[0].FailuresByReason)
					}
					if (st.Tiers[0].Corrupt > 0) != want.corrupt {
						t.Errorf("%d objects were damaged", st.Tiers[0].Corrupt)
					}
					fault.Remove()
					pass(12 * time.Minute) // probes
					w.m.Clear(true)
					st = w.m.Stats()
					if st.L1.LeasedBytes != 0 || st.L1.StagedBytes != 0 || st.L1.OrphanedBytes != 0 || st.Tiers[0].Pins != 0 || st.Tiers[0].InflightCalls != 0 || st.Tiers[0].Breaker != storage.BreakerClosed {
						t.Errorf("when it is over: %+v, %+v", st.L1, st.Tiers[0])
					}
					p := w.prefetch("abc", storage.PrefetchOptions{})
					r := w.wait(p)
					if gone := r.Prefix == 0; gone != want.gone || !gone && r.Prefix != 3 {
						t.Errorf("when it is over: %+v, the tier has %s", r, s.has())
					}
					if r.Prefix > 0 {
						w.read(p, r.Prefix).Finish()
					}
					p.Release()
					w.put("xyz")
					w.flush()
					if !strings.HasSuffix(s.has(), "xyz") {
						t.Errorf("nothing is stored any more: %s", s.has())
					}
					synctest.Wait()
				}, func(o *storage.Options) {
					o.Tiers[0].Adapter, o.Logger = f, slog.New(journal{&mu, &lines})
				})
				mu.Lock()
				defer mu.Unlock()
				if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, want.log) }) && want.log != "" {
					t.Errorf("the log has no line %q: %q", want.log, lines)
				}
			})
		}
	}
}
