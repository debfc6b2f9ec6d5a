package unittest_test

import (
	"context"
	"testing"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/l1"
)

// open makes a device, a paged cache on it and an engine with one worker, which
// end with the test.
func open(t *testing.T) (*fake.Device, *gpu.Paged, *lmcache.Engine, *lmcache.Worker) {
	t.Helper()
	dev := fake.New(fake.Options{OnViolation: func(text string) { t.Error(text) }})
	paged, err := dev.NewPaged(gpu.Shape{Layers: 2, Blocks: 16, BlockTokens: 16, Heads: 2, HeadSize: 4, DType: "float16"})
	if err != nil {
		t.Fatal(err)
	}
	eng, err := lmcache.Open(t.Context(), lmcache.Options{ChunkTokens: 32, L1: l1.Options{Bytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	w, err := eng.Attach(lmcache.WorkerOptions{Model: "m", Backend: dev, Cache: paged})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := eng.Close(context.WithoutCancel(t.Context())); err != nil { // says so if something is still lent out
			t.Error(err)
		}
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	})
	return dev, paged, eng, w
}

// TestPromptComesBack stores a prompt from some blocks and gets it back into others.
func TestPromptComesBack(t *testing.T) {
	dev, paged, eng, worker := open(t)
	dev.Fill(paged, 1) // what the model has computed
	want := string(dev.Block(paged, 0, 1, 0, 3))
	s, prompt := eng.Session(lmcache.Request{ID: "a", Model: "m"}), make([]int32, 70)
	out, err := worker.Store(t.Context(), s, prompt, [][]gpu.BlockID{{0, 1, 2, 3}}, nil)
	if err != nil || out.Wait(t.Context()) != nil || out.Tokens() != 64 {
		t.Fatalf("store: %v, %d tokens", err, out.Tokens())
	}
	in, err := worker.Retrieve(t.Context(), s.Lookup(t.Context(), prompt), [][]gpu.BlockID{{8, 9, 10, 11}}, nil)
	if err != nil || in.Wait(t.Context()) != nil || in.Tokens() != 64 || string(dev.Block(paged, 0, 1, 0, 11)) != want {
		t.Errorf("retrieve: %v, %d tokens", err, in.Tokens())
	}
}
