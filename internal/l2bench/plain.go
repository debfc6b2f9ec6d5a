package l2bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/l2"
)

// beside moves the same bytes as a round of the adapter, in turns with it.
type beside interface {
	round(ctx context.Context, write bool, items []l2.Item) (time.Duration, error)
	forget(ctx context.Context) // removes what it has written
	close() error
}

// client is a plain client of the adapter's store, which has as many calls under way as
// the tier has slots.
type client struct {
	b *bench
	c l2.PlainClient
}

// newClient writes all values once, as the rounds of stores will do.
func newClient(ctx context.Context, b *bench, c l2.PlainClient) (*client, error) {
	p := &client{b: b, c: c}
	if _, err := p.round(ctx, true, b.items); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// close removes the values. What cannot be removed is not worth an error beside the one
// that kept them from being written.
func (p *client) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), p.b.s.Timeouts.Delete) //nolint:forbidigo // after the context of the run, too
	defer cancel()
	_ = p.c.Remove(ctx, len(p.b.items))
	return nil
}

// forget implements beside: the values that come next are new, as those of the adapter
// are. What stays is written over.
func (p *client) forget(ctx context.Context) { _ = p.c.Remove(ctx, len(p.b.items)) }

// round writes or reads all items and returns how long it took.
func (p *client) round(ctx context.Context, write bool, items []l2.Item) (time.Duration, error) {
	type piece struct {
		first  int
		values [][]byte
	}
	var pieces []piece
	for at := 0; at < len(items); at += p.b.o.Keys {
		first := at
		for _, list := range p.b.pieces(items[at : at+p.b.o.Keys]) {
			x := piece{first: first}
			for i := range list {
				x.values = append(x.values, list[i].Data)
			}
			pieces = append(pieces, x)
			first += len(list)
		}
	}
	move, limit := p.c.Read, p.b.s.Timeouts.Load
	if write {
		move, limit = p.c.Write, p.b.s.Timeouts.Store
	}
	errs := make([]error, min(p.b.s.Workers, len(pieces)))
	var wg sync.WaitGroup
	begin := time.Now()
	for w := range errs {
		wg.Go(func() {
			for i := w; i < len(pieces) && errs[w] == nil; i += len(errs) {
				ctx, cancel := context.WithTimeout(ctx, limit)
				errs[w] = move(ctx, pieces[i].first, pieces[i].values)
				cancel()
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	for _, err := range errs {
		if err != nil {
			return 0, fmt.Errorf("l2bench: plain client: %w", err)
		}
	}
	return took, nil
}
