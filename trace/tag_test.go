package trace

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tinylib/msgp/msgp"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// A wrapper whose payload comes first means the same, at any depth, and many of them
// take memory in proportion to their record.
func TestWrappersInAnotherOrder(t *testing.T) {
	const n = 4000
	wrap := func(b []byte, tag string, first bool, payload func([]byte) []byte) []byte {
		b = msgp.AppendMapHeader(b, 2)
		if first {
			b = payload(msgp.AppendString(b, "v"))
		}
		b = msgp.AppendString(msgp.AppendString(b, "__t__"), tag)
		if !first {
			b = payload(msgp.AppendString(b, "v"))
		}
		return b
	}
	args := func(first bool) []byte {
		b := msgp.AppendString(msgp.AppendMapHeader(nil, 1), "keys")
		return wrap(b, "tuple", first, func(b []byte) []byte {
			b = msgp.AppendArrayHeader(b, n)
			for i := range n {
				b = wrap(b, "ObjectKey", first, func(b []byte) []byte {
					b = msgp.AppendMapHeader(b, 3)
					b = msgp.AppendBytes(msgp.AppendString(b, "chunk_hash"), []byte{byte(i), byte(i >> 8)})
					b = msgp.AppendString(msgp.AppendString(b, "model_name"), "m")
					return msgp.AppendInt(msgp.AppendString(b, "kv_rank"), i)
				})
			}
			return b
		})
	}
	decode := func(raw []byte) (keys []kv.Key, allocated uint64) {
		t.Helper()
		r := Record{Name: Qualname(storage.CallTouch), args: raw, d: newDecoder()}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, err := r.Call()
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		return c.Keys, after.TotalAlloc - before.TotalAlloc
	}
	raw := args(true)
	kept := bytes.Clone(raw)
	want, usual := decode(args(false))
	got, other := decode(raw)
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b kv.Key) bool { return a == b })); diff != "" || len(want) != n {
		t.Errorf("%d keys (-want +got):\n%s", len(want), diff)
	}
	if !bytes.Equal(raw, kept) {
		t.Error("the record has changed")
	}
	if most := usual + 8*uint64(len(raw)); other > most {
		t.Errorf("%d bytes were allocated for a record of %d, %d for one in the usual order", other, len(raw), usual)
	}
}
