package fs_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	l2fs "github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// open opens a store and fails the test if that fails.
func open(tb testing.TB, o l2fs.Options) *l2fs.Store {
	tb.Helper()
	s, err := l2fs.Open(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// key is one of many keys of a model.
func key(model string, i int) kv.Key {
	var h [kv.MaxHashLen]byte
	binary.BigEndian.PutUint64(h[:], uint64(i))
	return kv.Key{Hash: kv.Hash32(h), Model: model, Rank: 0x01000100}
}

// payload is what a key stands for: bytes that only this key and size have.
func payload(k kv.Key, size int) []byte {
	b := make([]byte, size, (size+4095)/4096*4096)
	seed := [32]byte{byte(size), byte(size >> 8), byte(size >> 16)}
	copy(seed[4:], k.String())
	if _, err := rand.NewChaCha8(seed).Read(b); err != nil {
		panic(err)
	}
	return b
}

// item is the object of a key, to be stored.
func item(f l2.Format, k kv.Key, size int) l2.Item {
	data := payload(k, size)
	it := l2.Item{Key: k, Data: data}
	if n := f.HeadLen(k, ""); n > 0 {
		it.Head = make([]byte, n)
		h := l2.Header{Key: k, Checksum: f.Checksum, Sum: f.Checksum.Sum(data), Payload: int64(size), Created: time.Unix(1700000000, 0)}
		if err := h.Put(it.Head); err != nil {
			panic(err)
		}
	}
	return it
}

// store stores one object and returns what came of it.
func store(t testing.TB, s *l2fs.Store, k kv.Key, size int) (int64, error) {
	t.Helper()
	items := []l2.Item{item(s.Format(), k, size)}
	if err := s.Store(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	return items[0].N, items[0].Err
}

func mustStore(t testing.TB, s *l2fs.Store, k kv.Key, size int) {
	t.Helper()
	if n, err := store(t, s, k, size); err != nil || n != int64(size) {
		t.Fatalf("store of %v: %d bytes, %v", k, n, err)
	}
}

// load loads one object and returns its error. What it loads must be the object.
func load(t testing.TB, s *l2fs.Store, k kv.Key, size int) error {
	t.Helper()
	data := make([]byte, size, (size+4095)/4096*4096)
	it := []l2.Item{{Key: k, Head: make([]byte, s.Format().HeadLen(k, "")), Data: data}}
	if err := s.Load(t.Context(), it); err != nil {
		t.Fatal(err)
	}
	if it[0].Err != nil {
		return it[0].Err
	}
	if len(it[0].Head) > 0 {
		h, err := l2.ParseHeader(it[0].Head)
		if err != nil {
			return err
		}
		if err := h.Verify(l2.Want{Key: k, Size: int64(size)}, data[:it[0].N]); err != nil {
			return err
		}
	}
	if want := payload(k, size); it[0].N != int64(size) || !bytes.Equal(data, want) {
		t.Errorf("load of %v: %d bytes, or others than were stored", k, it[0].N)
	}
	return nil
}

func lookup(t testing.TB, s *l2fs.Store, k kv.Key) bool {
	t.Helper()
	found := []l2.Found{{}}
	if err := s.Lookup(t.Context(), []kv.Key{k}, found); err != nil {
		t.Fatal(err)
	}
	return found[0].OK
}

func scan(t testing.TB, s *l2fs.Store) map[kv.Key]l2.Entry {
	t.Helper()
	all := map[kv.Key]l2.Entry{}
	for e, err := range s.Scan(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := all[e.Key]; twice {
			t.Errorf("scan: %v is there twice", e.Key)
		}
		all[e.Key] = e
	}
	return all
}

func isReason(t testing.TB, err error, want l2.Reason) {
	t.Helper()
	if got := l2.ReasonOf(err); got != want {
		t.Errorf("%v is %q, want %q", err, got, want)
	}
}

// tree lists the files below dir, by their paths in it, with their sizes.
func tree(t testing.TB, dir string) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		all[rel] = info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// noTemps fails the test if a temporary file is left.
func noTemps(t testing.TB, dir string) {
	t.Helper()
	for path := range tree(t, dir) {
		if strings.HasSuffix(path, ".tmp") {
			t.Errorf("%s is left", path)
		}
	}
}
