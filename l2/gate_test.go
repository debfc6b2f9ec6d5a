package l2_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lmcache-go/lmcache/l2"
)

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g l2.Gate
		if err := g.Enter(); err != nil {
			t.Fatal(err)
		}
		paused := make(chan error, 2)
		go func() {
			paused <- g.Pause(t.Context(), time.Hour)
			time.Sleep(time.Minute) // what it has begun
			g.Leave()
		}()
		synctest.Wait()
		begin := time.Now()
		closed := make(chan bool, 2)
		for range 2 {
			go func() { closed <- g.Close() }()
		}
		if a, b := <-closed, <-closed; a == b {
			t.Errorf("two calls of Close: first %v and %v", a, b)
		}
		if took := time.Since(begin); took != time.Minute {
			t.Errorf("Close took %v, want the minute that a call still needs", took)
		}
		if err := <-paused; !errors.Is(err, l2.ErrClosed) {
			t.Errorf("the pause of a call: %v", err)
		}
		if err := g.Enter(); !errors.Is(err, l2.ErrClosed) {
			t.Errorf("Enter after Close: %v", err)
		}
		select {
		case <-g.Closing():
		default:
			t.Error("a closed gate is not closing")
		}
	})
}

func TestGatePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g l2.Gate
		begin := time.Now()
		if err := g.Pause(t.Context(), time.Second); err != nil || time.Since(begin) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.Pause(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a context that ends: %v", err)
		}
		if err := g.Pause(ctx, 0); err != nil {
			t.Errorf("no time: %v", err)
		}
	})
}
