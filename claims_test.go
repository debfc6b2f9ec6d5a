package lmcache_test

import (
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache"
)

// TestREQ_E10_RenewWhileLookingUp: the leases of a lookup of several groups are
// renewed while it goes on to ask for the next ones.
func TestREQ_E10_RenewWhileLookingUp(t *testing.T) {
	g := newGroupRig(t, 1, 0, lmcache.EngineGroup{WindowTokens: chunkTokens},
		lmcache.EngineGroup{Tag: 1}, lmcache.EngineGroup{Tag: 2}, lmcache.EngineGroup{Tag: 3})
	prompt := tokens(1, 3*chunkTokens+1)
	g.keepAll(1, prompt)
	s := g.session("reader")
	stop := make(chan struct{})
	var ringing sync.WaitGroup
	ringing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				lmcache.Ring(s, time.Now())
			}
		}
	})
	for range 2000 {
		if n := g.found(s.Lookup(t.Context(), prompt)); n != 3*chunkTokens {
			t.Fatalf("found %d tokens", n)
		}
	}
	close(stop)
	ringing.Wait()
	g.end(s)
}
