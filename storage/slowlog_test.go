package storage_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
)

// stuckLog is a log in which the first record that begins with a text never ends before release
// is closed.
type stuckLog struct {
	text    string
	release chan struct{}
	stuck   atomic.Bool
}

func (h *stuckLog) Enabled(context.Context, slog.Level) bool { return true }
func (h *stuckLog) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *stuckLog) WithGroup(string) slog.Handler            { return h }
func (h *stuckLog) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, h.text) && !h.stuck.Swap(true) {
		<-h.release
	}
	return nil
}

// A log that takes for ever stops neither the prefetch that is logged nor another one,
// nor a store.
func TestSlowLogStopsNoRequest(t *testing.T) {
	for _, tt := range []struct {
		text string
		fail func(t *testing.T, w *world, s *shelf)
		has  string // what the other tier has at the end
	}{
		{"L1 is out of memory", func(t *testing.T, w *world, s *shelf) {
			held := w.prefetch("wxyz", storage.PrefetchOptions{}) // all of L1
			if r := w.wait(held); r.Prefix != 4 {
				t.Fatalf("got %+v", r)
			}
			p := w.prefetch("a", storage.PrefetchOptions{})
			if r := w.wait(p); r.Prefix != 0 || r.Miss[0] != storage.MissL1OOM {
				t.Errorf("got %+v", r)
			}
			p.Release()
			held.Release()
		}, "nwxyz"},
		{"a tier of the cache is not asked for a while", func(t *testing.T, w *world, s *shelf) {
			s.before = func(context.Context, string, []storage.Key) error { return l2.ErrConnection }
			for range 3 {
				p := w.prefetch("a", storage.PrefetchOptions{})
				if r := w.wait(p); r.Miss[0] != storage.MissL2IO {
					t.Errorf("got %+v", r)
				}
				p.Release()
			}
			s.before = nil
		}, "nwxyz"},
		{"keys are not stored in a tier of the cache", func(_ *testing.T, w *world, s *shelf) {
			s.item = func(op string, it *l2.Item) {
				if op == "store" {
					it.Err = l2.ErrTooLarge
				}
			}
			w.put("q")
			synctest.Wait()
			w.put("r") // it would be told of after a minute
		}, "nqrwxyz"},
	} {
		t.Run(tt.text, func(t *testing.T) {
			a, b := newShelf(), newShelf()
			log := &stuckLog{text: tt.text}
			live(t, 4, []*shelf{a, b}, func(t *testing.T, w *world) {
				log.release = make(chan struct{}) // of the bubble
				a.keep(t, w.layout, "a")
				b.keep(t, w.layout, "wxyz")
				tt.fail(t, w, a)
				synctest.Wait()
				if !log.stuck.Load() {
					t.Fatal("nothing was logged")
				}
				p := w.prefetch("w", storage.PrefetchOptions{})
				if r := w.wait(p); r.Prefix != 1 {
					t.Errorf("a prefetch beside the log: %+v", r)
				}
				p.Release()
				w.put("n")
				synctest.Wait()
				if b.has() != tt.has {
					t.Errorf("a store beside the log: the tier has %s", b.has())
				}
				close(log.release)
			}, func(o *storage.Options) { o.Logger = slog.New(log) })
		})
	}
}
