package tier

import (
	"context"
	"fmt"
	"slices"

	"github.com/lmcache-go/lmcache/l2"
)

// store writes the objects of a call: what is kept of each is made, checksum and
// all, before the adapter gets it.
func (x *transfer) store(ctx context.Context) error {
	t := x.t
	defer x.release()
	if t.serde != nil {
		return x.each(ctx, x.storeConverted)
	}
	for n, i := range x.list {
		o, it := &x.j.Objects[i], &x.items[n]
		it.Key, it.Data = o.Key, o.Data
		if o.Data == nil { // a model: the size is all there is
			it.N = o.Layout.Size()
			continue
		}
		if !t.format.Raw {
			x.head(o, it, o.Sum.of(t.format.Checksum, it.Data))
		}
	}
	return x.pass(func(items []l2.Item) error { return t.adapter.Store(ctx, items) })
}

// head makes the header of an item.
func (x *transfer) head(o *Object, it *l2.Item, sum uint64) {
	t := x.t
	h := l2.Header{
		Key: o.Key, Fingerprint: o.Layout.Fingerprint(), Checksum: t.format.Checksum, Sum: sum,
		Payload: int64(len(it.Data)), Created: t.rt.Now(), Serde: t.serdeName(),
	}
	it.Head = t.heads.take(t.format.HeadLen(o.Key, h.Serde))
	if err := h.Put(it.Head); err != nil {
		it.Err = fmt.Errorf("%w: %w", l2.ErrIO, err)
	}
}

// load reads the objects of a call and verifies them.
func (x *transfer) load(ctx context.Context) error {
	t := x.t
	defer x.release()
	if t.serde != nil {
		return x.each(ctx, x.loadConverted)
	}
	for n, i := range x.list {
		o, it := &x.j.Objects[i], &x.items[n]
		it.Key, it.Data = o.Key, o.Data
		if o.Data == nil {
			it.N = o.Layout.Size()
			continue
		}
		it.Head = t.heads.take(t.format.HeadLen(o.Key, ""))
	}
	err := x.pass(func(items []l2.Item) error { return t.adapter.Load(ctx, items) })
	if err != nil {
		return err
	}
	for n, i := range x.list {
		if o, it := &x.j.Objects[i], &x.items[n]; it.Err == nil && o.Data != nil {
			it.Err = x.verify(o, it, it.Data)
		}
	}
	return nil
}

// pass gives the adapter the items that have not failed yet. Each call of it gets
// at most one list, in one piece.
func (x *transfer) pass(f func([]l2.Item) error) error {
	failed := 0
	for n := range x.items {
		if x.items[n].Err != nil {
			failed++
		}
	}
	switch failed {
	case 0:
		return f(x.items)
	case len(x.items):
		return nil
	}
	some := make([]l2.Item, 0, len(x.items)-failed)
	for n := range x.items {
		if x.items[n].Err == nil {
			some = append(some, x.items[n])
		}
	}
	err := f(some)
	for n := range x.items {
		if x.items[n].Err == nil {
			x.items[n], some = some[0], some[1:]
		}
	}
	return err
}

// verify compares what was read with what was asked for. Nothing is data before it
// returns nil.
func (x *transfer) verify(o *Object, it *l2.Item, into []byte) error {
	t := x.t
	if it.N < 0 || it.N > int64(len(into)) {
		return fmt.Errorf("%w: the adapter read %d bytes into %d", l2.ErrCorrupt, it.N, len(into))
	}
	if t.format.Raw {
		if t.serde == nil && it.N != o.Layout.Size() {
			return fmt.Errorf("%w: %d bytes, must be %d", l2.ErrCorrupt, it.N, o.Layout.Size())
		}
		return nil
	}
	h, err := l2.ParseHeader(wholeHead(it.Head, into[:it.N]))
	if err != nil {
		return err
	}
	want := l2.Want{Key: o.Key, Fingerprint: o.Layout.Fingerprint(), Serde: t.serdeName(), Size: o.Layout.Size()}
	return h.Verify(want, into[:it.N])
}

// wholeHead is the header of an object of which head and data were read. Its length
// is that of head, except for an object that another serde has written: its name is
// part of the header. Such an object is not damaged.
func wholeHead(head, data []byte) []byte {
	n, err := l2.HeadLenOf(head)
	if err != nil || n > len(head)+len(data) {
		return head
	}
	if n <= len(head) {
		return head[:n]
	}
	return slices.Concat(head, data[:n-len(head)])
}

// release gives the memory of a call back.
func (x *transfer) release() {
	for n := range x.items {
		it := &x.items[n]
		x.t.heads.give(it.Head)
		it.Head, it.Data = nil, nil
	}
}
