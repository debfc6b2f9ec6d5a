package resp

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/redis/rueidis"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Load implements [l2.Adapter].
func (a *Adapter) Load(ctx context.Context, items []l2.Item) error {
	return a.do(ctx, len(items), func(ctx context.Context, c *link) error {
		keys := make([]kv.Key, len(items))
		for i := range items {
			keys[i], items[i].N, items[i].Err = items[i].Key, 0, nil
		}
		values, err := a.sizes(ctx, c, c, keys)
		if err != nil {
			return err
		}
		var wanted []*l2.Item
		for i := range items {
			it := &items[i]
			if it.Err = values[i].err; it.Err == nil {
				it.Err = fits(it, values[i].size)
			}
			if it.Err == nil {
				wanted = append(wanted, it)
			}
		}
		return a.get(ctx, c, wanted)
	})
}

// fits says what is wrong with an item whose value has n bytes.
func fits(it *l2.Item, n int64) error {
	room := int64(len(it.Head) + len(it.Data))
	switch {
	case n == 0:
		return l2.ErrNotFound
	case n > room:
		return fmt.Errorf("resp: %w: %d bytes, there is room for %d", l2.ErrCorrupt, n, room)
	case n < int64(len(it.Head)):
		return fmt.Errorf("resp: %w: %d bytes, the header alone has %d", l2.ErrCorrupt, n, len(it.Head))
	}
	return nil
}

// get reads values, those of a single server in one pipeline.
func (a *Adapter) get(ctx context.Context, c *link, items []*l2.Item) error {
	step := len(items)
	if a.o.Cluster {
		step = 1 // a pipeline has one server
	}
	answered := len(items) == 0
	var lost error
	for len(items) > 0 {
		part := items[:step]
		items = items[step:]
		cmds := make(rueidis.Commands, len(part))
		for i, it := range part {
			cmds[i] = c.B().Get().Key(a.name(it.Key)).Build()
		}
		s := c.DoMultiStream(ctx, cmds...)
		for _, it := range part {
			if err := a.read(ctx, c, &s, it); err != nil {
				it.Err, lost = outside(ctx, err), err
				continue
			}
			answered = true
		}
	}
	if answered {
		return nil
	}
	return lost
}

// read takes the next value of s. It returns what kept an answer from coming.
func (a *Adapter) read(ctx context.Context, c *link, s *rueidis.MultiRedisResultStream, it *l2.Item) error {
	to := &destination{head: it.Head, data: it.Data}
	if err := s.Error(); err != nil {
		return err // of the connection, or of a value before
	}
	_, err := s.WriteTo(to)
	switch {
	case err == nil && to.n < int64(len(it.Head)):
		it.Err = fmt.Errorf("resp: %w: %d bytes, the header alone has %d", l2.ErrCorrupt, to.n, len(it.Head))
	case err == nil:
		it.N = to.n - int64(len(it.Head))
	case errors.Is(err, errFull):
		it.Err = fmt.Errorf("resp: %w: longer than %d bytes", l2.ErrCorrupt, to.n)
	case rueidis.IsRedisNil(err):
		it.Err = l2.ErrNotFound
	case moved(err):
		return a.follow(ctx, c, it)
	case said(err):
		it.Err = a.failure(ctx, c, err)
	default:
		return err
	}
	return nil
}

// moved reports whether a node of a cluster names another one.
func moved(err error) bool {
	re, ok := rueidis.IsRedisErr(err)
	if !ok {
		return false
	}
	_, m := re.IsMoved()
	_, k := re.IsAsk()
	return m || k
}

// follow reads one value by a command that follows a cluster while it moves slots. It
// copies, which streams do not.
func (a *Adapter) follow(ctx context.Context, c *link, it *l2.Item) error {
	v, err := c.Do(ctx, c.B().Get().Key(a.name(it.Key)).Build()).ToString()
	switch {
	case err == nil:
		if it.Err = fits(it, int64(len(v))); it.Err == nil {
			n := copy(it.Head, v)
			it.N = int64(copy(it.Data, v[n:]))
		}
	case rueidis.IsRedisNil(err):
		it.Err = l2.ErrNotFound
	case said(err):
		it.Err = a.failure(ctx, c, err)
	default:
		return err
	}
	return nil
}

var errFull = errors.New("no room for more")

// destination is where a value goes: header, then payload, nothing beyond.
type destination struct {
	head, data []byte
	n          int64
}

// rest is what has not been filled.
func (d *destination) rest() []byte {
	if d.n < int64(len(d.head)) {
		return d.head[d.n:]
	}
	return d.data[d.n-int64(len(d.head)):]
}

// Write copies b.
func (d *destination) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		to := d.rest()
		if len(to) == 0 {
			return n, errFull
		}
		k := copy(to, b)
		d.n, n, b = d.n+int64(k), n+k, b[k:]
	}
	return n, nil
}

// ReadFrom fills the memory without a buffer in between.
func (d *destination) ReadFrom(r io.Reader) (n int64, err error) {
	for {
		to := d.rest()
		if len(to) == 0 {
			var one [1]byte
			switch _, err := io.ReadFull(r, one[:]); {
			case errors.Is(err, io.EOF):
				return n, nil
			case err != nil:
				return n, err
			}
			return n + 1, errFull
		}
		k, err := r.Read(to)
		d.n, n = d.n+int64(k), n+int64(k)
		switch {
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return n, err
		}
	}
}
