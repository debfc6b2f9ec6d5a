package storage_test

import (
	"context"
	"io/fs"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l2"
	l2fs "github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Objects on disk outlive the manager: the next one counts them, finds them and
// evicts the oldest of them.
func TestREQ_S53_TierOfFilesAfterRestart(t *testing.T) {
	leak.Check(t)
	dir := t.TempDir()
	layout, err := kv.RawLayout(3*objectBytes + 100) // with padding
	if err != nil {
		t.Fatal(err)
	}
	open := func() *world {
		store, err := l2fs.Open(t.Context(), l2fs.Options{BasePath: dir, DirectIO: true, MinFree: -1, MaxBytes: 8 * 5 * objectBytes})
		if err != nil {
			t.Fatal(err)
		}
		o := storage.Options{L1: l1Bytes(64), Tiers: []storage.Tier{{
			Name: "fs", Adapter: store, Settings: l2.Settings{Workers: 2, PerOpWorkers: 2, Capacity: 8 * 5 * objectBytes},
		}}}
		w := &world{t: t, layout: layout}
		if w.m, err = storage.Open(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		return w
	}
	onDisk := func() (n int64) {
		err := filepath.WalkDir(filepath.Join(dir, "v1"), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				info, err := d.Info()
				if err != nil {
					return err
				}
				n += info.Size()
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	shut := func(w *world) {
		if err := w.m.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	w := open()
	w.put("abcdef")
	w.flush()
	if s := w.m.Stats().Tiers[0]; s.UsedBytes != onDisk() || s.Objects != 6 {
		t.Errorf("%d objects of %d bytes, on disk there are %d", s.Objects, s.UsedBytes, onDisk())
	}
	shut(w)

	w = open()
	for !w.m.Stats().Tiers[0].ScanComplete {
		runtime.Gosched()
	}
	p := w.prefetch("abcdef", storage.PrefetchOptions{})
	if r := w.wait(p); r.Prefix != 6 || r.L1 != 0 {
		t.Errorf("after the restart: %+v", r)
	}
	w.read(p, 6).Finish()
	p.Release()
	w.put("uvwxyz")
	w.flush()
	s := w.m.Stats().Tiers[0]
	if !s.ScanComplete || s.UsedBytes != onDisk() || s.UsedBytes > s.CapacityBytes || s.Objects != 8 {
		t.Errorf("scanned %v; %d objects of %d bytes of %d, on disk there are %d", s.ScanComplete, s.Objects, s.UsedBytes, s.CapacityBytes, onDisk())
	}
	shut(w)
}
