package l2test

import (
	"fmt"
	"strings"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// hostileModels are names that are valid and that a store may take for a path, a
// pattern, an escape, an option or the name of something else.
func hostileModels() []string {
	return []string{
		"", ".", "..", "-", "/", "//", "../../etc/passwd", "/absolute", "trailing/", "m", "M", "m/", "m/x", "m-x", "meta/llama", "meta-SEP-llama", "meta-SEP/llama", "meta/SEP-llama",
		"meta%2Fllama", "meta%252Fllama", "meta\\llama", " m", "m ", "m\tx", "m\nx", "模型/大", "\u00fc", "u\u0308", "\u202em", "*?[]{}!", "'\"`$(m)",
		"a:b;c,d", "#m?x=1&y=+", "v1", "%", "%00", "--m", ".hidden", "CON", "m.kv1", "m.data", "quarantine", "{m}", "~",
		strings.Repeat("L", kv.MaxModelBytes), strings.Repeat("l", kv.MaxModelBytes), strings.Repeat("\u00fc", kv.MaxModelBytes/2), strings.Repeat("/", kv.MaxModelBytes),
	}
}

func hostileSalts() []string {
	return []string{
		".", "..", "-", "t1", "T1", " ", "%2F", "%", "*", "模型", "a:b", "{t}", "0", "t1.kv1", strings.Repeat("s", 128), strings.Repeat("\u00fc", kv.MaxSaltBytes/2),
	}
}

// hostile lists keys with these names, and with every kind of number.
func hostile(s *suite) []kv.Key {
	var keys []kv.Key
	for i, model := range hostileModels() {
		k := key(model, i%3) // hashes repeat: only the names tell the keys apart
		keys = append(keys, k)
	}
	for i, salt := range hostileSalts() {
		k := key("meta/llama", i%3)
		k.Salt = salt
		keys = append(keys, k)
	}
	both := key(strings.Repeat("\u6a21", kv.MaxModelBytes/3), 1)
	both.Salt, both.Group, both.Rank = strings.Repeat("\u00e9", kv.MaxSaltBytes/2), 0xffff, 0xffffffff
	keys = append(keys, both)
	for n := 1; n <= kv.MaxHashLen; n++ {
		h, err := kv.HashOf(make([]byte, n)) // zeros, told apart by their number alone
		if err != nil {
			s.t.Fatal(err)
		}
		keys = append(keys, kv.Key{Hash: h, Model: "zeros", Rank: 0x01000100})
	}
	for _, k := range keys {
		if err := k.Validate(); err != nil {
			s.t.Fatal(err)
		}
	}
	return keys
}

// hostileKeys stores each under its own name and finds each again, and only it. The
// format raw may refuse a key, since its names are given, and so may stores with MayRefuse.
func hostileKeys(s *suite) {
	var kept []object
	for i, k := range hostile(s) {
		o := s.object(k, 100+i, 0)
		b := s.writing(o)
		if err := s.a.Store(s.t.Context(), b.items); err != nil {
			s.t.Fatalf("Store of %q: %v", k, err)
		}
		switch it := b.items[0]; {
		case it.Err == nil && it.N == int64(len(o.payload)):
			kept = append(kept, o)
		case it.Err == nil:
			s.t.Errorf("Store of %q: N %d, want %d: it is taken for another key", k, it.N, len(o.payload))
		case !s.f.Raw && !s.o.picky:
			s.t.Errorf("Store of %q: %v", k, it.Err)
		default:
			if !typed(it.Err) {
				s.t.Errorf("Store of %q: error %v has no type", k, it.Err)
			}
			s.refused(o)
		}
		b.giveBack(s.t)
	}
	for _, o := range kept {
		s.expect(o)
	}
	s.listed(kept)
	var gone, left []object
	for i, o := range kept {
		if i%2 == 0 {
			gone = append(gone, o)
		} else {
			left = append(left, o)
		}
	}
	freed := make([]int64, len(gone))
	if err := s.a.Delete(s.t.Context(), keysOf(gone), freed); err != nil {
		s.t.Fatal(err)
	}
	for i, n := range freed {
		if n < 0 {
			s.t.Errorf("Delete of %q failed", gone[i].key)
		}
	}
	for _, o := range gone {
		s.expectMissing(o)
	}
	s.expect(left...)
}

// refused looks for a key that the store does not take: it is not there, whatever
// it says about it.
func (s *suite) refused(o object) {
	s.t.Helper()
	found := make([]l2.Found, 1)
	if err := s.a.Lookup(s.t.Context(), []kv.Key{o.key}, found); err != nil {
		s.t.Fatal(err)
	}
	if found[0].OK {
		s.t.Errorf("%q was refused and is found", o.key)
	}
	b := s.reading(o)
	if err := s.a.Load(s.t.Context(), b.items); err != nil {
		s.t.Fatal(err)
	}
	if b.items[0].Err == nil {
		s.t.Errorf("%q was refused and can be loaded", o.key)
	}
	b.giveBack(s.t)
}

// nearKeys differ in one field each.
func nearKeys(s *suite) {
	base := key("model", 1)
	base.Salt, base.Group = "salt", 1
	change := []func(*kv.Key){ // the one that changes nothing first: a fault may meet the first of a batch alone
		func(*kv.Key) {},
		func(k *kv.Key) { k.Model = "modem" },
		func(k *kv.Key) { k.Model = "model2" },
		func(k *kv.Key) { k.Rank = 0x02000200 },
		func(k *kv.Key) { k.Rank++ },
		func(k *kv.Key) { k.Group = 0x10 },
		func(k *kv.Key) { k.Salt = "salv" },
		func(k *kv.Key) { k.Salt = "" },
		func(k *kv.Key) { k.Hash = key("model", 2).Hash },
	}
	var all []object
	for _, f := range change {
		k := base
		f(&k)
		o := s.object(k, 1000, len(all))
		s.expectMissing(o)
		s.store(o)
		all = append(all, o)
	}
	s.expect(all...)
}

// numbered makes objects of two models, one of which begins with the name of the other.
func (s *suite) numbered(n int) (all []object, ofModel map[string][]object) {
	s.t.Helper()
	ofModel = map[string][]object{}
	for i := range n {
		model := []string{"m", "m/x", "m-x"}[i%3]
		o := s.object(key(model, i), 100+i, 0)
		if i%4 == 0 {
			k := o.key
			k.Salt = fmt.Sprintf("t%d", i)
			o = s.object(k, 100+i, 0)
		}
		all = append(all, o)
		ofModel[model] = append(ofModel[model], o)
	}
	return all, ofModel
}
