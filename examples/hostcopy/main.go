package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

const (
	model = "tiny"
	chunk = 32 // tokens
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run computes a prompt, stores it, and reads it back for a longer prompt.
func run(ctx context.Context, out io.Writer) (err error) {
	engine, err := lmcache.Open(ctx, lmcache.Options{ChunkTokens: chunk, L1: l1.Options{Bytes: 1 << 20}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close(ctx)) }()
	worker, err := engine.AttachHost(lmcache.HostOptions{
		Model: model, Geometry: &lmcache.HostGeometry{Layers: 2, Hidden: 8, DType: kv.Float16},
	})
	if err != nil {
		return err
	}
	prompt := make([]int32, 100)
	for i := range prompt {
		prompt[i] = int32(i * i)
	}
	size := int(worker.ObjectBytes())
	mine := compute(prompt, size)
	if err := store(ctx, engine, worker, prompt, mine); err != nil {
		return err
	}
	got, err := retrieve(ctx, engine, worker, append(prompt, 1, 2, 3), size)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%d of %d tokens from the cache, equal: %v\n", len(got)/size*chunk, len(prompt)+3, bytes.Equal(got, mine))
	return err
}

// compute is the KV of the full chunks of a prompt, one object after the other.
func compute(prompt []int32, size int) []byte {
	memory := make([]byte, len(prompt)/chunk*size)
	for i := range memory {
		memory[i] = byte(prompt[i*chunk/size] + int32(i))
	}
	return memory
}

// store copies what the cache does not have yet.
func store(ctx context.Context, engine *lmcache.Engine, worker *lmcache.HostWorker, prompt []int32, memory []byte) (err error) {
	session := engine.Session(lmcache.Request{ID: "first", Model: model})
	defer func() { err = errors.Join(err, session.Close()) }()
	lease, err := worker.PrepareStore(ctx, session, prompt, 0, len(prompt)/chunk*chunk)
	if err != nil {
		return err
	}
	defer lease.Abort() // does nothing after Commit
	for i, buffer := range lease.All() {
		copy(buffer, memory[i*len(buffer):])
	}
	return lease.Commit()
}

// retrieve copies what the cache has of a prompt.
func retrieve(ctx context.Context, engine *lmcache.Engine, worker *lmcache.HostWorker, prompt []int32, size int) (memory []byte, err error) {
	session := engine.Session(lmcache.Request{ID: "second", Model: model})
	defer func() { err = errors.Join(err, session.Close()) }()
	match := session.Lookup(ctx, prompt)
	found, err := match.Chunks(ctx)
	if err != nil {
		return nil, err
	}
	lease, err := worker.PrepareRetrieve(ctx, match, 0, found*chunk)
	if err != nil {
		return nil, err
	}
	defer lease.Done()
	if !lease.Success() {
		return nil, nil // the chunks have gone meanwhile: compute them
	}
	memory = make([]byte, found*size)
	for i, buffer := range lease.All() {
		copy(memory[i*size:], buffer)
	}
	return memory, nil
}
