package l2bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fs"
)

// raw is a program that moves the same bytes in one file which is there already, with
// as many threads as the tier has slots, and takes no care of anything.
type raw struct {
	path    string
	f       fs.File // for reading
	w       fs.File // for writing
	stride  int64   // from one object to the next
	workers int
	direct  bool
}

// rawBlock is what offsets and lengths of direct I/O are multiples of.
const rawBlock = 4096

// newRaw makes the file and writes all of it once. Objects that are no multiple of a
// block, and file systems without direct I/O, go through the page cache.
func newRaw(ctx context.Context, o *Options, workers int) (*raw, error) {
	stride := (o.Bytes + rawBlock - 1) / rawBlock * rawBlock
	f, err := os.CreateTemp(o.RawDir, ".lmcache-bench-*")
	if err != nil {
		return nil, fmt.Errorf("l2bench: plain file: %w", err)
	}
	r := &raw{path: f.Name(), stride: stride, workers: workers}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("l2bench: plain file: %w", err)
	}
	for _, r.direct = range []bool{true, false} {
		if r.direct && (o.Bytes != stride || o.room()%rawBlock != 0) {
			continue
		}
		if err = r.open(); err == nil {
			err = r.fill(ctx, int64(o.Keys)*int64(o.InFlight))
		}
		if err == nil || ctx.Err() != nil {
			break
		}
		err = errors.Join(err, r.close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("l2bench: plain file in %s: %w", filepath.Dir(r.path), err), r.close())
	}
	return r, nil
}

// open opens the file anew.
func (r *raw) open() (err error) {
	if err := os.Remove(r.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	sys := fs.OS()
	if r.w, err = sys.Open(r.path, fs.Mode{Create: true, Direct: r.direct}); err != nil {
		return err
	}
	r.f, err = sys.Open(r.path, fs.Mode{Direct: r.direct})
	return err
}

// fill writes the whole file once, so that its blocks are there.
func (r *raw) fill(ctx context.Context, objects int64) error {
	mem, err := memory(r.stride, false)
	if err != nil {
		return err
	}
	defer release(mem)
	for i := range objects {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := all(r.w.WriteAt, mem, i*r.stride); err != nil {
			return err
		}
	}
	return nil
}

// round writes or reads all items and returns how long it took.
func (r *raw) round(_ context.Context, write bool, items []l2.Item) (time.Duration, error) {
	move := r.f.ReadAt
	if write {
		move = r.w.WriteAt
	}
	var wg sync.WaitGroup
	errs := make([]error, min(r.workers, len(items)))
	begin := time.Now()
	for w := range errs {
		wg.Go(func() {
			for i := w; i < len(items) && errs[w] == nil; i += len(errs) {
				errs[w] = all(move, items[i].Data, int64(i)*r.stride)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, fmt.Errorf("l2bench: plain file: %w", err)
	}
	return time.Since(begin), nil
}

// all moves the whole of b.
func all(move func([][]byte, int64) (int, error), b []byte, offset int64) error {
	for len(b) > 0 {
		n, err := move([][]byte{b}, offset)
		if err != nil {
			return err
		}
		if n == 0 {
			return errors.New("the file is too short")
		}
		b, offset = b[n:], offset+int64(n)
	}
	return nil
}

// forget implements beside: the file is written over.
func (r *raw) forget(context.Context) {}

// close removes the file.
func (r *raw) close() error {
	var errs []error
	for _, f := range []fs.File{r.f, r.w} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	r.f, r.w = nil, nil
	if err := os.Remove(r.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
