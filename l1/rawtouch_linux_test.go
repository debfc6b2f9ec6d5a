package l1_test

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// rawTouch is what BenchmarkPrefault is compared with: a new mapping, private or of
// a new file in shared memory, advised to have huge pages, of which as many
// goroutines as there are cores each touch every page of an equal part. It shares
// no code with the package.
func rawTouch(b *testing.B, size int, shared bool) time.Duration {
	b.Helper()
	began := time.Now()
	fd, flags := -1, syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE
	if shared {
		f, err := os.CreateTemp("/dev/shm", "rawtouch")
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		if err := errors.Join(os.Remove(f.Name()), f.Truncate(int64(size))); err != nil {
			b.Fatal(err)
		}
		fd, flags = int(f.Fd()), syscall.MAP_SHARED
	}
	mem, err := syscall.Mmap(fd, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, flags)
	if err != nil {
		b.Fatal(err)
	}
	if err := syscall.Madvise(mem, 14); err != nil { // MADV_HUGEPAGE
		b.Logf("no huge pages: %v", err)
	}
	var all sync.WaitGroup
	n := runtime.GOMAXPROCS(0)
	for i := range n {
		all.Go(func() {
			part := mem[size/n*i : size/n*(i+1)]
			for off := 0; off < len(part); off += 4096 {
				part[off] = 1
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	if err := syscall.Munmap(mem); err != nil {
		b.Fatal(err)
	}
	return took
}
