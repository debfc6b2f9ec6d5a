package observe

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
)

// REQ-O14: a job that nobody asks for leaves the gauge within its time limit, of 600
// seconds and a session's beat, and is counted; neither counter of the hit rate moves.
func TestREQ_O14_expiredJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, rec := eventbus.New(eventbus.Options{}), newRecorder()
		ob := start(t, bus, rec, Options{})
		m := newMixedRun(t, bus)
		if err := ob.Watch(Sources{Engine: m.eng, Bus: bus}); err != nil {
			t.Fatal(err)
		}
		prompt := make([]int32, 64)
		s := m.eng.Session(lmcache.Request{ID: "a", Model: "m"})
		s.Lookup(t.Context(), prompt)
		check := func(when string, active, expired float64) {
			t.Helper()
			if err := bus.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := rec.scrape(t)
			if got[nameActiveJobs] != active || got[nameJobsExpired] != expired {
				t.Errorf("%s: %v active and %v expired, want %v and %v", when, got[nameActiveJobs], got[nameJobsExpired], active, expired)
			}
			for series, v := range only(got, nameRequestedTokens, nameHitTokens) {
				if v != 0 {
					t.Errorf("%s: %s = %v", when, series, v)
				}
			}
		}
		check("submitted", 1, 0)
		time.Sleep(599 * time.Second)
		check("shortly before its time is over", 1, 0)
		time.Sleep(102 * time.Second)
		check("after it", 0, 1)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := m.eng.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := bus.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
