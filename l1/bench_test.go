package l1_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// benchKeys makes n keys of one prompt; seq makes the prompt.
func benchKeys(dst []kv.Key, seq uint64, n int) []kv.Key {
	dst = dst[:0]
	for i := range n {
		var b [32]byte
		binary.BigEndian.PutUint64(b[:], (seq*1000003+uint64(i))*0x9e3779b97f4a7c15)
		binary.BigEndian.PutUint64(b[8:], seq)
		binary.BigEndian.PutUint64(b[16:], uint64(i))
		dst = append(dst, kv.Key{Hash: kv.Hash32(b), Model: "bench/model", Rank: 0x01000100})
	}
	return dst
}

func benchManager(tb testing.TB, capacity, resident int) (*l1.Manager, kv.Layout) {
	tb.Helper()
	layout, err := kv.RawLayout(2 << 20)
	if err != nil {
		tb.Fatal(err)
	}
	m, err := l1.New(l1.Options{Bytes: int64(capacity) * layout.Size(), NoBytes: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := m.Close(); err != nil {
			tb.Error(err)
		}
	})
	now := time.Now()
	for seq := range resident / 16 {
		w, err := m.ReserveWrite(now, benchKeys(nil, uint64(seq), 16), layout, l1.WriteNew, l1.WriteOptions{})
		if err != nil {
			tb.Fatal(err)
		}
		if r := w.Finish(now, l1.OriginNew); len(r.Finished) != 16 {
			tb.Fatalf("finished %d of 16", len(r.Finished))
		}
	}
	return m, layout
}

const million = 1 << 20

// BenchmarkReserveFinish16 reserves and finishes 16 keys with a million objects
// resident.
func BenchmarkReserveFinish16(b *testing.B) {
	run := func(b *testing.B, capacity, filled int) {
		m, layout := benchManager(b, capacity, filled)
		seq := uint64(1 << 40)
		keys := make([]kv.Key, 0, 16)
		b.ReportAllocs()
		for b.Loop() {
			seq++
			keys = benchKeys(keys, seq, 16)
			now := time.Now()
			w, _ := m.ReserveWrite(now, keys, layout, l1.WriteNew, l1.WriteOptions{})
			w.Finish(now, l1.OriginNew)
		}
	}
	b.Run("room", func(b *testing.B) { run(b, 4*million, million) })
	b.Run("evict", func(b *testing.B) { run(b, million, 2*million+million/4) })
}
