package l2test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// suite is what the parts work on.
type suite struct {
	t testing.TB
	a l2.Adapter
	f l2.Format
	o options
}

// newSuite closes the adapter with the test.
func newSuite(t testing.TB, a l2.Adapter, o options) *suite {
	t.Helper()
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return &suite{t: t, a: a, f: l2.FormatOf(a), o: o}
}

// object is what a key stands for.
type object struct {
	key     kv.Key
	head    []byte
	payload []byte
}

// key returns one of many keys of a model.
func key(model string, i int) kv.Key {
	var h [kv.MaxHashLen]byte
	rng := rand.New(rand.NewPCG(uint64(i), 7))
	for j := range h {
		h[j] = byte(rng.Uint32())
	}
	return kv.Key{Hash: kv.Hash32(h), Model: model, Rank: 0x01000100}
}

// object makes the object of a key: a payload that only this key, size and variant
// have, and its header unless the format is raw.
func (s *suite) object(k kv.Key, size, variant int) object {
	s.t.Helper()
	o := object{key: k, payload: make([]byte, size)}
	seed := [32]byte{byte(variant), byte(size), byte(size >> 8), byte(size >> 16)}
	copy(seed[4:], k.Hash.String())
	rng := rand.NewChaCha8(seed)
	if _, err := rng.Read(o.payload); err != nil {
		s.t.Fatal(err)
	}
	if n := s.f.HeadLen(k, ""); n > 0 {
		o.head = make([]byte, n)
		h := l2.Header{
			Key: k, Fingerprint: fingerprint(s.t, size), Checksum: s.f.Checksum, Sum: s.f.Checksum.Sum(o.payload),
			Payload: int64(size), Created: time.Unix(1700000000, 0),
		}
		if err := h.Put(o.head); err != nil {
			s.t.Fatal(err)
		}
	}
	return o
}

func fingerprint(tb testing.TB, size int) kv.Fingerprint {
	tb.Helper()
	layout, err := kv.RawLayout(int64(size))
	if err != nil {
		tb.Fatal(err)
	}
	return layout.Fingerprint()
}

// objects makes n objects of one size.
func (s *suite) objects(n, size int) []object {
	all := make([]object, n)
	for i := range all {
		all[i] = s.object(key("m", i), size, 0)
	}
	return all
}

func keysOf(all []object) []kv.Key {
	keys := make([]kv.Key, len(all))
	for i := range all {
		keys[i] = all[i].key
	}
	return keys
}

// batch is the items of a call and the buffers that they lend.
type batch struct {
	items []l2.Item
	heads []*buffer
	data  []*buffer
}

// writing lends the bytes of objects; their padding is zero.
func (s *suite) writing(all ...object) *batch {
	s.t.Helper()
	b := &batch{}
	for _, o := range all {
		head, data := newBuffer(s.t, len(o.head), len(o.head)), newBuffer(s.t, len(o.payload), roundUp(len(o.payload), physical))
		copy(head.data, o.head)
		copy(data.data, o.payload)
		b.add(o.key, head, data)
	}
	return b
}

// reading lends room for objects, filled with what nobody has stored.
func (s *suite) reading(all ...object) *batch {
	s.t.Helper()
	b := &batch{}
	for _, o := range all {
		b.room(s, o.key, len(o.head), len(o.payload), roundUp(len(o.payload), physical))
	}
	return b
}

// room adds an item of a load.
func (b *batch) room(s *suite, k kv.Key, headLen, length, capacity int) {
	s.t.Helper()
	head, data := newBuffer(s.t, headLen, headLen), newBuffer(s.t, length, capacity)
	fill(head.whole(), unread)
	fill(data.whole(), unread)
	b.add(k, head, data)
}

func (b *batch) add(k kv.Key, head, data *buffer) {
	b.items = append(b.items, l2.Item{Key: k, Head: head.data, Data: data.data})
	b.heads, b.data = append(b.heads, head), append(b.data, data)
}

// giveBack is what happens to lent memory after a call: it gets another use.
func (b *batch) giveBack(tb testing.TB) {
	tb.Helper()
	for i := range b.items {
		b.heads[i].check(tb)
		b.data[i].check(tb)
		fill(b.heads[i].whole(), poison)
		fill(b.data[i].whole(), poison)
	}
}

// untouched fails the test if memory was written after it was given back.
func (b *batch) untouched(tb testing.TB) {
	tb.Helper()
	for i := range b.items {
		b.heads[i].check(tb)
		b.data[i].check(tb)
		if !only(b.heads[i].whole(), poison) || !only(b.data[i].whole(), poison) {
			tb.Errorf("item %d: its buffers were written after the call had returned", i)
		}
	}
}

// store writes objects that are not there yet.
func (s *suite) store(all ...object) {
	s.t.Helper()
	b := s.writing(all...)
	if err := s.a.Store(s.t.Context(), b.items); err != nil {
		s.t.Fatalf("Store: %v", err)
	}
	for i, o := range all {
		if it := b.items[i]; it.Err != nil || it.N != int64(len(o.payload)) {
			s.t.Fatalf("Store of %v: N %d, error %v; want %d bytes", it.Key, it.N, it.Err, len(o.payload))
		}
	}
	b.giveBack(s.t)
}

// expect loads objects and compares every byte.
func (s *suite) expect(all ...object) {
	s.t.Helper()
	b := s.reading(all...)
	if err := s.a.Load(s.t.Context(), b.items); err != nil {
		s.t.Fatalf("Load: %v", err)
	}
	for i, o := range all {
		it := b.items[i]
		if it.Err != nil {
			s.t.Errorf("Load of %v: %v", it.Key, it.Err)
			continue
		}
		if err := same(it, o); err != nil {
			s.t.Errorf("Load of %v: %v", it.Key, err)
		}
	}
	b.giveBack(s.t)
}

// same compares what was loaded with the object.
func same(it l2.Item, o object) error {
	switch {
	case it.N != int64(len(o.payload)):
		return fmt.Errorf("%d bytes, want %d", it.N, len(o.payload))
	case !bytes.Equal(it.Head, o.head):
		return errors.New("another head")
	case !bytes.Equal(it.Data[:it.N], o.payload):
		return errors.New("another payload")
	}
	return nil
}

// expectMissing looks a key up and loads it, and finds nothing.
func (s *suite) expectMissing(o object) {
	s.t.Helper()
	found := []l2.Found{{OK: true, Size: 99}}
	if err := s.a.Lookup(s.t.Context(), []kv.Key{o.key}, found); err != nil {
		s.t.Fatalf("Lookup: %v", err)
	}
	if found[0].OK {
		s.t.Errorf("Lookup of %v: it is there", o.key)
	}
	b := s.reading(o)
	if err := s.a.Load(s.t.Context(), b.items); err != nil {
		s.t.Fatalf("Load: %v", err)
	}
	s.isError(b.items[0].Err, l2.ErrNotFound)
	if b.items[0].N != 0 {
		s.t.Errorf("Load of what is not there: N %d", b.items[0].N)
	}
}

// isError checks the cause of an error.
func (s *suite) isError(err, want error) {
	s.t.Helper()
	if !errors.Is(err, want) {
		s.t.Errorf("error %v, want one that wraps %q", err, want)
	}
}

// typed tells whether an error says what is wrong in the words of package l2.
func typed(err error) bool {
	for _, cause := range []error{
		l2.ErrNotFound, l2.ErrIO, l2.ErrCorrupt, l2.ErrTimeout, l2.ErrThrottled, l2.ErrTooLarge, l2.ErrNoSpace, l2.ErrLayout,
		l2.ErrClosed, l2.ErrConnection, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// stored is what an object takes in the store.
func (s *suite) stored(o object) int64 { return s.f.StoredSize(len(o.head), int64(len(o.payload))) }

// soon runs f and fails the test if it does not return.
func (s *suite) soon(what string, f func()) {
	s.t.Helper()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { defer close(done); f() })
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
		wg.Wait()
	case <-timer.C:
		s.t.Fatalf("%s has not returned after %v", what, patience)
	}
}
