package l2test

import (
	"testing"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Key is one of a series of keys, for tests beside the suite.
func Key(tb testing.TB, n int) kv.Key {
	tb.Helper()
	h, err := kv.HashOf([]byte{byte(n >> 8), byte(n), 1})
	if err != nil {
		tb.Fatal(err)
	}
	return kv.Key{Hash: h, Model: "meta/llama", Rank: 0x01000100}
}

// Item is an object to be stored under Key, with a header of the zero format.
func Item(tb testing.TB, n int, payload string) l2.Item {
	tb.Helper()
	it := Room(tb, n, len(payload))
	h := l2.Header{Key: it.Key, Checksum: l2.XXH3, Sum: l2.XXH3.Sum([]byte(payload)), Payload: int64(len(payload))}
	if err := h.Put(it.Head); err != nil {
		tb.Fatal(err)
	}
	copy(it.Data, payload)
	return it
}

// Room is memory for an object of so many bytes to be loaded into.
func Room(tb testing.TB, n, size int) l2.Item {
	tb.Helper()
	k := Key(tb, n)
	return l2.Item{Key: k, Head: make([]byte, l2.Format{}.HeadLen(k, "")), Data: make([]byte, size)}
}

// Closing closes an adapter at the end of a test.
func Closing(tb testing.TB, a l2.Adapter) {
	tb.Helper()
	tb.Cleanup(func() {
		if err := a.Close(); err != nil {
			tb.Error(err)
		}
	})
}
