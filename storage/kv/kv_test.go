package kv_test

import (
	"encoding/hex"
	"testing"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// fatal stops the test on an error that it does not expect.
func fatal(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// hashOf is the Hash of a hexadecimal text.
func hashOf(tb testing.TB, s string) kv.Hash {
	tb.Helper()
	b, err := hex.DecodeString(s)
	fatal(tb, err)
	h, err := kv.HashOf(b)
	fatal(tb, err)
	return h
}

// newHasher makes a Hasher that must exist.
func newHasher(tb testing.TB, name, seed string) kv.Hasher {
	tb.Helper()
	h, err := kv.NewHasher(name, seed)
	fatal(tb, err)
	return h
}

// tokens are n tokens by position.
func tokens(n int, f func(i int) uint32) []int32 {
	ts := make([]int32, n)
	for i := range ts {
		ts[i] = int32(f(i))
	}
	return ts
}

func counting(i int) uint32 { return uint32(i) }

// exampleKey is the key of the vectors, with and without a salt.
func exampleKey(tb testing.TB, salt string) kv.Key {
	tb.Helper()
	return kv.Key{Hash: hashOf(tb, "00ff10"), Model: "meta/llama", Salt: salt, Rank: 0x01000100}
}
