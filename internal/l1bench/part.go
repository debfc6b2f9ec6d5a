package l1bench

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// op is one call of a part: it returns how many bytes or events it has handled.
type op func() (int64, error)

// part is one thing that is measured.
type part struct {
	name  string
	unit  string
	mix   Mix
	ours  func(*world, int) op // of one thread
	plain func(*world, int) op
}

var parts = []part{
	{"publish", "ns", Store, publish, plainPublish},
	{"reserve_finish", "us", Store, reserveFinish, plainReplace},
	{"lookup", "us", Read, lookup, plainFind},
	{"store", "GB/s", Store, store, plainStore},
	{"retrieve", "GB/s", Read, retrieve, plainRetrieve},
}

// world is what one part is measured with.
type world struct {
	o      *Options
	ctx    context.Context //nolint:containedctx // of the run
	m      *storage.Manager
	bus    *eventbus.Bus
	own    *eventbus.Bus // bus, if the world made it
	layout kv.Layout
	stock  [][]kv.Key // batches that are resident
	plain  *plainMap
	queue  *plainQueue
	mem    []byte // as large as L1, for plain copies
}

// batch is the keys of a batch by number.
func batch(dst []kv.Key, number uint64, n int) []kv.Key {
	dst = dst[:0]
	for i := range n {
		var b [32]byte
		binary.BigEndian.PutUint64(b[:], (number*65537+uint64(i)+1)*0x9e3779b97f4a7c15)
		binary.BigEndian.PutUint64(b[8:], number)
		binary.BigEndian.PutUint64(b[16:], uint64(i))
		dst = append(dst, kv.Key{Hash: kv.Hash32(b), Model: "bench", Rank: 0x01000100})
	}
	return dst
}

// turn yields the batches of one thread for ever: Keys distinct keys in turn, and
// different ones for each thread.
type turn struct {
	o      *Options
	thread uint64
	n      uint64
	keys   []kv.Key
}

func (t *turn) next() []kv.Key {
	t.n = (t.n + 1) % max(1, uint64(t.o.Keys/t.o.Batch/t.o.Threads))
	t.keys = batch(t.keys, t.thread<<40|t.n, t.o.Batch)
	return t.keys
}

func newTurn(w *world, thread int) *turn { return &turn{o: w.o, thread: uint64(thread) + 1} }

// published is how many events one call of the part publishes.
const published = 1000

func publish(w *world, _ int) op {
	topic := eventbus.TopicOf[l1.ReadReserved](w.bus)
	keys := batch(nil, 1, w.o.Batch)
	return func() (int64, error) {
		for range published {
			topic.Publish(l1.ReadReserved{Keys: keys})
		}
		return published, nil
	}
}

func plainPublish(w *world, _ int) op {
	keys := batch(nil, 1, w.o.Batch)
	return func() (int64, error) {
		for range published {
			w.queue.push(keys)
		}
		return published, nil
	}
}

func reserveFinish(w *world, thread int) op {
	t := newTurn(w, thread)
	return func() (int64, error) {
		l, err := w.m.ReserveWrite(w.ctx, t.next(), w.layout, storage.All, storage.WriteOptions{})
		if err != nil {
			return 0, err
		}
		l.Finish()
		return 1, nil
	}
}

func plainReplace(w *world, thread int) op {
	t := newTurn(w, thread)
	return func() (int64, error) {
		w.plain.replace(t.next())
		return 1, nil
	}
}

func lookup(w *world, thread int) op {
	i := thread
	return func() (int64, error) {
		i++
		p, err := w.m.SubmitPrefetch(w.ctx, w.stock[i%len(w.stock)], w.layout, storage.PrefetchOptions{})
		if err != nil {
			return 0, err
		}
		defer p.Release()
		if n, _ := p.LookupHits(); n != w.o.Batch {
			return 0, fmt.Errorf("l1bench: %d of %d resident keys found", n, w.o.Batch)
		}
		return 1, nil
	}
}

func plainFind(w *world, thread int) op {
	i := thread
	return func() (int64, error) {
		i++
		if n := w.plain.find(w.stock[i%len(w.stock)]); n != w.o.Batch {
			return 0, fmt.Errorf("l1bench: %d of %d keys of a map found", n, w.o.Batch)
		}
		return 1, nil
	}
}

// source is bytes to be stored.
func source(w *world) []byte {
	src := make([]byte, w.o.ObjectBytes)
	for i := range src {
		src[i] = byte(i)
	}
	return src
}

func store(w *world, thread int) op {
	t, src := newTurn(w, thread), source(w)
	return func() (int64, error) {
		l, err := w.m.ReserveWrite(w.ctx, t.next(), w.layout, storage.All, storage.WriteOptions{})
		if err != nil {
			return 0, err
		}
		n := int64(0)
		for _, b := range l.All() {
			n += int64(copy(b, src))
		}
		l.Finish()
		return n, nil
	}
}

// share is one thread's part of the memory for plain copies.
func (w *world) share(thread int) *pieces {
	n := len(w.mem) / w.o.Threads
	return &pieces{mem: w.mem[thread*n : (thread+1)*n], size: int(w.o.ObjectBytes)}
}

func plainStore(w *world, thread int) op {
	p, src := w.share(thread), source(w)
	return func() (int64, error) {
		n := int64(0)
		for range w.o.Batch {
			n += int64(copy(p.take(), src))
		}
		return n, nil
	}
}

func retrieve(w *world, thread int) op {
	i, dst := thread, source(w)
	return func() (int64, error) {
		i++
		p, err := w.m.SubmitPrefetch(w.ctx, w.stock[i%len(w.stock)], w.layout, storage.PrefetchOptions{})
		if err != nil {
			return 0, err
		}
		defer p.Release()
		l, err := p.Read(w.ctx, storage.Select{Hi: w.o.Batch})
		if err != nil {
			return 0, err
		}
		n := int64(0)
		for _, b := range l.All() {
			n += int64(copy(dst, b))
		}
		l.Finish()
		return n, nil
	}
}

func plainRetrieve(w *world, thread int) op {
	p, dst := w.share(thread), source(w)
	return func() (int64, error) {
		n := int64(0)
		for range w.o.Batch {
			n += int64(copy(dst, p.take()))
		}
		return n, nil
	}
}
