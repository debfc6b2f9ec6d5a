package tier

import (
	"context"

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
	var n int64
	if n, it.Err = x.t.serde.bound(o.Layout); it.Err != nil {
		return nil
	}
	if err := x.t.scratch.take(ctx, x); err != nil {
		return err
	}
	defer x.t.scratch.give(x) // after a panic too
	var buf []byte
	if buf, it.Err = x.t.scratch.sized(x, n); it.Err != nil {
		return nil
	}
	return move(ctx, o, it, buf)
}

func (x *transfer) storeConverted(ctx context.Context, o *Object, it *l2.Item, buf []byte) error {
	t := x.t
	var n int
	if n, it.Err = t.serde.serialize(buf, o); it.Err != nil {
		return nil //nolint:nilerr // the object has failed, not the call
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
	it.Head = t.heads.take(t.format.HeadLen(o.Key, t.serde.name))
	if err := t.adapter.Load(ctx, alone(it, x.items)); err != nil {
		return err
	}
	if it.Err == nil {
		it.Err = x.verify(o, it, buf)
	}
	if it.Err == nil {
		it.Err = t.serde.deserialize(buf[:it.N], o)
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
