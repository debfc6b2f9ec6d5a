package lmcache_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache"
)

// TestREQ_O40_Stalls: stores and retrieves from several goroutines, on a device that
// stands still again and again, and with a bus that somebody listens to, neither lock
// each other up nor leave goroutines behind. DURATION is how long (1 s); make stalls.
func TestREQ_O40_Stalls(t *testing.T) {
	duration := time.Second
	if text := os.Getenv("DURATION"); text != "" {
		var err error
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	const workers, chunks = 4, 4
	r := newRig(t, setup{bytes: 16 * objectBytes}) // room for half of the prompts: they evict each other
	ctx, cancel := context.WithTimeout(t.Context(), duration)
	defer cancel()
	limit, stop := context.WithTimeout(t.Context(), duration+time.Minute)
	defer stop()
	before := runtime.NumGoroutine()
	var done [workers]struct{ stored, retrieved, most int }
	var wg sync.WaitGroup
	for g := range workers {
		wg.Go(func() {
			rng := newRand(uint64(g))
			blocks := table(span(g*chunks*perChunk, chunks*perChunk)...)
			for i := 0; ctx.Err() == nil; i++ {
				prompt := tokens(uint64(rng.IntN(2*workers)), chunks*chunkTokens)
				s := r.eng.Session(lmcache.Request{ID: fmt.Sprintf("%d-%d", g, i), Model: model})
				match := s.Lookup(limit, prompt)
				hit, err := match.Chunks(limit)
				if err == nil && hit > 0 {
					var tr *lmcache.Transfer
					if tr, err = r.worker.Retrieve(limit, match, blocks, nil); err == nil {
						err = tr.Wait(limit)
						done[g].retrieved++
					}
				}
				if err == nil {
					var tr *lmcache.Transfer
					if tr, err = r.worker.Store(limit, s, prompt, blocks, nil); err == nil {
						err = tr.Wait(limit)
						done[g].stored++
					}
				}
				if err != nil {
					t.Errorf("request %d-%d: %v", g, i, err)
					return
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				done[g].most = max(done[g].most, runtime.NumGoroutine())
			}
		})
	}
	rng := newRand(40)
	stalls := 0
	for ; ctx.Err() == nil; stalls++ { // for up to 3 ms each
		r.dev.Hang()
		<-time.After(time.Duration(rng.IntN(3000)) * time.Microsecond)
		r.dev.Release()
		<-time.After(time.Duration(rng.IntN(1000)) * time.Microsecond)
	}
	wg.Wait()
	stored, retrieved, most := 0, 0, 0
	for _, d := range done {
		stored, retrieved, most = stored+d.stored, retrieved+d.retrieved, max(most, d.most)
	}
	if stored == 0 || retrieved == 0 || stalls < 10 {
		t.Errorf("%d stores and %d retrieves in %d stalls", stored, retrieved, stalls)
	}
	if most > before+workers+2 { // and what the engine starts for a moment
		t.Errorf("%d goroutines before, up to %d meanwhile", before, most)
	}
	t.Logf("%d stores, %d retrieves, %d stalls in %v; %d goroutines before, up to %d", stored, retrieved, stalls, duration, before, most)
}
