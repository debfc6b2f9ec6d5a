package storage_test

import (
	"context"
	"fmt"
	"log"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// A prompt of three chunks, the first two of which are in the cache.
func Example() {
	ctx := context.Background()
	m, err := storage.Open(ctx, storage.Options{L1: l1.Options{Bytes: 1 << 20}})
	if err != nil {
		log.Fatal(err)
	}
	layout, err := kv.RawLayout(5)
	if err != nil {
		log.Fatal(err)
	}
	prompt := make([]kv.Key, 3)
	for i := range prompt {
		prompt[i] = kv.Key{Hash: kv.Hash32([32]byte{byte(i + 1)}), Model: "llama"}
	}

	w, err := m.ReserveWrite(ctx, prompt[:2], layout, storage.New, storage.WriteOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer w.Abort() // does nothing after Finish
	for i, b := range w.All() {
		copy(b, []string{"hello", "world"}[i])
	}
	w.Finish()

	p, err := m.SubmitPrefetch(ctx, prompt, layout, storage.PrefetchOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Release()
	found, err := p.Wait(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("found", found.Prefix, "then", found.Miss[found.Prefix])
	r, err := p.Read(ctx, storage.Select{Hi: found.Prefix})
	if err != nil {
		log.Fatal(err)
	}
	for i, b := range r.All() {
		fmt.Printf("%d %s\n", i, b)
	}
	r.Finish()
	if err := m.Close(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// found 2 then absent
	// 0 hello
	// 1 world
}
