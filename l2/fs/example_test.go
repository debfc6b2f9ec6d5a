package fs_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// A host that brings its own adapter opens it and hands it to the storage manager,
// which makes headers and checksums. Here an object is stored and found by hand.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "kv")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	ctx := context.Background()
	s, err := fs.Open(ctx, fs.Options{BasePath: dir, DirectIO: true, MaxBytes: 10 << 30})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	key, err := kv.ParseKey("meta/llama@01000100@0@00ff10")
	if err != nil {
		log.Fatal(err)
	}
	data := []byte("attention state")
	items := []l2.Item{{Key: key, Head: make([]byte, s.Format().HeadLen(key, "")), Data: data}}
	h := l2.Header{Key: key, Checksum: s.Format().Checksum, Sum: s.Format().Checksum.Sum(data), Payload: int64(len(data))}
	if err := h.Put(items[0].Head); err != nil {
		log.Fatal(err)
	}
	if err := s.Store(ctx, items); err != nil {
		log.Fatal(err)
	}
	found := make([]l2.Found, 1)
	if err := s.Lookup(ctx, []kv.Key{key}, found); err != nil {
		log.Fatal(err)
	}
	fmt.Println(items[0].N, items[0].Err, found[0].OK, found[0].Size)
	// Output: 15 <nil> true 8192
}
