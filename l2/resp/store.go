package resp

import (
	"context"
	"fmt"

	"github.com/redis/rueidis"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Store implements [l2.Adapter]. Values are not sent for keys that are there; an
// object of another size is replaced.
func (a *Adapter) Store(ctx context.Context, items []l2.Item) error {
	return a.do(ctx, len(items), func(ctx context.Context, c *link) error {
		b := &storing{a: a, c: c, items: items}
		return b.run(ctx)
	})
}

// storing is one batch that is stored.
type storing struct {
	a     *Adapter
	c     *link
	items []l2.Item
	sent  []int // items whose values were sent
	cmds  rueidis.Commands
	held  [][]byte // what the commands point to
}

func (b *storing) run(ctx context.Context) error {
	keys := make([]kv.Key, len(b.items))
	for i := range b.items {
		keys[i], b.items[i].N, b.items[i].Err = b.items[i].Key, 0, nil
	}
	values, err := b.a.sizes(ctx, b.c, b.c, keys)
	if err != nil {
		return err
	}
	for i := range b.items {
		if err := b.add(i, values[i]); err != nil {
			b.items[i].Err = err
		}
	}
	if len(b.sent) == 0 {
		return nil
	}
	answered, clean, wrote := false, true, false
	var lost error
	for j, r := range b.c.DoMulti(ctx, b.cmds...) {
		it := &b.items[b.sent[j]]
		switch err := r.Error(); {
		case err == nil:
			it.N, answered, wrote = int64(len(it.Data)), true, true
		case rueidis.IsRedisNil(err):
			answered = true // another writer was faster
		case said(err):
			it.Err, answered = b.a.failure(ctx, b.c, err), true
		default:
			lost, clean = err, false
			it.Err = outside(ctx, err)
		}
	}
	if wrote {
		b.a.conn.accepted(b.c)
	}
	if clean {
		b.a.free.put(b.held) // otherwise they may still be on their way
	}
	if answered {
		return nil
	}
	return lost
}

// add puts the value of an item among the commands, unless it is there already.
func (b *storing) add(i int, there value) error {
	it := &b.items[i]
	size := len(it.Head) + len(it.Data)
	switch {
	case size > MaxValue:
		return fmt.Errorf("resp: %w: %d bytes, the limit is %d", l2.ErrTooLarge, size, MaxValue)
	case there.err != nil:
		return there.err
	case there.size == int64(size):
		return nil
	}
	v := b.a.free.get(size)
	copy(v[copy(v, it.Head):], it.Data)
	// As a blocking command it has a connection of its own.
	cmd := b.c.B().Arbitrary("SET").Keys(b.a.name(it.Key)).Args(rueidis.BinaryString(v))
	if there.size == 0 {
		cmd = cmd.Args("NX")
	}
	b.cmds = append(b.cmds, cmd.Blocking())
	b.sent, b.held = append(b.sent, i), append(b.held, v)
	return nil
}
