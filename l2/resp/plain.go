package resp

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"

	"github.com/redis/rueidis"

	"github.com/lmcache-go/lmcache/l2"
)

// plain is a client that sends SET and GET in pipelines.
type plain struct {
	a    *Adapter
	name string // of the values, before their numbers
}

var _ l2.Plain = (*Adapter)(nil)

// Plain implements [l2.Plain]. The values have names of their own, which no adapter takes
// for objects.
func (a *Adapter) Plain() l2.PlainClient {
	return &plain{a, "lmcache-plain:" + rand.Text() + ":"}
}

func (p *plain) key(i int) string { return fmt.Sprint(p.name, i) }

// Write implements [l2.PlainClient].
func (p *plain) Write(ctx context.Context, first int, values [][]byte) error {
	return p.a.do(ctx, len(values), func(ctx context.Context, c *link) error {
		cmds := make(rueidis.Commands, len(values))
		for i, v := range values {
			cmds[i] = c.B().Set().Key(p.key(first + i)).Value(rueidis.BinaryString(v)).Build()
		}
		return firstError(c.DoMulti(ctx, cmds...))
	})
}

// Read implements [l2.PlainClient].
func (p *plain) Read(ctx context.Context, first int, values [][]byte) error {
	var short error // the server has answered, though
	err := p.a.do(ctx, len(values), func(ctx context.Context, c *link) error {
		cmds := make(rueidis.Commands, len(values))
		for i := range values {
			cmds[i] = c.B().Get().Key(p.key(first + i)).Build()
		}
		for i, r := range c.DoMulti(ctx, cmds...) {
			v, err := r.ToString()
			if err != nil {
				return err
			}
			if copy(values[i], v); len(v) != len(values[i]) {
				short = fmt.Errorf("resp: %w: %d bytes of %d", l2.ErrCorrupt, len(v), len(values[i]))
			}
		}
		return nil
	})
	return cmp.Or(err, short)
}

// Remove implements [l2.PlainClient].
func (p *plain) Remove(ctx context.Context, values int) error {
	return p.a.do(ctx, values, func(ctx context.Context, c *link) error {
		cmds := make(rueidis.Commands, values)
		for i := range cmds {
			cmds[i] = c.B().Unlink().Key(p.key(i)).Build()
		}
		return firstError(c.DoMulti(ctx, cmds...))
	})
}

func firstError(all []rueidis.RedisResult) error {
	for _, r := range all {
		if err := r.Error(); err != nil {
			return err
		}
	}
	return nil
}
