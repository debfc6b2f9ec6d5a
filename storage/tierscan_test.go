package storage_test

import (
	"context"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
)

// catalogue is a shelf that can be listed, two objects a page. fail says what becomes of
// the nth page that is asked for, from 1 on.
type catalogue struct {
	*shelf
	fail func(n int, cursor string) error
	then func() // what happens while a page is on its way; nil: nothing

	mu    sync.Mutex
	asked []string // cursors
}

func (c *catalogue) ScanPageSize() int { return 2 }

func (c *catalogue) List(_ context.Context, q l2.ListQuery) (page l2.Page, err error) {
	c.mu.Lock()
	c.asked = append(c.asked, q.Cursor)
	n := len(c.asked)
	c.mu.Unlock()
	if c.then != nil {
		defer c.then()
	}
	if err := c.fail(n, q.Cursor); err != nil {
		return page, err
	}
	for _, k := range keys(c.has()) {
		switch name := named([]storage.Key{k}); {
		case name <= q.Cursor:
		case len(page.Entries) == q.PageSize:
			page.Next = named([]storage.Key{page.Entries[q.PageSize-1].Key})
			return page, nil
		default:
			page.Entries = append(page.Entries, l2.Entry{Key: k, Size: c.size(k)})
		}
	}
	return page, nil
}

func (c *catalogue) Scan(ctx context.Context) iter.Seq2[l2.Entry, error] {
	return l2.ScanPages(ctx, c, 2)
}

func (s *shelf) size(k storage.Key) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.objects[k].head) + len(s.objects[k].data))
}

// scanned opens a manager over a store that has the objects a to g, and waits so long.
func scanned(t *testing.T, a func(*shelf) l2.Adapter, wait time.Duration, f func(*testing.T, *world, *shelf, func() []string), change ...func(*storage.Options)) {
	t.Helper()
	var mu sync.Mutex
	var list []string
	log := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(list)
	}
	s := newShelf()
	s.keep(t, rawLayout(t, objectBytes), "abcdefg")
	live(t, 16, []*shelf{s}, func(t *testing.T, w *world) {
		pass(wait)
		synctest.Wait()
		f(t, w, s, log)
	}, append([]func(*storage.Options){func(o *storage.Options) {
		o.Tiers[0].Adapter, o.Logger = a(s), slog.New(journal{&mu, &list})
	}}, change...)...)
}

// lines is how many lines begin so.
func lines(log []string, with string) (n int) {
	for _, l := range log {
		if strings.HasPrefix(l, with) {
			n++
		}
	}
	return n
}

const listed, unlisted = "what a tier of the cache holds is known", "what a tier of the cache holds is not known in full"

// A page of the list at the start that fails is asked for again, and the ones before it
// are not.
func TestScanGoesOn(t *testing.T) {
	for name, err := range map[string]error{"throttled": l2.ErrThrottled, "timeout": l2.ErrTimeout, "io": l2.ErrIO} {
		t.Run(name, func(t *testing.T) {
			c := &catalogue{fail: func(n int, _ string) error {
				if n == 2 || n == 3 || n == 5 {
					return err
				}
				return nil
			}}
			scanned(t, func(s *shelf) l2.Adapter { c.shelf = s; return c }, time.Minute, func(t *testing.T, w *world, s *shelf, log func() []string) {
				if want := []string{"", "b", "b", "b", "d", "d", "f"}; !slices.Equal(c.asked, want) {
					t.Errorf("pages behind %q were asked for, want %q", c.asked, want)
				}
				st := w.m.Stats().Tiers[0]
				if st.Objects != 7 || !st.ScanComplete || st.Retries != 3 || st.UsedBytes != s.bytes() || st.Breaker != storage.BreakerClosed {
					t.Errorf("%+v", st)
				}
				if lines(log(), listed) != 1 || lines(log(), unlisted) != 0 {
					t.Errorf("log: %q", log())
				}
			})
		})
	}
}

// A list that goes on failing is given up: told once and counted. What was not listed is
// found by lookups, counts from then on, and the capacity is a bound all the same.
func TestScanGivesUp(t *testing.T) {
	for _, tt := range []struct {
		err   error
		asked int
	}{{l2.ErrThrottled, 1 + l2.DefaultAttempts}, {l2.ErrNoSpace, 2}} { // the second will not get better
		c := &catalogue{fail: func(_ int, cursor string) error {
			if cursor != "" {
				return tt.err
			}
			return nil
		}}
		var each int64
		scanned(t, func(s *shelf) l2.Adapter { c.shelf = s; return c }, time.Minute, func(t *testing.T, w *world, s *shelf, log func() []string) {
			each = s.bytes() / 7
			st := w.m.Stats().Tiers[0]
			if len(c.asked) != tt.asked || st.Objects != 2 || st.UsedBytes != 2*each || st.ScanComplete || st.FailuresByReason[string(l2.ReasonOf(tt.err))] != 1 {
				t.Errorf("pages behind %q were asked for; %+v", c.asked, st)
			}
			if got := log(); lines(got, unlisted+" objects=2 ") != 1 || lines(got, listed) != 0 {
				t.Errorf("log: %q", got)
			}
			p := w.prefetch("cdef", storage.PrefetchOptions{})
			if r := w.wait(p); r.Prefix != 4 {
				t.Errorf("not listed, and not found: %+v", r)
			}
			w.read(p, 4).Finish()
			p.Release()
			if st := w.m.Stats().Tiers[0]; st.Objects != 6 || st.UsedBytes != 6*each {
				t.Errorf("%d objects of %d bytes are counted", st.Objects, st.UsedBytes)
			}
			w.put("uvw") // there is room for eight, and nobody has met g
			w.flush()
			pass(time.Minute)
			synctest.Wait()
			if st := w.m.Stats().Tiers[0]; st.UsedBytes > st.CapacityBytes || st.Evicted == 0 || !strings.HasSuffix(s.has(), "uvw") {
				t.Errorf("stored %s, %d bytes of %d, %d evicted", s.has(), st.UsedBytes, st.CapacityBytes, st.Evicted)
			}
		}, func(o *storage.Options) { o.Tiers[0].Settings.Capacity = 8 * (objectBytes + 200) })
	}
}

// A list waits for a store that cannot be reached, however long that takes.
func TestScanWaitsForTheBreaker(t *testing.T) {
	var away atomic.Bool // a timer of before sets off what reads it
	c := &catalogue{fail: func(int, string) error {
		if away.Load() {
			return l2.ErrConnection
		}
		return nil
	}}
	away.Store(true)
	scanned(t, func(s *shelf) l2.Adapter {
		c.shelf = s
		s.before = func(context.Context, string, []storage.Key) error { return c.fail(0, "") }
		return c
	}, time.Hour, func(t *testing.T, w *world, _ *shelf, log func() []string) {
		st := w.m.Stats().Tiers[0]
		if st.Breaker != storage.BreakerOpen || st.ScanComplete || st.Objects != 0 || len(c.asked) != l2.DefaultFailures || lines(log(), unlisted) != 0 {
			t.Errorf("while it is away: %d pages were asked for; %+v", len(c.asked), st)
		}
		away.Store(false)
		pass(10 * time.Minute)
		synctest.Wait()
		if st := w.m.Stats().Tiers[0]; !st.ScanComplete || st.Objects != 7 || lines(log(), listed) != 1 {
			t.Errorf("when it is back: %+v", st)
		}
	})
}

// Every page that comes ends a row of failures, the last one too.
func TestScanEndsARowOfFailures(t *testing.T) {
	c := &catalogue{fail: func(n int, _ string) error {
		if n > 3 && n < 3+l2.DefaultFailures { // the last of four pages, until one failure is left
			return l2.ErrConnection
		}
		return nil
	}}
	scanned(t, func(s *shelf) l2.Adapter { c.shelf = s; return c }, time.Minute, func(t *testing.T, w *world, s *shelf, _ func() []string) {
		if st := w.m.Stats().Tiers[0]; !st.ScanComplete || len(c.asked) != 3+l2.DefaultFailures {
			t.Fatalf("%d pages were asked for; %+v", len(c.asked), st)
		}
		s.before = func(context.Context, string, []storage.Key) error { return l2.ErrConnection }
		p := w.prefetch("a", storage.PrefetchOptions{})
		w.wait(p)
		p.Release()
		s.before = nil
		if st := w.m.Stats().Tiers[0]; st.Breaker != storage.BreakerClosed {
			t.Errorf("after one failure the breaker is %s", st.Breaker)
		}
	})
}

// Close does not wait for the next try, nor for a scan that is under way, of which nothing
// is said.
func TestScanEndsWithClose(t *testing.T) {
	for name, f := range map[string]func(ctx context.Context) error{
		"between two tries": func(context.Context) error { return l2.ErrIO },
		"in the middle": func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		},
	} {
		for in, open := range map[string]func(*shelf) l2.Adapter{
			"pages":    func(s *shelf) l2.Adapter { return &hanging{s, f} },
			"one call": func(s *shelf) l2.Adapter { return &walker{shelf: s, begin: f} },
		} {
			t.Run(name+", in "+in, func(t *testing.T) {
				scanned(t, open, 10*time.Second, func(t *testing.T, w *world, _ *shelf, log func() []string) {
					began := time.Now()
					if err := w.m.Close(context.WithoutCancel(t.Context())); err != nil || time.Since(began) > time.Second {
						t.Errorf("%v after %v", err, time.Since(began))
					}
					if n := lines(log(), unlisted); n != 0 {
						t.Errorf("log: %q", log())
					}
				}, func(o *storage.Options) { o.Tiers[0].Settings.Retry.Backoff = time.Minute })
			})
		}
	}
}

// hanging is a shelf whose list is what f says.
type hanging struct {
	*shelf
	f func(ctx context.Context) error
}

func (h *hanging) ScanPageSize() int { return 2 }

func (h *hanging) List(ctx context.Context, _ l2.ListQuery) (l2.Page, error) {
	return l2.Page{}, h.f(ctx)
}

func (h *hanging) Scan(ctx context.Context) iter.Seq2[l2.Entry, error] {
	return l2.ScanPages(ctx, h, 2)
}

// walker is a shelf that can be scanned, but not in pages.
type walker struct {
	*shelf
	begin func(ctx context.Context) error // fails; nil: it begins
	walks int
}

func (a *walker) Scan(ctx context.Context) iter.Seq2[l2.Entry, error] {
	return func(yield func(l2.Entry, error) bool) {
		a.walks++
		if a.begin != nil {
			yield(l2.Entry{}, a.begin(ctx))
			return
		}
		for i, k := range keys(a.has()) {
			if i == 3 && a.walks == 1 {
				yield(l2.Entry{}, l2.ErrIO)
				return
			}
			if !yield(l2.Entry{Key: k, Size: a.size(k)}, nil) {
				return
			}
		}
	}
}

// A scan that is no list is begun anew when it fails.
func TestScanBeginsAnew(t *testing.T) {
	a := &walker{}
	scanned(t, func(s *shelf) l2.Adapter { a.shelf = s; return a }, time.Minute, func(t *testing.T, w *world, s *shelf, log func() []string) {
		st := w.m.Stats().Tiers[0]
		if a.walks != 2 || st.Objects != 7 || st.UsedBytes != s.bytes() || !st.ScanComplete || lines(log(), listed) != 1 || lines(log(), unlisted) != 0 {
			t.Errorf("%d walks; %+v; log %q", a.walks, st, log())
		}
	})
}

// What is deleted while a page that names it is on its way is not counted, whether it was
// known before or not, and whichever is over first; what is stored again is.
func TestScanAndDeletion(t *testing.T) {
	var page, deletion chan struct{} // of the bubble
	c := &catalogue{fail: func(int, string) error { return nil }, then: func() { <-page }}
	at := func(s *shelf) l2.Adapter {
		c.shelf, page, deletion = s, make(chan struct{}), make(chan struct{})
		s.before = func(_ context.Context, op string, _ []storage.Key) error {
			if op == "delete" {
				<-deletion
			}
			return nil
		}
		return c
	}
	run := func(t *testing.T, over func(), then func()) {
		scanned(t, at, 0, func(t *testing.T, w *world, s *shelf, _ func() []string) {
			gone := func(names string, begun func()) {
				t.Helper()
				done := make(chan []storage.TierResult, 1)
				if err := w.m.StartDeleteL2(keys(names), 0, func(r []storage.TierResult) { done <- r }); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				begun()
				if r := <-done; r[0].Err != nil || r[0].Skipped != 0 {
					t.Fatalf("%+v", r)
				}
				w.m.Delete(keys(names), true)
			}
			p := w.prefetch("a", storage.PrefetchOptions{}) // it is known now
			w.wait(p)
			p.Release()
			gone("ab", over)
			w.put("b")
			w.flush()
			then()
			pass(time.Second)
			synctest.Wait()
			if st := w.m.Stats().Tiers[0]; !st.ScanComplete || s.has() != "bcdefg" || st.Objects != 6 || st.UsedBytes != s.bytes() {
				t.Errorf("it has %q, %d bytes; %+v", s.has(), s.bytes(), st)
			}
			gone("bcdefg", func() {})
			if st := w.m.Stats().Tiers[0]; st.Objects != 0 || st.UsedBytes != 0 {
				t.Errorf("%d objects of %d bytes are counted, there are none", st.Objects, st.UsedBytes)
			}
		})
	}
	t.Run("the deletion first", func(t *testing.T) {
		run(t, func() { close(deletion) }, func() { close(page) })
	})
	t.Run("the page first", func(t *testing.T) {
		run(t, func() {
			close(page)
			synctest.Wait()
			close(deletion)
		}, func() {})
	})
}

// What a deletion could not remove is counted, although the scan met it meanwhile.
func TestScanAndFailedDeletion(t *testing.T) {
	for name, first := range map[string]bool{"during the scan": true, "after it": false} {
		t.Run(name, func(t *testing.T) {
			var page, deletion chan struct{} // of the bubble
			c := &catalogue{fail: func(int, string) error { return nil }, then: func() { <-page }}
			scanned(t, func(s *shelf) l2.Adapter {
				c.shelf, page, deletion = s, make(chan struct{}, 4), make(chan struct{})
				s.before = func(_ context.Context, op string, _ []storage.Key) error {
					if op == "delete" {
						<-deletion
						return l2.ErrIO
					}
					return nil
				}
				return c
			}, 0, func(t *testing.T, w *world, s *shelf, _ func() []string) {
				done := w.remove(keys("a"))
				page <- struct{}{} // that names it
				synctest.Wait()
				if st := w.m.Stats().Tiers[0]; st.Objects != 1 {
					t.Errorf("%d objects are counted of b and one that is being deleted", st.Objects)
				}
				if first {
					close(deletion)
					synctest.Wait()
				}
				close(page)
				synctest.Wait()
				if !first {
					close(deletion)
				}
				if r := <-done; r.Err == nil {
					t.Errorf("%+v", r)
				}
				pass(time.Second)
				synctest.Wait()
				if st := w.m.Stats().Tiers[0]; !st.ScanComplete {
					t.Errorf("%+v", st)
				}
				w.holds(s, "abcdefg")
			})
		})
	}
}
