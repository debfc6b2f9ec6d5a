package tier

import (
	"context"
	"fmt"

	"github.com/lmcache-go/lmcache/l2"
)

// aligned is n bytes that begin at a page, and end at one with their capacity.
func aligned(n int64) []byte {
	size := max((n+alignment-1)&^(alignment-1), slabBytes)
	return make([]byte, n, size)
}

// each moves the objects of a call one by one, so that a call needs one piece of
// scratch at a time.
func (x *transfer) each(ctx context.Context, move func(context.Context, *Object, *l2.Item, []byte) error) error {
	for n, i := range x.list {
		o, it := &x.j.Objects[i], &x.items[n]
		it.Key = o.Key
		if err := x.one(ctx, o, it, move); err != nil {
			return err
		}
	}
	return nil
}

func (x *transfer) one(ctx context.Context, o *Object, it *l2.Item, move func(context.Context, *Object, *l2.Item, []byte) error) error {
	s := x.t.scratch
	buf, err := s.take(ctx, x, x.t.serde.Bound(o.Layout))
	if err != nil {
		return err
	}
	defer s.give(x) // after a panic too
	return move(ctx, o, it, buf)
}

// guarded makes an error of a panic: that of a serde costs one object.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}

func (x *transfer) storeConverted(ctx context.Context, o *Object, it *l2.Item, buf []byte) error {
	t := x.t
	var n int
	failure := guarded(func() (err error) {
		n, err = t.serde.Serialize(buf, o.Data, o.Layout, o.Key)
		return err
	})
	if failure == nil && (n < 0 || n > len(buf)) {
		failure = fmt.Errorf("it wrote %d bytes into %d", n, len(buf))
	}
	if failure != nil {
		it.Err = fmt.Errorf("%w: %s: %w", l2.ErrSerde, t.serde.Name(), failure)
		return nil
	}
	it.Data = buf[:n]
	if pad := t.format.StoredSize(0, int64(n)); pad > int64(n) && pad <= int64(cap(buf)) {
		clear(buf[n:pad]) // the adapter may write it out
	}
	if !t.format.Raw {
		x.head(o, it, t.format.Checksum.Sum(it.Data))
	}
	if it.Err == nil {
		return t.adapter.Store(ctx, alone(it, x.items))
	}
	return nil
}

func (x *transfer) loadConverted(ctx context.Context, o *Object, it *l2.Item, buf []byte) error {
	t := x.t
	it.Data = buf
	it.Head = t.heads.take(t.format.HeadLen(o.Key, t.serde.Name()))
	if err := t.adapter.Load(ctx, alone(it, x.items)); err != nil {
		return err
	}
	if it.Err == nil {
		it.Err = x.verify(o, it, buf)
	}
	if it.Err == nil {
		failure := guarded(func() error { return t.serde.Deserialize(o.Data, buf[:it.N], o.Layout, o.Key) })
		if failure != nil {
			it.Err = fmt.Errorf("%w: %s: %w", l2.ErrSerde, t.serde.Name(), failure)
		}
	}
	return nil
}

// alone is the part of a list that has one of its items only.
func alone(it *l2.Item, items []l2.Item) []l2.Item {
	for n := range items {
		if &items[n] == it {
			return items[n : n+1 : n+1]
		}
	}
	return nil
}
