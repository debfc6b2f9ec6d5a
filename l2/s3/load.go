package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Load implements [l2.Adapter].
func (a *Adapter) Load(ctx context.Context, items []l2.Item) error {
	return a.each(ctx, len(items), 1, func(ctx context.Context, i int) (lost error) {
		it := &items[i]
		it.N = 0
		if !a.nameable(it.Key) {
			it.Err = errName
			return nil
		}
		it.Err, lost = a.load(ctx, it)
		if it.Err != nil {
			a.seen.forget(it.Key)
		}
		return lost
	})
}

func (a *Adapter) load(ctx context.Context, it *l2.Item) (key, lost error) {
	r, info, _, err := a.c.GetObject(ctx, a.bucket, a.name(it.Key), minio.GetObjectOptions{})
	if err != nil {
		return outcome(ctx, err)
	}
	defer func() { _ = r.Close() }()
	head, room := int64(len(it.Head)), int64(len(it.Head)+len(it.Data))
	switch {
	case info.Size > room:
		return fmt.Errorf("s3: %w: %d bytes, there is room for %d", l2.ErrCorrupt, info.Size, room), nil
	case info.Size < head || info.Size == 0:
		return fmt.Errorf("s3: %w: %d bytes, the header alone has %d", l2.ErrCorrupt, info.Size, head), nil
	}
	for _, to := range [][]byte{it.Head, it.Data[:info.Size-head]} {
		if _, err := io.ReadFull(r, to); err != nil {
			return broken(ctx, err)
		}
	}
	var one [1]byte
	if n, _ := r.Read(one[:]); n > 0 {
		return fmt.Errorf("s3: %w: more than the %d bytes that were announced", l2.ErrCorrupt, info.Size), nil
	}
	it.N = info.Size - head
	a.seen.put(it.Key, info.Size)
	return nil, nil
}

// Lookup implements [l2.Adapter].
func (a *Adapter) Lookup(ctx context.Context, keys []kv.Key, found []l2.Found) error {
	clear(found)
	return a.each(ctx, len(keys), a.o.Parallel, func(ctx context.Context, i int) error {
		if !a.nameable(keys[i]) {
			return nil
		}
		size, ok := a.seen.get(keys[i])
		if !ok {
			var err error
			if size, err = a.stat(ctx, keys[i]); err != nil {
				key, lost := outcome(ctx, err)
				switch {
				case errors.Is(key, l2.ErrNotFound):
					return lost
				case status(err) == http.StatusForbidden:
					key = fmt.Errorf("%w (that an object is not there is told only with the permission s3:ListBucket)", key)
				}
				found[i].Err = key
				return lost
			}
			if size == 0 {
				return nil // a placeholder of somebody
			}
			a.seen.put(keys[i], size)
		}
		found[i] = l2.Found{OK: true, Size: size}
		return nil
	})
}

// Delete implements [l2.Adapter]. The service does not say what there was.
func (a *Adapter) Delete(ctx context.Context, keys []kv.Key, freed []int64) error {
	return a.each(ctx, len(keys), a.o.Parallel, func(ctx context.Context, i int) error {
		freed[i] = 0
		if !a.nameable(keys[i]) {
			return nil
		}
		freed[i], _ = a.seen.get(keys[i])
		a.seen.forget(keys[i])
		defer a.seen.forget(keys[i]) // a lookup may have seen it meanwhile
		err := a.c.RemoveObject(ctx, a.bucket, a.name(keys[i]), minio.RemoveObjectOptions{})
		if err == nil || status(err) == http.StatusNotFound {
			return nil
		}
		freed[i] = -1
		_, lost := outcome(ctx, err)
		return lost
	})
}
