package tier

import (
	"context"
	"errors"
	"fmt"

	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l2"
)

// List asks the adapter for a page and waits for it.
func (t *Tier) List(ctx context.Context, q l2.ListQuery) (l2.Page, error) {
	l, ok := l2.AbilityOf[l2.Lister](t.adapter)
	if !ok {
		return l2.Page{}, fmt.Errorf("storage: tier %s: listing is not supported: %w", t.o.Name, errors.ErrUnsupported)
	}
	type answer struct {
		page l2.Page
		err  error
	}
	var got, said answer // got is the call's own until it has returned
	done := make(chan struct{})
	t.lock()
	if t.mu.stopped || t.mu.breaker.state != StateClosed {
		t.unlock()
		return l2.Page{}, fmt.Errorf("storage: tier %s: %w", t.o.Name, ErrOpen)
	}
	now := t.rt.Now()
	t.startLocked(&call{
		op: opList, deadline: now.Add(t.s.Timeouts.Load),
		do: func(ctx context.Context) error {
			got.page, got.err = l.List(ctx, q)
			return got.err
		},
		done: func(err error) { said = answer{got.page, err}; close(done) },
		lost: func() { said.err = l2.ErrTimeout; close(done) },
		back: func() {},
	}, now)
	t.unlock()
	until := now.Add(2 * t.s.Timeouts.Load)
	if !t.rt.Wait(ctx, done, until) {
		if err := ctx.Err(); err != nil {
			return l2.Page{}, err
		}
		return l2.Page{}, runtime.ErrClosed
	}
	if said.err != nil {
		return l2.Page{}, fmt.Errorf("storage: tier %s: list: %w", t.o.Name, said.err)
	}
	return said.page, nil
}
