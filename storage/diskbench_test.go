//go:build linux

package storage_test

import (
	"context"
	"fmt"
	iofs "io/fs"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	l2fs "github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Objects of the benchmarks of a disk, and how many move at a time.
const (
	diskObject  = 2 << 20
	diskWorkers = 16
)

// disk is a manager over a folder on a disk, which is used around the page cache.
// TMPDIR says where that is.
type disk struct {
	b      *testing.B
	m      *storage.Manager
	layout kv.Layout
	dir    string
	raw    string // a folder for files of programs without a cache
	mem    []byte // of those programs, one object for each worker
}

func newDisk(b *testing.B) *disk {
	b.Helper()
	d := &disk{b: b, layout: rawLayout(b, diskObject), dir: b.TempDir(), raw: b.TempDir()}
	store, err := l2fs.Open(b.Context(), l2fs.Options{BasePath: d.dir, DirectIO: true, MinFree: -1})
	if err != nil {
		b.Fatal(err)
	}
	if on := store.Describe(); on["direct_io"] != "on" {
		_ = store.Close()
		b.Skipf("no direct I/O here: %v", on["direct_io_reason"])
	}
	d.m, err = storage.Open(b.Context(), storage.Options{L1: l1.Options{Bytes: 128 * diskObject}, Tiers: []storage.Tier{{
		Name: "fs", Adapter: store, Settings: l2.Settings{Workers: diskWorkers, PerOpWorkers: diskWorkers, NoStartProbe: true},
	}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := d.m.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	if d.mem, err = unix.Mmap(-1, 0, diskWorkers*(diskObject+4096), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = unix.Munmap(d.mem) })
	for i := range d.mem {
		d.mem[i] = byte(i * 7)
	}
	return d
}

// put stores objects and waits until the disk has them.
func (d *disk) put(keys []kv.Key) (took time.Duration) {
	d.b.Helper()
	w, err := d.m.ReserveWrite(d.b.Context(), keys, d.layout, storage.New, storage.WriteOptions{})
	if err != nil {
		d.b.Fatal(err)
	}
	for i, buf := range w.All() {
		copy(buf, d.mem[:diskObject])
		buf[0] = byte(i)
	}
	began := time.Now()
	w.Finish()
	if err := d.m.Flush(d.b.Context()); err != nil {
		d.b.Fatal(err)
	}
	return time.Since(began)
}

// write is what a program without a cache does for one object.
func (d *disk) write(i int) (took time.Duration) {
	d.b.Helper()
	name := fmt.Sprintf("%s/%d", d.raw, i)
	began := time.Now()
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_DIRECT, 0o600)
	if err != nil {
		d.b.Fatal(err)
	}
	if n, err := unix.Pwrite(fd, d.mem[:diskObject+4096], 0); err != nil || n != diskObject+4096 {
		d.b.Fatalf("raw write: %d bytes, %v", n, err)
	}
	if err := unix.Close(fd); err != nil {
		d.b.Fatal(err)
	}
	took = time.Since(began)
	if err := unix.Unlink(name); err != nil {
		d.b.Fatal(err)
	}
	return took
}

// read reads whole files, as many at a time as the tier does.
func (d *disk) read(files []string) time.Duration {
	d.b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for g := range diskWorkers {
		buf := d.mem[g*(diskObject+4096):][:diskObject+4096]
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(files); i = next.Add(1) - 1 {
				fd, err := unix.Open(files[i], unix.O_RDONLY|unix.O_CLOEXEC|unix.O_DIRECT, 0)
				if err != nil {
					d.b.Error(err)
					return
				}
				if n, err := unix.Pread(fd, buf, 0); err != nil || n != len(buf) {
					d.b.Errorf("raw read: %d bytes, %v", n, err)
				}
				_ = unix.Close(fd)
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}

// BenchmarkFinishToDurable is the time from the end of a write of one object of 2 MiB
// until an idle tier of files has it, and that of a plain write of as many bytes to a
// new file, in turns. x_raw-p99 is how many times longer the 99th percentile is, and
// x_raw-p50 the median.
func BenchmarkFinishToDurable(b *testing.B) {
	d := newDisk(b)
	var raw, ours []time.Duration
	seq := uint64(0)
	var list []kv.Key
	for b.Loop() {
		seq++
		list = prompt(list, seq, 1)
		raw = append(raw, d.write(int(seq)))
		ours = append(ours, d.put(list))
		d.m.Delete(list, false)
		if _, err := d.m.DeleteL2(b.Context(), list, 0); err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(raw)
	slices.Sort(ours)
	for _, p := range []int{50, 99} {
		r, o := raw[len(raw)*p/100], ours[len(ours)*p/100]
		b.ReportMetric(float64(r.Microseconds()), fmt.Sprintf("raw-p%d-us", p))
		b.ReportMetric(float64(o.Microseconds()), fmt.Sprintf("durable-p%d-us", p))
		b.ReportMetric(float64(o)/float64(r), fmt.Sprintf("x_raw-p%d", p))
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPrefetchFromDisk is the time from the submission of 64 objects of 2 MiB, of
// which L1 has none, until all are there, and that of plain reads of the same files, in
// turns. x_raw is the speed beside theirs, the median of the turns.
func BenchmarkPrefetchFromDisk(b *testing.B) {
	d := newDisk(b)
	list := prompt(nil, 1, 64)
	d.put(list)
	var files []string
	err := filepath.WalkDir(filepath.Join(d.dir, "v1"), func(path string, e iofs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) != len(list) {
		b.Fatalf("%d files, %v", len(files), err)
	}
	bytes := float64(len(list) * diskObject)
	var raw, ours, ratio []float64
	for b.Loop() {
		d.m.Clear(false)
		r := d.read(files)
		began := time.Now()
		p, err := d.m.SubmitPrefetch(b.Context(), list, d.layout, storage.PrefetchOptions{})
		if err != nil {
			b.Fatal(err)
		}
		res, err := p.Wait(b.Context())
		o := time.Since(began)
		if err != nil || res.Prefix != len(list) || res.L1 != 0 {
			b.Fatalf("%+v, %v", res, err)
		}
		p.Release()
		raw, ours = append(raw, bytes/r.Seconds()), append(ours, bytes/o.Seconds())
		ratio = append(ratio, r.Seconds()/o.Seconds())
	}
	for _, x := range []struct {
		list []float64
		per  float64
		name string
	}{{raw, 1e9, "raw-GB/s"}, {ours, 1e9, "GB/s"}, {ratio, 1, "x_raw"}} {
		slices.Sort(x.list)
		b.ReportMetric(x.list[len(x.list)/2]/x.per, x.name)
	}
	b.ReportMetric(0, "ns/op")
}
