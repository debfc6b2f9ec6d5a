package l2test

import (
	"fmt"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// storeLoad stores and loads objects of sizes around the steps of memory and files.
func storeLoad(s *suite) {
	sizes := []int{1, 2, 63, 64, 65, 511, 512, 4095, 4096, 4097, 3*4096 + 17, 64 << 10, 64<<10 + 1, 1<<20 - 1, s.o.large}
	var all []object
	for i, size := range sizes {
		o := s.object(key(fmt.Sprintf("size-%d", size), i), size, 0)
		s.store(o)
		s.expect(o)
		all = append(all, o)
	}
	s.expect(all...)

	// Memory that ends with the object, and so begins anywhere.
	b := &batch{}
	for _, o := range all {
		b.room(s, o.key, len(o.head), len(o.payload), len(o.payload))
	}
	if err := s.a.Load(s.t.Context(), b.items); err != nil {
		s.t.Fatal(err)
	}
	for i, it := range b.items {
		if it.Err != nil {
			s.t.Errorf("%d bytes without padding: %v", sizes[i], it.Err)
		} else if err := same(it, all[i]); err != nil {
			s.t.Errorf("%d bytes without padding: %v", sizes[i], err)
		}
	}
	b.giveBack(s.t)

	// The header of format v1 comes back and verifies.
	for _, o := range all {
		if len(o.head) == 0 {
			continue
		}
		h, err := l2.ParseHeader(o.head)
		if err != nil {
			s.t.Fatal(err)
		}
		want := l2.Want{Key: o.key, Fingerprint: fingerprint(s.t, len(o.payload)), Size: int64(len(o.payload))}
		if err := h.Verify(want, o.payload); err != nil {
			s.t.Error(err)
		}
	}
}

// emptyBatches does nothing, successfully.
func emptyBatches(s *suite) {
	ctx := s.t.Context()
	for name, err := range map[string]error{
		"Store":  s.a.Store(ctx, nil),
		"Load":   s.a.Load(ctx, []l2.Item{}),
		"Lookup": s.a.Lookup(ctx, nil, nil),
		"Delete": s.a.Delete(ctx, []kv.Key{}, []int64{}),
	} {
		if err != nil {
			s.t.Errorf("%s of nothing: %v", name, err)
		}
	}
}

// largeBatch moves many objects in one call.
func largeBatch(s *suite) {
	all := s.objects(200, 3000)
	s.store(all...)
	s.expect(all...)
}

func lookup(s *suite) {
	all := s.objects(20, 5000)
	for i := 0; i < len(all); i += 2 {
		s.store(all[i])
	}
	found := make([]l2.Found, len(all))
	for i := range found {
		found[i] = l2.Found{OK: i%2 == 1, Size: 12345, Err: l2.ErrIO} // of an earlier call
	}
	if err := s.a.Lookup(s.t.Context(), keysOf(all), found); err != nil {
		s.t.Fatal(err)
	}
	for i, f := range found {
		switch {
		case f.OK != (i%2 == 0) || f.Err != nil:
			s.t.Errorf("key %d: found %v, %v", i, f.OK, f.Err)
		case f.OK && f.Size != 0 && f.Size != s.stored(all[i]):
			s.t.Errorf("key %d: size %d, want %d, or 0 for unknown", i, f.Size, s.stored(all[i]))
		}
	}
}

func deletes(s *suite) {
	all := s.objects(10, 5000)
	s.store(all[:8]...)
	gone := append(keysOf(all[:4]), all[9].key)
	freed := []int64{7, 7, 7, 7, 7}
	if err := s.a.Delete(s.t.Context(), gone, freed); err != nil {
		s.t.Fatal(err)
	}
	for i, n := range freed {
		want := int64(0)
		if i < 4 {
			want = s.stored(all[i])
		}
		if n != 0 && n != want {
			s.t.Errorf("Delete of key %d: freed %d, want %d, or 0 for unknown", i, n, want)
		}
	}
	for _, o := range all[:4] {
		s.expectMissing(o)
	}
	s.expect(all[4:8]...)

	// Once more: nothing is there, which is a success; and it can be stored again.
	if err := s.a.Delete(s.t.Context(), gone, freed); err != nil {
		s.t.Fatal(err)
	}
	for i, n := range freed {
		if n != 0 {
			s.t.Errorf("Delete of key %d, which is gone: freed %d", i, n)
		}
	}
	s.store(all[:4]...)
	s.expect(all[:8]...)
}

func notFound(s *suite) {
	for _, o := range s.objects(3, 100) {
		s.expectMissing(o)
	}
}

// existingKey is a success that writes nothing and changes nothing.
func existingKey(s *suite) {
	first := s.object(key("m", 1), 5000, 1)
	s.store(first)
	second := s.object(first.key, 5000, 2)
	b := s.writing(second)
	if err := s.a.Store(s.t.Context(), b.items); err != nil {
		s.t.Fatal(err)
	}
	if it := b.items[0]; it.Err != nil || it.N != 0 {
		s.t.Errorf("Store of what is there: N %d, error %v; want success with 0", it.N, it.Err)
	}
	b.giveBack(s.t)
	s.expect(first)
}

// otherSize finds an object of another size under its key: what it says about the
// outcome must be true.
func otherSize(s *suite) {
	const step = 3 * physical // more than what files are padded to
	for i, sizes := range [][2]int{{step, 2 * step}, {2 * step, step}} {
		first := s.object(key("m", i), sizes[0], 1)
		second := s.object(first.key, sizes[1], 2)
		s.store(first)
		b := s.writing(second)
		if err := s.a.Store(s.t.Context(), b.items); err != nil {
			s.t.Fatal(err)
		}
		switch it := b.items[0]; {
		case it.Err != nil:
			if !typed(it.Err) {
				s.t.Errorf("error %v has no type", it.Err)
			}
		case it.N != int64(sizes[1]):
			s.t.Errorf("Store of %d bytes where %d are: success with N %d, but that object is not there", sizes[1], sizes[0], it.N)
		default:
			s.expect(second)
		}
		b.giveBack(s.t)
	}
}

func twiceInOneBatch(s *suite) {
	o := s.object(key("m", 1), 5000, 0)
	other := s.object(key("m", 2), 5000, 0)
	b := s.writing(o, other, o)
	if err := s.a.Store(s.t.Context(), b.items); err != nil {
		s.t.Fatal(err)
	}
	for i, it := range b.items {
		if it.Err != nil {
			s.t.Errorf("item %d: %v", i, it.Err)
		}
	}
	b.giveBack(s.t)
	s.expect(o, other, o)
}
