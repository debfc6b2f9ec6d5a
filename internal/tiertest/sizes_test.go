package tiertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/servertest"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	l2fs "github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/l2/resp"
	"github.com/lmcache-go/lmcache/l2/s3"
	"github.com/lmcache-go/lmcache/l2/zstd"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// sizeCase is one way to keep objects.
type sizeCase struct {
	name  string
	open  func(t *testing.T) l2.Adapter
	serde bool
	align int
}

// Objects of all sizes and layouts come back as they were, byte by byte, from every
// store, in every format, with and without direct I/O and a serde, whatever the
// alignment of L1 is.
//
//nolint:tparallel // the cases are parallel to each other; leak.Check wants the test alone
func TestSizesThroughTiers(t *testing.T) {
	leak.Check(t)
	files := func(o l2fs.Options) func(*testing.T) l2.Adapter {
		return func(t *testing.T) l2.Adapter {
			o.BasePath, o.MinFree = t.TempDir(), -1
			return must(t)(l2fs.Open(t.Context(), o))
		}
	}
	stores := []sizeCase{
		{name: "mem", open: func(t *testing.T) l2.Adapter { return must(t)(mem.Open(mem.Options{Capacity: 1 << 30})) }},
		{name: "mem raw", open: func(t *testing.T) l2.Adapter {
			return must(t)(mem.Open(mem.Options{Capacity: 1 << 30, Format: l2.Format{Raw: true}}))
		}},
		{name: "fs", open: files(l2fs.Options{})},
		{name: "fs direct", open: files(l2fs.Options{DirectIO: true})},
		{name: "fs read-ahead", open: files(l2fs.Options{ReadAhead: 4096, TempDir: "tmp", Sync: l2fs.SyncFile})},
		{name: "fs raw", open: files(l2fs.Options{Raw: true})},
		{name: "fs raw direct", open: files(l2fs.Options{Raw: true, DirectIO: true})},
	}
	if _, err := exec.LookPath("redis-server"); err == nil {
		addr := servertest.Redis(t).Addr
		stores = append(stores, sizeCase{name: onRedis, open: func(t *testing.T) l2.Adapter {
			return must(t)(resp.Open(resp.Options{Addrs: []string{addr}, Prefix: "v1"}))
		}}, sizeCase{name: "resp raw", open: func(t *testing.T) l2.Adapter {
			return must(t)(resp.Open(resp.Options{Addrs: []string{addr}, Prefix: "raw", Format: l2.Format{Raw: true}}))
		}})
	}
	if _, err := exec.LookPath("versitygw"); err == nil {
		o := s3Options(servertest.S3(t, "").Addr)
		o.RequestTimeout = 20 * time.Second // nothing is to fail
		stores = append(stores, sizeCase{name: onS3, open: func(t *testing.T) l2.Adapter { return must(t)(s3.Open(o)) }})
	}
	const seed = 14
	n := uint64(0)
	for _, c := range stores {
		for _, c.serde = range []bool{false, true} {
			for _, c.align = range []int{64, 4096} {
				if testing.Short() && c.serde == (c.align == 64) {
					continue
				}
				c, rng := c, rand.New(rand.NewPCG(seed, n))
				n++
				t.Run(fmt.Sprintf("%s, serde %v, align %d", c.name, c.serde, c.align), func(t *testing.T) {
					t.Parallel()
					c.run(t, rng)
				})
			}
		}
	}
}

func must(t *testing.T) func(a l2.Adapter, err error) l2.Adapter {
	return func(a l2.Adapter, err error) l2.Adapter {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
}

// sizes are those at which something may go wrong, and random ones.
func sizes(rng *rand.Rand) []int64 {
	list := []int64{1, 2, 7, 63, 64, 65, 511, 512, 513, 4095, 4096, 4097, 65535, 65536, 65537, 131072, 262143, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3<<20 + 5}
	for range 6 {
		list = append(list, 1+rng.Int64N(1<<(1+rng.IntN(21))))
	}
	return list
}

func (c *sizeCase) run(t *testing.T, rng *rand.Rand) {
	settings := l2.Settings{Workers: 3, PerOpWorkers: 2}
	if c.serde {
		s, err := zstd.New(zstd.Options{Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		settings.Serde, settings.SerdeWorkers = s, 2
	}
	m, err := storage.Open(t.Context(), storage.Options{
		L1: l1.Options{Bytes: 64 << 20, Align: c.align}, Tiers: []storage.Tier{{Name: c.name, Adapter: c.open(t), Settings: settings}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	var layouts []kv.Layout
	for _, n := range sizes(rng) {
		layouts = append(layouts, rawLayout(t, n))
		if n > 64 && rng.IntN(2) == 0 {
			layouts = append(layouts, newLayout(t, n/8, one(rng, kv.BFloat16, kv.Float16, kv.Float32), one(rng, kv.Uint8, kv.Float32, kv.Float8E4M3FN)))
		}
	}
	keysOf := func(i int) []kv.Key {
		var keys []kv.Key
		for n := range uint64(4) { // of all kinds of content
			keys = append(keys, numbered(fmt.Sprintf("m%v%d", c.serde, c.align), "", uint64(i)*4+n))
		}
		return keys
	}
	for i, l := range layouts {
		w, err := m.ReserveWrite(t.Context(), keysOf(i), l, storage.New, storage.WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for n, b := range w.All() {
			fill(b, keysOf(i)[n], l)
		}
		if r := w.Finish(); len(r.Finished) != 4 {
			t.Fatalf("%d of 4 objects of %d bytes were written", len(r.Finished), l.Size())
		}
		if err := m.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.Clear(true)
	}
	var scratch []byte
	for i, l := range layouts {
		p, err := m.SubmitPrefetch(t.Context(), keysOf(i), l, storage.PrefetchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Wait(t.Context())
		if err != nil || r.Prefix != 4 || r.L1 != 0 {
			t.Fatalf("objects of %d bytes: %+v, %v, %v", l.Size(), r, err, m.Stats().Tiers[0].FailuresByReason)
		}
		read, err := p.Read(t.Context(), storage.Select{Hi: 4})
		if err != nil {
			t.Fatal(err)
		}
		for n, b := range read.All() {
			if d := differs(b, keysOf(i)[n], l, &scratch); d != "" {
				t.Error(d)
			}
		}
		read.Finish()
		p.Release()
		m.Clear(true)
	}
	if st := m.Stats().Tiers[0]; st.Corrupt != 0 || len(st.FailuresByReason) != 0 {
		t.Errorf("%d damaged, failures %v", st.Corrupt, st.FailuresByReason)
	}
}
