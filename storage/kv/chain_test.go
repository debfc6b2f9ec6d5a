package kv_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// checkChain compares a chain with what a fresh hasher says of the prompt.
func checkChain(tb testing.TB, c kv.Chain, algorithm string, chunk int, prompt []int32) {
	tb.Helper()
	n := len(prompt) / chunk
	h := newHasher(tb, algorithm, "")
	want := h.AppendChain(nil, h.Seed(), prompt, chunk)
	if c.Len() != n || !slices.Equal(c.Hashes(), want) {
		tb.Fatalf("chain of %d tokens in chunks of %d: %d chunks, not the %d a fresh hasher gives", len(prompt), chunk, c.Len(), n)
	}
	if !slices.Equal(c.Tokens(), prompt[:n*chunk]) {
		tb.Fatalf("chain of %d tokens in chunks of %d keeps other tokens", len(prompt), chunk)
	}
}

// TestREQ_E2_IncrementalEqualsFromScratch edits prompts at random and follows
// every chain that was ever made.
func TestREQ_E2_IncrementalEqualsFromScratch(t *testing.T) {
	type made struct {
		chain  kv.Chain
		prompt []int32
		chunk  int
	}
	for _, algorithm := range kv.Algorithms() {
		h := newHasher(t, algorithm, "")
		for seed := range uint64(20) {
			r := rand.New(rand.NewPCG(seed, 2))
			chunk := []int{1, 3, 16, 64, 300}[r.IntN(5)]
			var kept kv.Chain
			var prompt []int32
			var all []made
			for range 40 {
				prompt = edit(r, slices.Clone(prompt), chunk)
				if r.IntN(20) == 0 {
					chunk = 1 + r.IntN(80)
				}
				from := kept
				if len(all) > 0 && r.IntN(4) == 0 {
					from = all[r.IntN(len(all))].chain // two calls that began with the same chain
				}
				kept = from.Extend(h, chunk, prompt)
				checkChain(t, kept, algorithm, chunk, prompt)
				all = append(all, made{kept, slices.Clone(prompt), chunk})
				scribbled := slices.Clone(prompt)
				for i := range prompt {
					prompt[i] ^= 0x55 // the caller's slice is the caller's
				}
				checkChain(t, kept, algorithm, chunk, scribbled)
				prompt = scribbled
			}
			for _, m := range all {
				checkChain(t, m.chain, algorithm, m.chunk, m.prompt)
			}
		}
	}
}

// edit grows, cuts, changes or replaces a prompt.
func edit(r *rand.Rand, prompt []int32, chunk int) []int32 {
	grow := func(n int) {
		for range n {
			prompt = append(prompt, int32(r.Uint32()))
		}
	}
	switch r.IntN(6) {
	case 0, 1:
		grow(r.IntN(4*chunk + 1))
	case 2:
		prompt = prompt[:r.IntN(len(prompt)+1)]
	case 3:
		if len(prompt) > 0 {
			prompt[r.IntN(len(prompt))] ^= 1 << r.IntN(32)
		}
	case 4:
		if len(prompt) > 0 {
			prompt[r.IntN(len(prompt))]++
		}
		grow(r.IntN(2 * chunk))
	case 5:
		prompt = prompt[:0]
		grow(r.IntN(8*chunk + 1))
	}
	return prompt
}

// TestREQ_E8_AChangedPromptReusesNoLaterHash changes one token of each chunk,
// the first and the last among them, and compares with a new session.
func TestREQ_E8_AChangedPromptReusesNoLaterHash(t *testing.T) {
	const chunk, chunks = 64, 40 // 2560 tokens: more than one block of comparison
	prompt := tokens(chunk*chunks, func(i int) uint32 { return uint32(i) * 2654435761 })
	for _, algorithm := range kv.Algorithms() {
		h := newHasher(t, algorithm, "")
		old := kv.Chain{}.Extend(h, chunk, prompt)
		checkChain(t, old, algorithm, chunk, prompt)
		at := []int{0, 1, chunk - 1, chunk, len(prompt)/2 - 1, len(prompt) / 2, len(prompt) - chunk, len(prompt) - 2, len(prompt) - 1}
		at = append(at, 1023, 1024, 1025, 2047, 2048, 2049) // around the blocks of comparison
		for i := range chunks {
			at = append(at, i*chunk+i%chunk)
		}
		for _, i := range at {
			changed := slices.Clone(prompt)
			changed[i] ^= -1 << 31
			got := old.Extend(h, chunk, changed)
			checkChain(t, got, algorithm, chunk, changed)
			for j := range chunks {
				if same := got.Hashes()[j] == old.Hashes()[j]; same != (j < i/chunk) {
					t.Fatalf("%s: token %d changed, hash %d the same: %v", algorithm, i, j, same)
				}
			}
			// And back, longer: the old tail must not come back with it.
			longer := append(slices.Clone(changed), prompt[:3*chunk]...)
			checkChain(t, got.Extend(h, chunk, longer), algorithm, chunk, longer)
			checkChain(t, got.Extend(h, chunk, prompt), algorithm, chunk, prompt)
		}
		checkChain(t, old, algorithm, chunk, prompt)
	}
}

// TestREQ_E6_ChainsAroundAChunkBoundary: a ragged tail is never hashed, a
// full one always.
func TestREQ_E6_ChainsAroundAChunkBoundary(t *testing.T) {
	for _, algorithm := range kv.Algorithms() {
		h := newHasher(t, algorithm, "")
		for _, chunk := range []int{1, 2, 16, 256} {
			full := tokens(6*chunk+1, func(i int) uint32 { return uint32(7*i + 1) })
			r := kv.Request{Model: "m", World: 2, Worker: kv.AllWorkers}
			var all, growing kv.Chain
			all = all.Extend(h, chunk, full)
			for n := range 6 {
				for _, d := range []int{-1, 0, 1} {
					size := (n+1)*chunk + d
					prompt := full[:size]
					c := kv.Chain{}.Extend(h, chunk, prompt)
					checkChain(t, c, algorithm, chunk, prompt)
					growing = growing.Extend(h, chunk, prompt)
					checkChain(t, growing, algorithm, chunk, prompt)
					keys, err := r.AppendKeys(nil, 0, c.Hashes())
					fatal(t, err)
					if want := size / chunk * 2; len(keys) != want {
						t.Fatalf("%d tokens in chunks of %d give %d keys, want %d", size, chunk, len(keys), want)
					}
					for i, k := range keys {
						if k.Hash != all.Hashes()[i/2] {
							t.Fatalf("%d tokens in chunks of %d: key %d names other content", size, chunk, i)
						}
					}
				}
			}
		}
	}
}

func TestChainIsEmptyWithoutAFullChunk(t *testing.T) {
	h := newHasher(t, "", "")
	ts := tokens(100, counting)
	for name, c := range map[string]kv.Chain{
		"zero":            {},
		"no tokens":       kv.Chain{}.Extend(h, 16, nil),
		"a ragged tail":   kv.Chain{}.Extend(h, 101, ts),
		"chunks of 0":     kv.Chain{}.Extend(h, 0, ts),
		"chunks below 0":  kv.Chain{}.Extend(h, -5, ts),
		"cut to nothing":  kv.Chain{}.Extend(h, 16, ts).Extend(h, 16, ts[:15]),
		"cut to no chunk": kv.Chain{}.Extend(h, 16, ts).Extend(h, 0, ts),
	} {
		if c.Len() != 0 || c.Bytes() != 0 || c.ChunkTokens() != 0 || len(c.Hashes()) != 0 || len(c.Tokens()) != 0 {
			t.Errorf("%s: %d chunks, %d bytes", name, c.Len(), c.Bytes())
		}
	}
}

// TestChainTellsHashersApart: what another algorithm, seed or chunk size left is
// of no use.
func TestChainTellsHashersApart(t *testing.T) {
	ts := tokens(256, counting)
	var c kv.Chain
	hashers := []kv.Hasher{
		newHasher(t, kv.BLAKE3, ""), newHasher(t, kv.SHA256CBOR, ""), newHasher(t, kv.SHA256CBOR, "0"),
		newHasher(t, kv.SHA256CBOR, "1"), newHasher(t, kv.Builtin, ""),
	}
	for _, chunk := range []int{16, 32, 16} {
		for _, h := range hashers {
			next := c.Extend(h, chunk, ts)
			if want := h.AppendChain(nil, h.Seed(), ts, chunk); !slices.Equal(next.Hashes(), want) {
				t.Errorf("%s in chunks of %d reuses a foreign chain", h.Name(), chunk)
			}
			if next.HasPrefix(c) != (c.Len() == 0) || c.HasPrefix(next) {
				t.Errorf("%s in chunks of %d is a prefix of a foreign chain", h.Name(), chunk)
			}
			if next.ChunkTokens() != chunk {
				t.Errorf("chunks of %d tokens, not %d", next.ChunkTokens(), chunk)
			}
			other := next.Extend(h, 2*chunk, ts)
			if want := h.AppendChain(nil, h.Seed(), ts, 2*chunk); !slices.Equal(other.Hashes(), want) {
				t.Errorf("%s in chunks of %d reuses a chain of chunks of %d", h.Name(), 2*chunk, chunk)
			}
			c = next
		}
	}
}

func TestChainHasPrefix(t *testing.T) {
	h := newHasher(t, "", "")
	ts := tokens(160, counting)
	whole := kv.Chain{}.Extend(h, 16, ts)
	other := slices.Clone(ts)
	other[100]++
	fork := whole.Extend(h, 16, other)
	for n := 0; n <= len(ts); n += 8 {
		part := kv.Chain{}.Extend(h, 16, ts[:n])
		if !whole.HasPrefix(part) {
			t.Errorf("the first %d tokens are no prefix", n)
		}
		if got, want := part.HasPrefix(whole), n == len(ts); got != want {
			t.Errorf("the whole is a prefix of %d tokens: %v", n, got)
		}
		if got, want := fork.HasPrefix(part), n/16*16 <= 96; got != want {
			t.Errorf("%d tokens are a prefix of a prompt that differs at 100: %v", n, got)
		}
	}
	if whole.HasPrefix(fork) || fork.HasPrefix(whole) || !fork.HasPrefix(fork) {
		t.Error("prompts that fork are prefixes of each other")
	}
}

// TestChainSlicesNeverChange: who holds the slices of a chain sees neither later
// calls nor what others append to them.
func TestChainSlicesNeverChange(t *testing.T) {
	h := newHasher(t, "", "")
	ts := tokens(64*16, counting)
	var c kv.Chain
	type seen struct{ hashes, wantHashes []kv.Hash }
	var all []seen
	for n := 16; n <= len(ts); n += 16 {
		old := c
		c = c.Extend(h, 16, ts[:n])
		all = append(all, seen{c.Hashes(), slices.Clone(c.Hashes())})
		_ = append(old.Hashes(), kv.Hash32([32]byte{0xff}))
		_ = append(old.Tokens(), -1)
		checkChain(t, c, kv.BLAKE3, 16, ts[:n])
		fork := slices.Clone(ts[:n])
		fork[n-1] = -1
		c.Extend(h, 16, append(fork, 1, 2, 3))
	}
	for i, s := range all {
		if !slices.Equal(s.hashes, s.wantHashes) {
			t.Errorf("the slice of %d hashes has changed", i+1)
		}
	}
	checkChain(t, c, kv.BLAKE3, 16, ts)
}

func TestChainBytes(t *testing.T) {
	h := newHasher(t, "", "")
	ts := tokens(1<<14, counting)
	c := kv.Chain{}.Extend(h, 256, ts[:4096+255])
	if got, want := c.Bytes(), int64(4*4096+32*16); got != want {
		t.Errorf("16 chunks of 256 tokens: %d bytes, want %d", got, want)
	}
	for n := 4096; n <= len(ts); n += 256 {
		c = c.Extend(h, 256, ts[:n])
		least := int64(4*n + 32*n/256)
		if got := c.Bytes(); got < least || got > least+least/4 {
			t.Errorf("%d tokens grown by chunks: %d bytes, at least %d needed", n, got, least)
		}
	}
}

// TestChainGrowthCopiesLittle: a prompt that grows by a chunk at a time is not
// copied each time.
func TestChainGrowthCopiesLittle(t *testing.T) {
	h := newHasher(t, "", "")
	ts := tokens(512*16, counting)
	var c kv.Chain
	moves := 0
	for n := 16; n <= len(ts); n += 16 {
		before := c.Bytes()
		if c = c.Extend(h, 16, ts[:n]); c.Bytes() != before {
			moves++
		}
	}
	// Up to 4 chunks a quarter is nothing; from there 1.25^22 > 128.
	if moves > 32 {
		t.Errorf("512 extensions moved the chain %d times", moves)
	}
	checkChain(t, c, kv.BLAKE3, 16, ts)
}

// TestChainExtendsConcurrently: calls that begin with the same chain, and then
// with each other's, each get their own prompt's chain.
func TestChainExtendsConcurrently(t *testing.T) {
	const chunk, goroutines = 16, 8
	h := newHasher(t, "", "")
	base := tokens(40*chunk, counting)
	kept := kv.Chain{}.Extend(h, chunk, base[:20*chunk]).Extend(h, chunk, base[:21*chunk]) // has room behind it
	var mu sync.Mutex
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 3))
			for range 50 {
				prompt := slices.Clone(base[:(18+r.IntN(22))*chunk+r.IntN(chunk)])
				if r.IntN(3) > 0 {
					prompt[r.IntN(len(prompt))] = int32(-1 - g)
				}
				mu.Lock()
				from := kept
				mu.Unlock()
				next := from.Extend(h, chunk, prompt)
				checkHashes(t, next, h, chunk, prompt)
				mu.Lock()
				if !kept.HasPrefix(next) {
					kept = next
				}
				mu.Unlock()
				checkHashes(t, next, h, chunk, prompt)
			}
		})
	}
	wg.Wait()
}

// checkHashes is checkChain for goroutines.
func checkHashes(t *testing.T, c kv.Chain, h kv.Hasher, chunk int, prompt []int32) {
	t.Helper()
	if want := h.AppendChain(nil, h.Seed(), prompt, chunk); !slices.Equal(c.Hashes(), want) {
		t.Error("a concurrent call got the hashes of another prompt")
	}
}

// stubborn is a Hasher that returns a slice of its own instead of appending.
type stubborn struct{ kv.Hasher }

func (s stubborn) AppendChain(dst []kv.Hash, prev kv.Hash, tokens []int32, chunk int) []kv.Hash {
	return s.Hasher.AppendChain(slices.Clone(dst), prev, tokens, chunk)
}

func TestChainTakesHashersThatDoNotAppendInPlace(t *testing.T) {
	h := newHasher(t, "", "")
	ts := tokens(30*16, counting)
	var c kv.Chain
	for n := 16; n <= len(ts); n += 16 {
		c = c.Extend(stubborn{h}, 16, ts[:n])
		checkChain(t, c, kv.BLAKE3, 16, ts[:n])
	}
}

// TestWarmChainAllocatesNothing: a prompt that is hashed already, or a part of
// it, costs a comparison.
func TestWarmChainAllocatesNothing(t *testing.T) {
	h := newHasher(t, "", "")
	ts := tokens(64*256, counting)
	c := kv.Chain{}.Extend(h, 256, ts)
	for _, n := range []int{len(ts), len(ts) - 1, 256} {
		if got := testing.AllocsPerRun(100, func() { c = c.Extend(h, 256, ts[:n]) }); got != 0 {
			t.Errorf("extending by nothing, %d tokens, allocates %v times", n, got)
		}
	}
}
