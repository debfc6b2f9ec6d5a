//go:build linux

package fs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/storage/kv"
)

func BenchmarkContract(b *testing.B) {
	l2test.Benchmark(b, opener(fs.Options{}))
}

// rig is a store with a batch of objects for each of several workers, and one file
// beside it that a program without a cache would use.
type rig struct {
	b       *testing.B
	s       *fs.Store
	size    int
	batches [][]l2.Item
	keys    []kv.Key
	raw     int // descriptor of the file
	dir     string
}

// newRig makes room for n objects per worker. Memory is aligned, as that of L1 is.
func newRig(b *testing.B, o fs.Options, size, workers, n int) *rig {
	b.Helper()
	o.BasePath = b.TempDir()
	x := &rig{b: b, s: open(b, o), size: size, dir: b.TempDir()}
	b.Cleanup(func() {
		if err := x.s.Close(); err != nil {
			b.Error(err)
		}
	})
	if d := x.s.Describe(); o.DirectIO && d["direct_io"] != "on" {
		b.Skipf("no direct I/O here: %v", d["direct_io_reason"])
	}
	mem := x.memory(workers * n * size)
	for w := range workers {
		var items []l2.Item
		for i := range n {
			k := key("bench", w*n+i)
			at := (w*n + i) * size
			it := l2.Item{Key: k, Data: mem[at : at+size : at+size], Head: make([]byte, x.s.Format().HeadLen(k, ""))}
			copy(it.Data, payload(k, 4096))
			items = append(items, it)
			x.keys = append(x.keys, k)
		}
		x.batches = append(x.batches, items)
	}
	flags := unix.O_RDWR | unix.O_CREAT | unix.O_CLOEXEC
	if o.DirectIO {
		flags |= unix.O_DIRECT
	}
	var err error
	if x.raw, err = unix.Open(filepath.Join(x.dir, "raw"), flags, 0o600); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = unix.Close(x.raw) })
	return x
}

func (x *rig) memory(n int) []byte {
	x.b.Helper()
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		x.b.Fatal(err)
	}
	x.b.Cleanup(func() { _ = unix.Munmap(mem) })
	return mem
}

// all runs f for every worker at the same time and returns how long that took.
func (x *rig) all(f func(w int, items []l2.Item) error) time.Duration {
	x.b.Helper()
	var wg sync.WaitGroup
	begin := time.Now()
	for w, items := range x.batches {
		wg.Go(func() {
			if err := f(w, items); err != nil {
				x.b.Error(err)
			}
		})
	}
	wg.Wait()
	return time.Since(begin)
}

// rawMove reads or writes the same bytes in one file that exists.
func (x *rig) rawMove(move func(int, []byte, int64) (int, error)) time.Duration {
	return x.all(func(w int, items []l2.Item) error {
		for i, it := range items {
			if n, err := move(x.raw, it.Data, int64((w*len(items)+i)*x.size)); err != nil || n != x.size {
				return fmt.Errorf("raw: %d bytes, %w", n, err)
			}
		}
		return nil
	})
}

// newFiles writes the same bytes into a new file each, without any care.
func (x *rig) newFiles(flags int) time.Duration {
	took := x.all(func(w int, items []l2.Item) error {
		for i, it := range items {
			fd, err := unix.Open(fmt.Sprintf("%s/%d-%d", x.dir, w, i), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|flags, 0o600)
			if err != nil {
				return err
			}
			if n, err := unix.Pwrite(fd, it.Data, 0); err != nil || n != x.size {
				return fmt.Errorf("raw: %d bytes, %w", n, err)
			}
			if err := unix.Close(fd); err != nil {
				return err
			}
		}
		return nil
	})
	for w, items := range x.batches {
		for i := range items {
			if err := os.Remove(fmt.Sprintf("%s/%d-%d", x.dir, w, i)); err != nil {
				x.b.Error(err)
			}
		}
	}
	x.settle()
	return took
}

// store stores all objects, headers and checksums included.
func (x *rig) store() time.Duration {
	c := x.s.Format().Checksum
	return x.all(func(_ int, items []l2.Item) error {
		for i := range items {
			it := &items[i]
			h := l2.Header{Key: it.Key, Checksum: c, Sum: c.Sum(it.Data), Payload: int64(len(it.Data)), Created: time.Now()}
			if err := h.Put(it.Head); err != nil {
				return err
			}
		}
		return x.done(items, x.s.Store(x.b.Context(), items))
	})
}

// load loads all objects and verifies them.
func (x *rig) load() time.Duration {
	return x.all(func(_ int, items []l2.Item) error {
		if err := x.done(items, x.s.Load(x.b.Context(), items)); err != nil {
			return err
		}
		for _, it := range items {
			h, err := l2.ParseHeader(it.Head)
			if err != nil {
				return err
			}
			if err := h.Verify(l2.Want{Key: it.Key, Size: int64(x.size)}, it.Data); err != nil {
				return err
			}
		}
		return nil
	})
}

func (x *rig) done(items []l2.Item, err error) error {
	for _, it := range items {
		if err == nil {
			err = it.Err
		}
		if err == nil && it.N != int64(x.size) {
			err = fmt.Errorf("%d bytes", it.N)
		}
	}
	return err
}

func (x *rig) remove() {
	x.b.Helper()
	if err := x.s.Delete(x.b.Context(), x.keys, make([]int64, len(x.keys))); err != nil {
		x.b.Fatal(err)
	}
	x.settle()
}

// settle waits until the file system has done what it puts off: a journal that is
// written and blocks that are discarded would be paid for by whoever comes next.
func (x *rig) settle() {
	x.b.Helper()
	if err := unix.Syncfs(x.raw); err != nil {
		x.b.Fatal(err)
	}
}

// report prints rates of medians, and the median of the ratios of pairs that follow
// each other.
func (x *rig) report(name string, own, raw []time.Duration, what string) {
	bytes := float64(len(x.keys) * x.size)
	ratios := make([]float64, len(own))
	for i := range own {
		ratios[i] = float64(raw[i]) / float64(own[i])
	}
	x.b.ReportMetric(bytes/float64(median(own)), name+"-GB/s")
	x.b.ReportMetric(bytes/float64(median(raw)), what+"-GB/s")
	x.b.ReportMetric(median(ratios)*100, name+"-%-of-"+what)
}

func median[T int | float64 | time.Duration](v []T) T {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// The bar: stores and loads with checksums at 90 % of a program that moves the same
// bytes in one file that exists, or into new files, with direct I/O.
func BenchmarkDirect(b *testing.B) {
	const size, total = 2 << 20, 64
	for _, workers := range []int{1, 4, 16} {
		rig := func(b *testing.B) *rig {
			return newRig(b, fs.Options{DirectIO: true}, size, workers, total/workers)
		}
		b.Run(fmt.Sprintf("Store/%dworkers", workers), func(b *testing.B) {
			x := rig(b)
			x.rawMove(unix.Pwrite)
			var own, raw, files []time.Duration
			for b.Loop() {
				own = append(own, x.store())
				x.remove()
				raw = append(raw, x.rawMove(unix.Pwrite))
				files = append(files, x.newFiles(unix.O_DIRECT))
			}
			x.report("store", own, raw, "raw")
			x.report("store", own, files, "new-files")
		})
		b.Run(fmt.Sprintf("Load/%dworkers", workers), func(b *testing.B) {
			x := rig(b)
			x.rawMove(unix.Pwrite)
			x.store()
			var own, raw []time.Duration
			for b.Loop() {
				own = append(own, x.load())
				raw = append(raw, x.rawMove(unix.Pread))
			}
			x.report("load", own, raw, "raw")
		})
	}
}

// The bar: 0.5 GB/s with objects of 64 KiB in the page cache.
func BenchmarkPageCache(b *testing.B) {
	for _, c := range []struct{ size, workers, n int }{{64 << 10, 1, 512}, {64 << 10, 16, 32}, {2 << 20, 16, 4}} {
		name := fmt.Sprintf("%dKiB/%dworkers", c.size>>10, c.workers)
		b.Run("Store/"+name, func(b *testing.B) {
			x := newRig(b, fs.Options{}, c.size, c.workers, c.n)
			x.rawMove(unix.Pwrite)
			var own, raw []time.Duration
			for b.Loop() {
				own = append(own, x.store())
				x.remove()
				raw = append(raw, x.newFiles(0))
			}
			x.report("store", own, raw, "new-files")
		})
		b.Run("Load/"+name, func(b *testing.B) {
			x := newRig(b, fs.Options{}, c.size, c.workers, c.n)
			x.rawMove(unix.Pwrite)
			x.store()
			var own, raw []time.Duration
			for b.Loop() {
				own = append(own, x.load())
				raw = append(raw, x.rawMove(unix.Pread))
			}
			x.report("load", own, raw, "raw")
		})
	}
}

// The bar: 100,000 objects are known in less than 2 s after a restart, and the index
// needs little memory for each.
func BenchmarkReady(b *testing.B) {
	const n = 100_000
	o := fs.Options{BasePath: b.TempDir()}
	s := open(b, o)
	made := map[string]bool{}
	for i := range n {
		path := fs.Path(s, key("meta/llama-3.1-70b", i))
		if dir := filepath.Dir(path); !made[dir] {
			made[dir] = true
			if err := os.MkdirAll(dir, 0o750); err != nil {
				b.Fatal(err)
			}
		}
		f, err := os.Create(path)
		if err == nil {
			err = f.Truncate(4096 + 2<<20)
		}
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		before := heap()
		s = open(b, o)
		found := 0
		for _, err := range s.Scan(b.Context()) {
			if err != nil {
				b.Fatal(err)
			}
			found++
		}
		if found != n {
			b.Fatalf("%d objects", found)
		}
		b.StopTimer()
		b.ReportMetric(float64(heap()-before)/n, "B/object")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A lookup of what is known, and of what only the file system can know.
func BenchmarkLookup(b *testing.B) {
	for _, stored := range []bool{true, false} {
		b.Run(fmt.Sprintf("Known=%v", stored), func(b *testing.B) {
			s := open(b, fs.Options{BasePath: b.TempDir()})
			keys := make([]kv.Key, 16)
			found := make([]l2.Found, len(keys))
			for i := range keys {
				keys[i] = key("m", i)
				if stored {
					mustStore(b, s, keys[i], 100)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Lookup(b.Context(), keys, found); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				b.Error(err)
			}
		})
	}
}
