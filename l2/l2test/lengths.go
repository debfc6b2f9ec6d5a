package l2test

import (
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// tooLong loads objects into less memory than they have: corrupt, and nothing is
// written beyond the capacity (the guards would see it).
func tooLong(s *suite) {
	for i, c := range []struct{ stored, length, capacity int }{
		{3 * physical, physical, physical},
		{64 << 10, 1, 1},
		{64 << 10, 5000, 2 * physical},
		{s.o.large, s.o.large - 2*physical, s.o.large - 2*physical},
	} {
		o := s.object(key("m", i), c.stored, 0)
		s.store(o)
		b := &batch{}
		b.room(s, o.key, len(o.head), c.length, c.capacity)
		if err := s.a.Load(s.t.Context(), b.items); err != nil {
			s.t.Fatal(err)
		}
		s.isError(b.items[0].Err, l2.ErrCorrupt)
		b.giveBack(s.t)
		s.expect(o)
	}
	if s.f.Raw || s.f.PadAlign > 1 {
		return // a few bytes more are padding
	}
	o := s.object(key("m", 100), 5001, 0)
	s.store(o)
	b := &batch{}
	b.room(s, o.key, len(o.head), 5000, 2*physical)
	if err := s.a.Load(s.t.Context(), b.items); err != nil {
		s.t.Fatal(err)
	}
	s.isError(b.items[0].Err, l2.ErrCorrupt)
	b.giveBack(s.t)
}

// shorter loads objects into more memory than they have: N says how much there is,
// or they are corrupt; never whole.
func shorter(s *suite) {
	for i, c := range []struct{ stored, length int }{
		{1, 3 * physical},
		{physical, 3 * physical},
		{5000, 64 << 10},
		{64 << 10, s.o.large},
	} {
		o := s.object(key("m", i), c.stored, 0)
		s.store(o)
		b := &batch{}
		b.room(s, o.key, len(o.head), c.length, roundUp(c.length, physical))
		if err := s.a.Load(s.t.Context(), b.items); err != nil {
			s.t.Fatal(err)
		}
		it := b.items[0]
		most := s.stored(o) - int64(len(o.head)) // with padding
		switch {
		case it.Err != nil:
			s.isError(it.Err, l2.ErrCorrupt)
		case it.N < int64(c.stored) || it.N > most:
			s.t.Errorf("an object of %d bytes in a buffer of %d: N %d", c.stored, c.length, it.N)
		default:
			it.N = int64(c.stored)
			if err := same(it, o); err != nil {
				s.t.Errorf("an object of %d bytes in a buffer of %d: %v", c.stored, c.length, err)
			}
		}
		b.giveBack(s.t)
	}
}

// oneFailingKey has keys in a batch that fail in different ways; the others do not.
func oneFailingKey(s *suite) {
	all := s.objects(5, 3*physical)
	s.store(all[0], all[2], all[3], all[4])
	b := &batch{}
	for i, o := range all {
		room := len(o.payload)
		if i == 3 {
			room = physical // too little
		}
		b.room(s, o.key, len(o.head), room, room)
	}
	if err := s.a.Load(s.t.Context(), b.items); err != nil {
		s.t.Fatalf("one failing key failed the call: %v", err)
	}
	for i, want := range []error{nil, l2.ErrNotFound, nil, l2.ErrCorrupt, nil} {
		switch it := b.items[i]; {
		case want != nil:
			s.isError(it.Err, want)
		case it.Err != nil:
			s.t.Errorf("item %d: %v", i, it.Err)
		default:
			if err := same(it, all[i]); err != nil {
				s.t.Errorf("item %d: %v", i, err)
			}
		}
	}
	b.giveBack(s.t)

	// Of a store, the keys that are there are skipped and the others written.
	w := s.writing(all...)
	if err := s.a.Store(s.t.Context(), w.items); err != nil {
		s.t.Fatal(err)
	}
	for i, it := range w.items {
		want := int64(0)
		if i == 1 {
			want = int64(len(all[i].payload))
		}
		if it.Err != nil || it.N != want {
			s.t.Errorf("item %d: N %d, error %v; want %d", i, it.N, it.Err, want)
		}
	}
	w.giveBack(s.t)

	freed := make([]int64, 2)
	if err := s.a.Delete(s.t.Context(), []kv.Key{key("never", 1), all[0].key}, freed); err != nil {
		s.t.Fatal(err)
	}
	s.expectMissing(all[0])
	s.expect(all[1:]...)
}

// buffersAreNotKept looks at memory long after the call that borrowed it.
func buffersAreNotKept(s *suite) {
	all := s.objects(16, 70000)
	w := s.writing(all...)
	if err := s.a.Store(s.t.Context(), w.items); err != nil {
		s.t.Fatal(err)
	}
	w.giveBack(s.t)
	s.expect(all...) // what was stored is not the poison

	r := s.reading(all...)
	if err := s.a.Load(s.t.Context(), r.items); err != nil {
		s.t.Fatal(err)
	}
	r.giveBack(s.t)
	s.expect(all...)
	if err := s.a.Close(); err != nil {
		s.t.Fatal(err)
	}
	w.untouched(s.t)
	r.untouched(s.t)
}
