package kv_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zeebo/blake3"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// TestREQ_E1_HashesEqualTheVectors compares every vector, through Next and
// through AppendChain.
func TestREQ_E1_HashesEqualTheVectors(t *testing.T) {
	for _, c := range []struct {
		name, algorithm, seedText string
		chunk                     int
		token                     func(i int) uint32
		seed                      string
		want                      []string
	}{
		{
			"blake3, counting", kv.BLAKE3, "", 256, counting,
			"7e3eff9ef7613a50340eb12677ee03b83ac759fcba9bb32705f07248d56d473b",
			[]string{
				"084547b6c40ed5b05ba8cd0305db5bf74d5617673948d9ed193ab7d6cbc484d4",
				"e5ffee45c2b9db326814c9692dc594369887ba3b0df5761817820b60f864c8e0",
			},
		},
		{
			"blake3, 0 then 9906", kv.BLAKE3, "", 256, func(i int) uint32 { return uint32(min(i, 1) * 9906) },
			"7e3eff9ef7613a50340eb12677ee03b83ac759fcba9bb32705f07248d56d473b",
			[]string{
				"d65391f7dcbfb7f8472e8942ce76f5ca70a3ab0ffd0978c0640a27d07a9a336f",
				"4d033f8a28112da0d40257c88d086c2816f3827becdbb9056a484d19d8ea4b64",
			},
		},
		{
			"blake3, chunks of 16", kv.BLAKE3, "", 16, func(i int) uint32 { return uint32(7 * i % 131072) },
			"7e3eff9ef7613a50340eb12677ee03b83ac759fcba9bb32705f07248d56d473b",
			[]string{
				"c8f3c88606e95cc740c9e895852bc936912c5f9db5cd39292b0a80a25c6b5ae4",
				"0bde7a083bbfca4031ffea946ff696be86b7b0dacc978ef9ec1d7e0f29c698a7",
				"f3db099c00bb76dc91b4aba83a90471478dfa69bece06c1b184c3d93b44d1669",
				"18757e5635ad66b97b1d5e7251d80495e6159646164fd29db0aea3ac95915a9a",
			},
		},
		{
			"blake3, chunks of 2", kv.BLAKE3, "", 2, func(i int) uint32 { return uint32(i + 1) },
			"7e3eff9ef7613a50340eb12677ee03b83ac759fcba9bb32705f07248d56d473b",
			[]string{"b793349025fede5d9e4218c8a42a367e674455ede57bdc17765aa8b5e5b47684"},
		},
		{
			"sha256_cbor, seed text", kv.SHA256CBOR, "0", 256, counting,
			"4e1195df020de59e0d65a33a4279f1183e7ae4e5d980e309f8b55adff2e61c3e",
			[]string{"f3de83132fabc7fa86835e24f2a2008df215e9d03ba998de8e1aaa1431327685"},
		},
		{
			"sha256_cbor", kv.SHA256CBOR, "", 256, counting,
			"d01eddc504e77448195ff488ddf8bfb601ebd9c229db2d8e38cb08cdc3d3c8a1",
			[]string{"b0132f46964931ab608cc8c285fe9532034c701c9f2bb68eaab3ee0dcd08841a"},
		},
		{
			"builtin", kv.Builtin, "", 256, counting,
			"dae1a992f1ea898d", // −2674670255092364915
			[]string{
				"c9b94de6b383151c", // −3911009148145036004
				"d0d3b68be14c7e36", // −3399172581837996490
			},
		},
		{
			// Computed with Python from the definition.
			"sha256_cbor, tokens of 2^31 and more", kv.SHA256CBOR, "", 4, largeTokens,
			"d01eddc504e77448195ff488ddf8bfb601ebd9c229db2d8e38cb08cdc3d3c8a1",
			[]string{
				"6fbd5f4e11b7e4f47c68a380cb85485772248c0812af153b1346753503db5efb",
				"b099e33ce23a8a6e1b12704963ac943774731dc481ba35ecec2c9e3bfbd24b6a",
			},
		},
		{
			// CPython's own hash of the tuples.
			"builtin, tokens of 2^31 and more", kv.Builtin, "", 4, largeTokens,
			"dae1a992f1ea898d",
			[]string{"97aef9381c81ba6a", "0804d4d7ae5240dc"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHasher(t, c.algorithm, c.seedText)
			if got := h.Seed().String(); got != c.seed {
				t.Fatalf("seed %s, want %s", got, c.seed)
			}
			ts := tokens(c.chunk*len(c.want), c.token)
			prev := h.Seed()
			var next []string
			for part := range slices.Chunk(ts, c.chunk) {
				prev = h.Next(prev, part)
				next = append(next, prev.String())
			}
			if diff := cmp.Diff(c.want, next); diff != "" {
				t.Errorf("Next (-want +got):\n%s", diff)
			}
			var chain []string
			for _, h := range h.AppendChain(nil, h.Seed(), ts, c.chunk) {
				chain = append(chain, h.String())
			}
			if diff := cmp.Diff(c.want, chain); diff != "" {
				t.Errorf("AppendChain (-want +got):\n%s", diff)
			}
		})
	}
}

// largeTokens are the tokens around 2^31 and 2^32, forth and back.
func largeTokens(i int) uint32 {
	return []uint32{0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 0xffffffff, 0xfffffffe, 0x80000000, 0x7fffffff}[i]
}

// TestREQ_E1_EachChunkSizeEqualsTheDefinition compares three chunks of each size
// with the algorithms written down plainly, over tokens of every length of
// encoding, 2^31 and more among them.
func TestREQ_E1_EachChunkSizeEqualsTheDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	token := func(int) uint32 {
		edges := []uint32{0, 1, 23, 24, 255, 256, 65535, 65536, 1<<31 - 1, 1 << 31, 1<<32 - 2, 1<<32 - 1}
		if r.IntN(2) == 0 {
			return edges[r.IntN(len(edges))]
		}
		return r.Uint32() >> r.IntN(32)
	}
	for _, chunk := range []int{
		1, 2, 3, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 64, 128, 248, 249, 255, 256, 257, 263, 264,
		300, 504, 512, 520, 1000, 1024, 4096, 65535, 65536, 70001,
	} {
		ts := tokens(3*chunk+chunk/2, token)
		for name, define := range definitions() {
			h := newHasher(t, name, "")
			got := h.AppendChain(nil, h.Seed(), ts, chunk)
			if len(got) != 3 {
				t.Fatalf("%s, chunks of %d: %d hashes", name, chunk, len(got))
			}
			prev := h.Seed()
			for i, g := range got {
				part := ts[i*chunk : (i+1)*chunk]
				if want := define(prev.Append(nil), part); !bytes.Equal(want, g.Append(nil)) {
					t.Fatalf("%s, chunk %d of %d tokens: %v, want %x", name, i, chunk, g, want)
				}
				if n := h.Next(prev, part); n != g {
					t.Fatalf("%s, chunk %d of %d tokens: Next gives %v, AppendChain %v", name, i, chunk, n, g)
				}
				prev = g
			}
		}
	}
	// Next also takes a chunk of no tokens.
	for name, define := range definitions() {
		h := newHasher(t, name, "")
		if want, got := define(h.Seed().Append(nil), nil), h.Next(h.Seed(), nil); !bytes.Equal(want, got.Append(nil)) {
			t.Errorf("%s, no tokens: %v, want %x", name, got, want)
		}
	}
}

// TestREQ_E1_EncodingsThatEndAtABufferEdge gives each algorithm chunks whose
// encoding ends at every position around its buffer.
func TestREQ_E1_EncodingsThatEndAtABufferEdge(t *testing.T) {
	for name, define := range definitions() {
		h := newHasher(t, name, "")
		for n := 380; n < 440; n++ { // 5 bytes each: 1900 to 2200
			ts := tokens(n, func(i int) uint32 { return 1<<32 - 1 - uint32(i) })
			for small := range 5 { // moves the end by single bytes
				for i := range small {
					ts[i] = 0
				}
				if want, got := define(h.Seed().Append(nil), ts), h.Next(h.Seed(), ts); !bytes.Equal(want, got.Append(nil)) {
					t.Fatalf("%s, %d tokens, %d of them small: %v, want %x", name, n, small, got, want)
				}
			}
		}
	}
}

// definitions are the algorithms as they are defined, without regard to speed.
func definitions() map[string]func(prev []byte, tokens []int32) []byte {
	return map[string]func([]byte, []int32) []byte{
		kv.BLAKE3: func(prev []byte, tokens []int32) []byte {
			b := slices.Clone(prev)
			for _, t := range tokens {
				b = binary.BigEndian.AppendUint32(b, uint32(t))
			}
			sum := blake3.Sum256(b)
			return sum[:]
		},
		kv.SHA256CBOR: func(prev []byte, tokens []int32) []byte {
			b := append([]byte{0x83, 0x58, 0x20}, prev...)
			b = append(b, cborNumber(0x80, uint64(len(tokens)))...)
			for _, t := range tokens {
				b = append(b, cborNumber(0x00, uint64(uint32(t)))...)
			}
			sum := sha256.Sum256(append(b, 0xf6))
			return sum[:]
		},
		kv.Builtin: func(prev []byte, tokens []int32) []byte {
			// Numbers without bound; the sign of the prefix is taken off first.
			x := new(big.Int).SetInt64(int64(binary.BigEndian.Uint64(prev)))
			p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 61), big.NewInt(1))
			lane := new(big.Int).Mod(new(big.Int).Abs(x), p)
			if x.Sign() < 0 {
				lane.Neg(lane)
			}
			if lane.Cmp(big.NewInt(-1)) == 0 {
				lane.SetInt64(-2)
			}
			var inner []*big.Int
			for _, t := range tokens {
				inner = append(inner, big.NewInt(int64(uint32(t))))
			}
			outer := []*big.Int{lane, tupleHash(inner), big.NewInt(0xfca86420)}
			return binary.BigEndian.AppendUint64(nil, tupleHash(outer).Uint64())
		},
	}
}

// cborNumber is the shortest head of RFC 8949 for n.
func cborNumber(major byte, n uint64) []byte {
	switch {
	case n <= 23:
		return []byte{major + byte(n)}
	case n <= 0xff:
		return []byte{major + 24, byte(n)}
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16([]byte{major + 25}, uint16(n))
	default:
		return binary.BigEndian.AppendUint32([]byte{major + 26}, uint32(n))
	}
}

// tupleHash is CPython's hash of a tuple whose members have these hashes, as a
// number below 2^64.
func tupleHash(lanes []*big.Int) *big.Int {
	number := func(s string) *big.Int { n, _ := new(big.Int).SetString(s, 10); return n }
	p1, p2, p5 := number("11400714785074694791"), number("14029467366897019727"), number("2870177450012600261")
	word := new(big.Int).Lsh(big.NewInt(1), 64)
	acc := new(big.Int).Set(p5)
	for _, lane := range lanes {
		acc.Add(acc, new(big.Int).Mul(lane, p2)).Mod(acc, word)
		high := new(big.Int).Rsh(acc, 64-31)
		acc.Lsh(acc, 31).Mod(acc, word).Or(acc, high)
		acc.Mul(acc, p1).Mod(acc, word)
	}
	mix := new(big.Int).Xor(p5, big.NewInt(3527539))
	acc.Add(acc, mix.Xor(mix, big.NewInt(int64(len(lanes))))).Mod(acc, word)
	if new(big.Int).Add(acc, big.NewInt(1)).Cmp(word) == 0 {
		acc.SetInt64(1546275796)
	}
	return acc
}

// TestBuiltinPrefixesAtTheEdges: the previous hash goes through the reduction of
// integers, which hardly a random one shows.
func TestBuiltinPrefixesAtTheEdges(t *testing.T) {
	h := newHasher(t, kv.Builtin, "")
	define := definitions()[kv.Builtin]
	const p = 1<<61 - 1
	seen := map[kv.Hash]int64{}
	for _, x := range []int64{0, 1, -2, -3, p - 1, p + 1, -p + 1, 2*p + 5, -1 << 63, 1<<63 - 1} {
		b := binary.BigEndian.AppendUint64(nil, uint64(x))
		prev, err := kv.HashOf(b)
		fatal(t, err)
		got := h.Next(prev, []int32{1, 2})
		if want := define(b, []int32{1, 2}); !bytes.Equal(want, got.Append(nil)) {
			t.Errorf("prefix %d: %v, want %x", x, got, want)
		}
		seen[got] = x
	}
	for _, same := range [][2]int64{{-1, -2}, {p, 0}, {-p, 0}, {p + 1, 1}, {-p - 1, -2}} {
		a, err := kv.HashOf(binary.BigEndian.AppendUint64(nil, uint64(same[0])))
		fatal(t, err)
		b, err := kv.HashOf(binary.BigEndian.AppendUint64(nil, uint64(same[1])))
		fatal(t, err)
		if h.Next(a, nil) != h.Next(b, nil) {
			t.Errorf("prefixes %d and %d are the same integer hash", same[0], same[1])
		}
	}
	// The one tuple hash that CPython puts another in the place of: this tuple's
	// would be −1, its error value.
	got := h.Next(hashOf(t, "049b91e301ffadad"), []int32{7}) // prefix 332019401719000493
	if want := hashOf(t, "000000005c2a4bd4"); got != want {
		t.Errorf("a hash of −1 becomes %v, want %v", got, want)
	}
	if len(seen) < 8 {
		t.Errorf("10 prefixes give %d hashes", len(seen))
	}
}

// TestREQ_E5_TheSeedIsFixed: no environment variable and no fallback changes
// what an algorithm computes.
func TestREQ_E5_TheSeedIsFixed(t *testing.T) {
	ts := tokens(64, counting)
	want := map[string][]kv.Hash{}
	for i, env := range []string{"", "0", "1", "random", "4294967295"} {
		t.Setenv("PYTHONHASHSEED", env)
		for _, name := range kv.Algorithms() {
			h := newHasher(t, name, "")
			if h.Name() != name {
				t.Errorf("asked for %s, got %s", name, h.Name())
			}
			got := h.AppendChain([]kv.Hash{h.Seed()}, h.Seed(), ts, 16)
			if i == 0 {
				want[name] = got
			}
			if diff := cmp.Diff(want[name], got); diff != "" {
				t.Errorf("%s under PYTHONHASHSEED=%q (-want +got):\n%s", name, env, diff)
			}
		}
	}
}

func TestREQ_E5_UnknownAlgorithmsAreErrors(t *testing.T) {
	for _, name := range []string{"sha256", "BLAKE3", "sha256_cbor ", "xxhash"} {
		h, err := kv.NewHasher(name, "")
		if err == nil || h != nil {
			t.Errorf("%q gives %v, %v", name, h, err)
			continue
		}
		for _, known := range append(kv.Algorithms(), fmt.Sprintf("%q", name)) {
			if !strings.Contains(err.Error(), known) {
				t.Errorf("error %q does not name %s", err, known)
			}
		}
	}
	for _, name := range []string{"", kv.BLAKE3, kv.Builtin} {
		if h, err := kv.NewHasher(name, "0"); err == nil || h != nil || !strings.Contains(err.Error(), kv.SHA256CBOR) {
			t.Errorf("%q with a seed text gives %v, %v", name, h, err)
		}
	}
	if h, err := kv.NewHasher(kv.SHA256CBOR, "\xff"); err == nil || h != nil {
		t.Errorf("a seed text that is not UTF-8 gives %v, %v", h, err)
	}
}

func TestHasherFacts(t *testing.T) {
	if h := newHasher(t, "", ""); h.Name() != kv.BLAKE3 {
		t.Errorf("the default is %s", h.Name())
	}
	lens := map[string]int{kv.BLAKE3: 32, kv.SHA256CBOR: 32, kv.Builtin: 8}
	seeds := map[kv.Hash]bool{newHasher(t, kv.SHA256CBOR, "a").Seed(): true, newHasher(t, kv.SHA256CBOR, "b").Seed(): true}
	for name, n := range lens {
		h := newHasher(t, name, "")
		if h.Weak() != (name == kv.Builtin) || h.Seed().Len() != n {
			t.Errorf("%s: weak %v, %d bytes", name, h.Weak(), h.Seed().Len())
		}
		seeds[h.Seed()] = true
	}
	if len(seeds) != 5 {
		t.Errorf("5 algorithms and seed texts have %d seeds", len(seeds))
	}
	if got := kv.Algorithms(); len(got) != len(lens) || got[0] != kv.BLAKE3 {
		t.Errorf("algorithms are %v", got)
	}
}

func TestAppendChainAppends(t *testing.T) {
	ts := tokens(100, counting)
	for _, name := range kv.Algorithms() {
		h := newHasher(t, name, "")
		all := h.AppendChain(nil, h.Seed(), ts, 10)
		got := h.AppendChain(slices.Clone(all[:4]), all[3], ts[40:], 10)
		if diff := cmp.Diff(all, got); diff != "" {
			t.Errorf("%s in two parts (-want +got):\n%s", name, diff)
		}
		for _, chunk := range []int{0, -1, 101} {
			if got := h.AppendChain(all[:2:2], h.Seed(), ts, chunk); len(got) != 2 {
				t.Errorf("%s: chunks of %d tokens give %d hashes", name, chunk, len(got)-2)
			}
		}
	}
}

func TestHashersServeManyGoroutines(t *testing.T) {
	for _, name := range kv.Algorithms() {
		h := newHasher(t, name, "")
		want := map[uint32][]kv.Hash{}
		for g := range uint32(8) {
			want[g] = newHasher(t, name, "").AppendChain(nil, h.Seed(), tokens(4096, func(i int) uint32 { return uint32(i) * g }), 64)
		}
		var wg sync.WaitGroup
		for g := range uint32(8) {
			wg.Go(func() {
				ts := tokens(4096, func(i int) uint32 { return uint32(i) * g })
				for range 5 {
					if got := h.AppendChain(nil, h.Seed(), ts, 64); !slices.Equal(got, want[g]) {
						t.Errorf("%s: goroutine %d gets other hashes", name, g)
					}
				}
			})
		}
		wg.Wait()
	}
}

// TestHashingAllocatesNothing: one hasher, a slice with room, no garbage.
func TestHashingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool forgets at random under the race detector")
	}
	ts := tokens(16*256, func(i int) uint32 { return 1<<32 - 1 - uint32(i) })
	dst := make([]kv.Hash, 0, 16)
	for _, name := range kv.Algorithms() {
		h := newHasher(t, name, "")
		for _, chunk := range []int{256, 16 * 256} {
			if n := testing.AllocsPerRun(100, func() { dst = h.AppendChain(dst[:0], h.Seed(), ts, chunk) }); n != 0 {
				t.Errorf("%s: AppendChain of chunks of %d allocates %v times", name, chunk, n)
			}
		}
		if n := testing.AllocsPerRun(100, func() { dst[0] = h.Next(h.Seed(), ts[:256]) }); n != 0 {
			t.Errorf("%s: Next allocates %v times", name, n)
		}
	}
}
