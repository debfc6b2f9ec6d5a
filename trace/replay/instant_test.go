package replay

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/internal/mooncake"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
	"github.com/lmcache-go/lmcache/trace/convert"
)

// converted is the recording of the first requests of the public trace: all calls of a
// request have one time. Its objects are small.
func converted(t *testing.T, o convert.Options) *trace.File {
	t.Helper()
	o.BytesPerToken = smallObject / convert.DefaultChunkTokens
	path := filepath.Join(t.TempDir(), "converted.lct")
	w, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := convert.FromRequests(w, mooncake.Builtin(), o); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := trace.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const smallObject = 4096

func write(t testing.TB, m *storage.Manager, keys []kv.Key) {
	t.Helper()
	l, err := m.ReserveWrite(context.Background(), keys, rawLayout(t), storage.New, storage.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l.Finish()
}

func lookUp(t testing.TB, m *storage.Manager, keys []kv.Key) {
	t.Helper()
	p, err := m.SubmitPrefetch(context.Background(), keys, rawLayout(t), storage.PrefetchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.Release()
}

// TestREQ_T24_OneDigestOfEqualTimes: calls of one instant are decided one after the other,
// each with its victims, whether or not somebody reads the lines, and as by a worker to whom
// times mean nothing.
func TestREQ_T24_OneDigestOfEqualTimes(t *testing.T) {
	removals, _ := recordFile(t, timeless(24), nil, trace.Options{}, func(m *storage.Manager, v *storage.Virtual) {
		for range 2 {
			for i := range 3 {
				write(t, m, promptOf(i, 8))
			}
			m.Delete(promptOf(1, 8)[:3], true)
			lookUp(t, m, promptOf(1, 8))
			m.Clear(false)
			lookUp(t, m, promptOf(2, 8))
			v.RunUntil(v.Now().Add(time.Second))
		}
	})
	small := timeless(0)
	small.L1.Bytes = 300 * smallObject
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for name, c := range map[string]struct {
		f  *trace.File
		so storage.Options
	}{
		"converted":             {converted(t, convert.Options{Limit: 120}), small},
		"converted, with reads": {converted(t, convert.Options{Limit: 120, Reads: true}), small},
		"converted, plain":      {converted(t, convert.Options{Limit: 120, Reads: true, Format: trace.Plain}), small},
		"delete and clear":      {removals, timeless(24)},
		"delete, clear, evict":  {removals, timeless(10)},
	} {
		want := fast(t, c.f, c.so)
		if want.Digest == "" || len(want.Victims) == 0 || want.Requested == 0 {
			t.Fatalf("%s: it proves little: %+v", name, want)
		}
		for _, n := range []int{1, 2, 8} {
			runtime.GOMAXPROCS(n)
			if diff := cmp.Diff(want, virtually(t, c.f, c.so, nil)); diff != "" {
				t.Errorf("%s: virtual, GOMAXPROCS %d (-fast +virtual):\n%.2000s", name, n, diff)
			}
			alone := decidedBy(replayed(t, readTape(t, c.f), VirtualOptions{Storage: c.so}), want.Victims) // which are not told
			if diff := cmp.Diff(want, alone); diff != "" {
				t.Errorf("%s: virtual, without lines, GOMAXPROCS %d (-fast +virtual):\n%.2000s", name, n, diff)
			}
			if diff := cmp.Diff(want, fast(t, c.f, c.so)); diff != "" {
				t.Errorf("%s: fast, GOMAXPROCS %d (-want +got):\n%.2000s", name, n, diff)
			}
		}
	}
}

// promptOf is the first chunks of one of some prompts.
func promptOf(prompt, chunks int) []kv.Key {
	keys := make([]kv.Key, chunks)
	for i := range keys {
		keys[i] = kv.Key{Hash: kv.Hash32([32]byte{byte(prompt + 1), byte(i)}), Model: "m", Rank: 0x01000100}
	}
	return keys
}

// What was evicted by an earlier call of the same instant is known to have been.
func TestEvictedInTheSameInstant(t *testing.T) {
	f, _ := recordFile(t, timeless(24), nil, trace.Options{}, func(m *storage.Manager, v *storage.Virtual) {
		v.RunUntil(v.Now().Add(2 * time.Second))
		write(t, m, promptOf(0, 4))
		write(t, m, promptOf(1, 4))
		lookUp(t, m, promptOf(0, 4))
	})
	r := replayed(t, readTape(t, f), VirtualOptions{Storage: timeless(4)})
	if r.First == nil || r.First.What != "l1_hits" || r.First.EvictedCause != "evict" || r.First.Evicted != 2 {
		t.Errorf("the first divergence is\n%v", r.First)
	}
}
