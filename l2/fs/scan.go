package fs

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// scanners read folders at the same time: on a disk that has to seek they wait, and
// the two that do not are enough for the processor.
const (
	scanners  = 8
	scanBatch = 256
)

// Scan yields all objects in any order and fills the index. A folder that cannot be
// read ends it with an error; a single file that cannot be read is left out and
// counted. With NoRecover it yields nothing.
func (s *Store) Scan(ctx context.Context) iter.Seq2[l2.Entry, error] {
	return func(yield func(l2.Entry, error) bool) {
		if err := s.gate.Enter(); err != nil {
			yield(l2.Entry{}, err)
			return
		}
		defer s.gate.Leave()
		if s.o.NoRecover {
			return
		}
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		batches := s.scanAll(ctx, cancel)
		defer func() {
			cancel(nil)
			for range batches {
				continue // until all readers have seen that nobody wants more
			}
		}()
		for batch := range batches {
			for _, e := range batch {
				if !yield(e, nil) {
					return
				}
			}
		}
		if err := context.Cause(ctx); err != nil {
			yield(l2.Entry{}, err)
		}
	}
}

// scanAll reads all folders; the channel is closed when all readers have returned.
func (s *Store) scanAll(ctx context.Context, cancel context.CancelCauseFunc) <-chan []l2.Entry {
	folders := make(chan int, fanOut)
	n := fanOut
	if s.o.Raw {
		n = 1
	}
	for i := range n {
		folders <- i
	}
	close(folders)
	batches := make(chan []l2.Entry, scanners)
	var readers sync.WaitGroup
	for range min(scanners, n) {
		readers.Go(func() {
			for i := range folders {
				if err := s.scanFolder(ctx, i, batches); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	s.background.Go(func() {
		readers.Wait()
		close(batches)
	})
	return batches
}

// scanFolder sends the objects of one folder.
func (s *Store) scanFolder(ctx context.Context, i int, to chan<- []l2.Entry) error {
	dir, sub := s.folder(i)
	var batch []l2.Entry
	send := func() error {
		if len(batch) == 0 {
			return s.stopped(ctx)
		}
		select {
		case to <- batch:
			batch = nil
			return s.stopped(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var stopped error
	err := s.sys.ReadDir(dir, func(name string, regular bool) bool {
		if e, ok := s.entry(dir, sub, name, regular); ok {
			s.index.put(e.Key, e.Size)
			if batch = append(batch, e); len(batch) == scanBatch {
				stopped = send()
			}
		}
		return stopped == nil
	})
	if stopped != nil {
		return stopped
	}
	if err != nil && !errors.Is(err, errNotExist) {
		return failed("read", dir, err)
	}
	return send()
}

// folder is the path of the folder i, and its name if the format has several.
func (s *Store) folder(i int) (dir, sub string) {
	if s.o.Raw {
		return s.base, ""
	}
	dir = s.fanOut(i)
	return dir, dir[len(dir)-2:]
}

// entry describes a file, if it is an object.
func (s *Store) entry(dir, sub, name string, regular bool) (l2.Entry, bool) {
	if !regular {
		return l2.Entry{}, false
	}
	var key kv.Key
	var hashed bool
	var err error
	if s.o.Raw {
		key, err = parseRaw(name)
	} else {
		key, hashed, err = parseV1(sub, name)
	}
	if err != nil {
		return l2.Entry{}, false
	}
	path := dir + "/" + name
	info, err := s.sys.Stat(path)
	if err == nil && !s.object(info) {
		return l2.Entry{}, false
	}
	if err == nil && hashed {
		key, err = s.keyInFile(path, name)
	}
	if err != nil {
		if !errors.Is(err, errNotExist) { // not one that has just been deleted
			s.counts.skipped.Add(1)
		}
		return l2.Entry{}, false
	}
	return l2.Entry{Key: key, Size: info.Size, Used: info.ModTime}, true
}

// keyInFile reads the key of a file whose name does not tell it.
func (s *Store) keyInFile(path, name string) (kv.Key, error) {
	f, err := s.sys.Open(path, Mode{})
	if err != nil {
		return kv.Key{}, err
	}
	head := make([]byte, align)
	n, err := move(f.ReadAt, [][]byte{head}, 0, func() error { return nil }, func(error) bool { return false })
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil && n < align {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return kv.Key{}, err
	}
	h, err := l2.ParseHeader(head)
	if err != nil {
		return kv.Key{}, err
	}
	if _, own, err := v1Name(h.Key); err != nil || own != name {
		return kv.Key{}, kv.ErrNotKey
	}
	return h.Key, nil
}
