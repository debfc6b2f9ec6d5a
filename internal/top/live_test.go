package top_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/internal/top"
)

// script is a source whose answers a test sets. It counts the fetches.
type script struct {
	mu     sync.Mutex
	answer func(n int, now time.Time) (*top.Scrape, error)
	n      int
	hang   bool // until the context ends
}

func (s *script) Fetch(ctx context.Context) (*top.Scrape, error) {
	s.mu.Lock()
	s.n++
	n, answer, hang := s.n, s.answer, s.hang
	s.mu.Unlock()
	if hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return answer(n, time.Now())
}

func (s *script) set(answer func(n int, now time.Time) (*top.Scrape, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *script) fetches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// screen is a terminal that keeps the last drawing.
type screen struct {
	mu   sync.Mutex
	last string
	err  error
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = string(p)
	return len(p), s.err
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// written is an answer whose counter gains 10 with each fetch.
func written(n int, now time.Time) (*top.Scrape, error) {
	page := fmt.Sprintf("# TYPE lmcache_mp_l1_write_keys_total counter\nlmcache_mp_l1_write_keys_total %d\n", 10*n)
	return top.Parse(strings.NewReader(page), "text/plain", now)
}

// view is a live view that runs in a bubble of synctest.
type view struct {
	*script
	*screen
	keys chan []byte
	size atomic.Int64 // 1000 x width + height
	end  chan error
}

func start1s(ctx context.Context, s *script) *view {
	v := &view{script: s, screen: &screen{}, keys: make(chan []byte), end: make(chan error, 1)}
	v.size.Store(100_030)
	l := top.Live{
		Source: s, Out: v.screen, Size: func() (int, int) { return int(v.size.Load() / 1000), int(v.size.Load() % 1000) }, Keys: v.keys,
		View: top.View{Interval: time.Second, Keys: true},
	}
	go func() { v.end <- l.Run(ctx) }()
	return v
}

// after waits and checks what is on the screen then.
func (v *view) after(t *testing.T, d time.Duration, want ...string) {
	t.Helper()
	time.Sleep(d)
	synctest.Wait()
	for _, w := range want {
		if !strings.Contains(v.text(), w) {
			t.Errorf("the screen lacks %q:\n%s", w, v.text())
		}
	}
}

func TestLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := start1s(t.Context(), &script{answer: written})
		v.after(t, 0, "written/s -")
		v.after(t, 1500*time.Millisecond, "written/s 10")
		// A server that is away is shown, with what was known last, and asked again.
		v.set(func(int, time.Time) (*top.Scrape, error) {
			return nil, &top.FetchError{What: "cannot connect to x", Err: errors.New("connection refused")}
		})
		v.after(t, 4*time.Second, "disconnected for 4s: connection refused", "written/s 10")
		// It comes back as another process: its counters began at 0.
		v.set(func(n int, now time.Time) (*top.Scrape, error) { return written(n-5, now) })
		v.after(t, time.Second, "written/s ")
		if got := v.text(); strings.Contains(got, "disconnected") {
			t.Errorf("still disconnected:\n%s", got)
		}
		v.after(t, time.Second, "written/s 10")
		v.keys <- []byte("q")
		if err := <-v.end; err != nil {
			t.Error(err)
		}
	})
}

func TestKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := start1s(t.Context(), &script{answer: func(_ int, now time.Time) (*top.Scrape, error) {
			return top.Parse(strings.NewReader(pageOf(start, "5")), "text/plain", now)
		}})
		press := func(keys string, want ...string) {
			t.Helper()
			v.keys <- []byte(keys)
			v.after(t, 0, want...)
		}
		v.after(t, 0, "1 Hit rate", "4 Tenants", "tokens/s▾")
		press("p", "PAUSED")
		n := v.fetches()
		v.after(t, 10*time.Second, "PAUSED")
		if got := v.fetches(); got != n {
			t.Errorf("%d fetches while paused", got-n)
		}
		press(" ")
		v.after(t, time.Second)
		if v.fetches() == n || strings.Contains(v.text(), "PAUSED") {
			t.Error("still paused")
		}
		press("s", "tokens▾")
		press("s", "hit▾")
		press("s", "Tenants▾")
		press("s", "tokens/s▾")
		press("t", "4 Tenants")
		if strings.Contains(v.text(), "Hit rate") {
			t.Error("not the tenants alone")
		}
		press("\x1b[A", "4 Tenants") // an arrow is no Escape
		if strings.Contains(v.text(), "Hit rate") {
			t.Error("an arrow was taken for Escape")
		}
		press("\x1b", "Hit rate")
		press("3", "3 Latency")
		press("3", "Hit rate")
		press("?", "quit", "Ctrl-C")
		press("0", "Hit rate")
		n = v.fetches()
		press("++") // every 4 s
		v.after(t, 8*time.Second)
		if got := v.fetches() - n; got != 2 {
			t.Errorf("%d fetches in 8 s, want 2", got)
		}
		press("-----------------")
		n = v.fetches()
		v.after(t, time.Second)
		if got := v.fetches() - n; got != 5 {
			t.Errorf("%d fetches in a second, want 5", got)
		}
		v.size.Store(40_005)
		v.after(t, time.Second)
		if n := strings.Count(v.text(), "\n"); n != 4 {
			t.Errorf("%d line breaks on 5 lines", n)
		}
		v.keys <- []byte{3}
		if err := <-v.end; err != nil {
			t.Error(err)
		}
	})
}

// A signal ends the view also while a server hangs, and its fetch has ended then.
func TestLiveEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := errors.New("a signal")
		ctx, cancel := context.WithCancelCause(t.Context())
		v := start1s(ctx, &script{hang: true})
		v.after(t, 5*time.Second, "waiting for the first scrape")
		if n := v.fetches(); n != 1 {
			t.Errorf("%d fetches side by side", n)
		}
		cancel(stop)
		if err := <-v.end; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

// A panic of the fetching goroutine reaches who owns the terminal, and so do errors of it.
func TestLiveFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answer: func(int, time.Time) (*top.Scrape, error) { panic("out of order") }}
		l := top.Live{Source: s, Out: &bytes.Buffer{}, Size: func() (int, int) { return 80, 24 }, View: top.View{Interval: time.Second}}
		func() {
			defer func() {
				if r := recover(); r != "out of order" {
					t.Errorf("recovered %v", r)
				}
			}()
			_ = l.Run(t.Context())
		}()
		l.Source, l.Out = &script{answer: written}, &screen{err: errors.New("hung up")}
		if err := l.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "hung up") {
			t.Errorf("%v", err)
		}
	})
}

func TestOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		f, err := top.Once(t.Context(), &script{answer: written}, top.Options{}, 2*time.Second)
		if err != nil || f.L1.Written != 5 || time.Since(began) != 2*time.Second {
			t.Errorf("%+v, %v after %v", f, err, time.Since(began))
		}
		away := errors.New("away")
		for fail := 1; fail <= 2; fail++ {
			_, err := top.Once(t.Context(), &script{answer: func(n int, now time.Time) (*top.Scrape, error) {
				if n == fail {
					return nil, away
				}
				return written(n, now)
			}}, top.Options{}, time.Second)
			if !errors.Is(err, away) {
				t.Errorf("fetch %d fails: %v", fail, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := top.Once(ctx, &script{answer: written}, top.Options{}, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}
