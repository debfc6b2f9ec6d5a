package lmcache_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1"
)

// deaf is a runtime whose timers stop firing.
type deaf struct {
	*runtime.Live

	on atomic.Bool
}

// At is the runtime's, until on.
func (d *deaf) At(t time.Time, f func()) runtime.Timer {
	if d.on.Load() {
		return lost{}
	}
	return d.Live.At(t, func() {
		if !d.on.Load() {
			f()
		}
	})
}

// lost is a timer that never fires.
type lost struct{}

func (lost) Stop() bool { return true }

// stale are the names of the loops that stand.
func stale(e *lmcache.Engine) map[string]bool {
	names := make(map[string]bool)
	for _, l := range e.Stats().Loops {
		if l.Stale() {
			names[l.Name] = true
		}
	}
	return names
}

// TestREQ_O42_StoppedLoops: a loop that is stopped shows within seconds of the time
// at which it has something to do, and not before; one that has nothing to do never
// shows.
func TestREQ_O42_StoppedLoops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := &deaf{Live: runtime.NewLive()}
		defer rt.Close()
		r := newRig(t, setup{bytes: 4 * objectBytes, engine: func(o *lmcache.Options) {
			o.Runtime = rt
			o.L1.Mode, o.L1.Watermark, o.L1.EvictionRatio = l1.ModeWatermark, 0.5, 0.25
		}})
		time.Sleep(24 * time.Hour)
		if got := stale(r.eng); len(got) > 0 {
			t.Fatalf("idle for a day: %v", got)
		}
		rt.on.Store(true)
		time.Sleep(24 * time.Hour)
		if got := stale(r.eng); len(got) > 0 {
			t.Fatalf("without timers for a day, with nothing to do: %v", got)
		}

		began := time.Now()
		s := r.session("a")
		r.done(r.store(s, 1, tokens(1, 3*chunkTokens), span(0, 3*perChunk)...), nil) // above the watermark
		shows := make(map[string]time.Duration)
		for ; time.Since(began) < 3*time.Minute; time.Sleep(time.Second) {
			for name := range stale(r.eng) {
				if _, ok := shows[name]; !ok {
					shows[name] = time.Since(began)
				}
			}
		}
		beat := l1.DefaultReadTTL / 3
		for name, due := range map[string]time.Duration{l1.LoopEvictor: 0, lmcache.LoopSessions: beat} {
			if at := shows[name]; at <= due+l1.StaleAfter || at > due+l1.StaleAfter+2*time.Second {
				t.Errorf("%s shows after %v, want 10 s after %v", name, at, due)
			}
		}
		rt.on.Store(false)
		r.end(s)
	})
}

// gated is a logger that stops whoever writes a line that begins with a text.
type gated struct {
	slog.Handler

	text string
	gate chan struct{}
}

// Enabled lets every line come.
func (g gated) Enabled(context.Context, slog.Level) bool { return true }

func (g gated) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, g.text) {
		<-g.gate
	}
	return nil
}

// TestREQ_O42_Completions: the time that a device takes is not that of the loop which
// settles what it has done; what stops the loop itself shows.
func TestREQ_O42_Completions(t *testing.T) {
	for loop, text := range map[string]string{lmcache.LoopStores: "Stored ", lmcache.LoopRetrieves: "Retrieved "} {
		synctest.Test(t, func(t *testing.T) {
			g := gated{slog.DiscardHandler, text, make(chan struct{})}
			r := newRig(t, setup{dev: fake.Options{Clock: fake.Virtual, Manual: true}, engine: func(o *lmcache.Options) { o.Logger = slog.New(g) }})
			prompt := tokens(1, 2*chunkTokens)
			s := r.session("a")
			tr, err := r.worker.Store(t.Context(), s, prompt, table(span(0, 2*perChunk)...), nil)
			if err == nil && loop == lmcache.LoopRetrieves {
				r.dev.Run()
				r.done(tr, nil)
				m := s.Lookup(t.Context(), prompt)
				r.found(m)
				tr, err = r.worker.Retrieve(t.Context(), m, table(span(0, 2*perChunk)...), nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if got := stale(r.eng); len(got) > 0 {
				t.Errorf("%s: the device takes a minute: %v", loop, got)
			}
			r.dev.Run()
			time.Sleep(time.Minute)
			if got := stale(r.eng); !got[loop] || len(got) > 1 {
				t.Errorf("the log hangs for a minute: %v, want %s", got, loop)
			}
			close(g.gate)
			r.done(tr, nil)
			synctest.Wait() // the transfer is done before the loop is
			r.idle()
			if got := stale(r.eng); len(got) > 0 {
				t.Errorf("%s goes on: %v", loop, got)
			}
			r.end(s)
			r.shut()
		})
	}
}
