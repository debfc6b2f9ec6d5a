package mooncake_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lmcache-go/lmcache/internal/mooncake"
)

func tokens(length, blockTokens int, ids ...uint64) []int32 {
	return mooncake.Tokens(nil, mooncake.Request{InputLength: length, HashIDs: ids}, blockTokens)
}

func TestTokens(t *testing.T) {
	a, b := tokens(1100, 512, 0, 14, 15), tokens(1024, 512, 0, 14)
	if len(a) != 1100 || len(b) != 1024 {
		t.Fatalf("lengths %d and %d", len(a), len(b))
	}
	if !slices.Equal(a[:1024], b) {
		t.Error("equal ids, different tokens")
	}
	if c := tokens(1536, 512, 9, 14, 15); !slices.Equal(c[512:1100], a[512:]) {
		t.Error("tokens depend on what is before the block")
	}
	for i, v := range a {
		if v < 0 {
			t.Errorf("token %d is %d", i, v)
		}
	}
	dst := append(make([]int32, 0, 4000), 1, 2, 3)
	got := mooncake.Tokens(dst, mooncake.Request{InputLength: 1100, HashIDs: []uint64{0, 14, 15}}, 512)
	if !slices.Equal(got[:3], []int32{1, 2, 3}) || !slices.Equal(got[3:], a) || &got[0] != &dst[0] {
		t.Error("not appended to dst")
	}
	if n := testing.AllocsPerRun(10, func() {
		got = mooncake.Tokens(got[:0], mooncake.Request{InputLength: 1100, HashIDs: []uint64{0, 14, 15}}, 512)
	}); n != 0 {
		t.Errorf("%v allocations with room in dst", n)
	}
}

// TestTokensDiffer: ids that differ in any bit give blocks that differ within
// three tokens, and in every token if both are below 2^31.
func TestTokensDiffer(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		id, bit := rng.Uint64(), rng.IntN(64)
		if bit < 31 {
			id &= 1<<31 - 1
		}
		x, y := tokens(16, 16, id), tokens(16, 16, id^1<<bit)
		if slices.Equal(x[:3], y[:3]) {
			t.Fatalf("id %#x and bit %d: same tokens", id, bit)
		}
		for p := range x {
			if bit < 31 && x[p] == y[p] {
				t.Fatalf("id %#x and bit %d: same token %d", id, bit, p)
			}
		}
	}
}

// TestTokensOfConversation: one token is enough to tell any two ids of the trace
// apart, and the tokens of a block are not one another's.
func TestTokensOfConversation(t *testing.T) {
	seen := map[uint64]bool{}
	first := map[int32]uint64{}
	for r, err := range mooncake.Read(bytes.NewReader(full(t)), 512) {
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range r.HashIDs {
			if seen[id] {
				continue
			}
			seen[id] = true
			token := tokens(1, 512, id)[0]
			if other, ok := first[token]; ok {
				t.Fatalf("ids %d and %d both begin with token %d", id, other, token)
			}
			first[token] = id
		}
	}
	if len(seen) < 150_000 {
		t.Errorf("%d ids", len(seen))
	}
	block := tokens(512, 512, 77)
	slices.Sort(block)
	if n := len(slices.Compact(block)); n != 512 {
		t.Errorf("%d different tokens in a block of 512", n)
	}
}

func BenchmarkTokens(b *testing.B) {
	r := mooncake.Request{InputLength: 100_000, HashIDs: make([]uint64, 196)}
	for i := range r.HashIDs {
		r.HashIDs[i] = uint64(i)
	}
	var dst []int32
	b.SetBytes(4 * int64(r.InputLength))
	for b.Loop() {
		dst = mooncake.Tokens(dst[:0], r, 512)
	}
	b.ReportMetric(float64(r.InputLength)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gtokens/s")
}
