package fs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/lmcache-go/lmcache/l2"
)

// Load reads objects. See [l2.Adapter].
func (s *Store) Load(ctx context.Context, items []l2.Item) error {
	return s.each(ctx, items, func(it *l2.Item) (int64, error) { return s.read(ctx, it) })
}

func (s *Store) read(ctx context.Context, it *l2.Item) (int64, error) {
	_, path, err := s.place(it.Key)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", l2.ErrNotFound, err)
	}
	f, direct, err := s.open(path)
	if err != nil {
		if errors.Is(err, errNotExist) || errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.EMLINK) {
			s.index.drop(it.Key)
			return 0, l2.ErrNotFound
		}
		return 0, failed("open", path, err)
	}
	n, err := s.readFile(ctx, f, it, direct)
	_ = f.Close() // it was open for reading
	if err == nil || errors.Is(err, l2.ErrCorrupt) || errors.Is(err, l2.ErrNotFound) {
		return n, err
	}
	if e := s.stopped(ctx); e != nil && errors.Is(err, e) {
		return 0, err
	}
	return 0, failed("read", path, err)
}

// open opens a file for reading, around the page cache if that is possible.
func (s *Store) open(path string) (f File, direct bool, err error) {
	if s.direct != nil {
		f, err := s.sys.Open(path, Mode{Direct: true})
		if err == nil {
			return f, true, nil
		}
		if !unsupported(err) {
			return nil, false, err
		}
		s.fallback("open: " + bare(err).Error())
	}
	f, err = s.sys.Open(path, Mode{})
	return f, false, err
}

// readFile reads one object whose file is open.
func (s *Store) readFile(ctx context.Context, f File, it *l2.Item, direct bool) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Regular {
		s.index.drop(it.Key)
		return 0, l2.ErrNotFound
	}
	head, size := int64(len(it.Head)), int64(len(it.Data))
	if most := padded(head + size); info.Size > most || s.o.Raw && info.Size > size && info.Size < most {
		return 0, fmt.Errorf("%w: a file of %d bytes, where %d fit", l2.ErrCorrupt, info.Size, s.format.StoredSize(len(it.Head), size))
	}
	if info.Size < head {
		return 0, fmt.Errorf("%w: a file of %d bytes, shorter than its header", l2.ErrCorrupt, info.Size)
	}
	direct = s.stayDirect(f, it, info.Size, direct)
	got, err := s.readInto(ctx, f, it, info.Size, direct)
	if err != nil {
		return 0, err
	}
	if got < head {
		return 0, fmt.Errorf("%w: %d bytes, shorter than its header", l2.ErrCorrupt, got)
	}
	n, err := payload(it, got)
	if err == nil {
		s.index.put(it.Key, info.Size)
	}
	return n, err
}

// stayDirect ends direct I/O on a file that does not fit it.
func (s *Store) stayDirect(f File, it *l2.Item, size int64, direct bool) bool {
	if !direct || s.fits(it.Head, it.Data, size) {
		return direct
	}
	s.fallback(whyNot(size))
	if err := f.Buffered(); err != nil {
		s.fallback("fcntl: " + bare(err).Error())
	}
	return false
}

// readInto reads size bytes, or as many as there are, and returns their number. What
// of them is padding is not kept.
func (s *Store) readInto(ctx context.Context, f File, it *l2.Item, size int64, direct bool) (int64, error) {
	head := it.Head
	data := it.Data[:min(size-int64(len(head)), int64(len(it.Data)))]
	lead := s.o.ReadAhead
	if direct {
		lead = 0
		data = it.Data[:size-int64(len(it.Head))]
		if len(head) > 0 {
			head = s.direct.take()
			defer s.direct.give(head)
		}
	}
	bufs := make([][]byte, 0, 2)
	for _, b := range [][]byte{head, data} {
		if len(b) > 0 {
			bufs = append(bufs, b)
		}
	}
	n, err := move(f.ReadAt, bufs, lead, func() error { return s.stopped(ctx) }, s.buffered(f, &direct))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // the file has become shorter meanwhile
	}
	if len(head) > 0 && &head[0] != &it.Head[0] {
		copy(it.Head, head)
	}
	if len(data) > len(it.Data) {
		clear(data[len(it.Data):])
	}
	return n, err
}

// payload is how many of the got bytes of a file are payload, and an error if the
// header says that there are more than fit. A header that is none is not judged
// here: the reader verifies all of it.
func payload(it *l2.Item, got int64) (int64, error) {
	n := min(got-int64(len(it.Head)), int64(len(it.Data)))
	if !isHeader(it.Head) {
		return n, nil
	}
	want := binary.LittleEndian.Uint64(it.Head[16:])
	if want > uint64(len(it.Data)) {
		return 0, fmt.Errorf("%w: a payload of %d bytes, where %d fit", l2.ErrCorrupt, want, len(it.Data))
	}
	return min(n, int64(want)), nil
}

func isHeader(head []byte) bool {
	n, err := l2.HeadLenOf(head)
	return err == nil && n == len(head)
}
