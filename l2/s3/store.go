package s3

import (
	"context"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// MaxObject is the largest object that one PUT takes, in bytes.
const MaxObject = 5 << 30

// Store implements [l2.Adapter].
func (a *Adapter) Store(ctx context.Context, items []l2.Item) error {
	return a.each(ctx, len(items), 1, func(ctx context.Context, i int) (lost error) {
		it := &items[i]
		it.N, it.Err = 0, nil
		if !a.nameable(it.Key) {
			it.Err = errName
			return nil
		}
		size := int64(len(it.Head) + len(it.Data))
		if size > MaxObject {
			it.Err = fmt.Errorf("s3: %w: %d bytes, the limit is %d", l2.ErrTooLarge, size, int64(MaxObject))
			return nil
		}
		there, known := a.seen.get(it.Key)
		if known && there == size {
			return nil
		}
		err := a.put(ctx, it, !known && !a.plain.Load())
		if status(err) == http.StatusNotImplemented && !known { // of a service without conditions
			if err = a.put(ctx, it, false); err == nil {
				a.plain.Store(true)
			}
		}
		if status(err) == http.StatusPreconditionFailed {
			there, err = a.stat(ctx, it.Key)
			if err == nil && there == size {
				a.seen.put(it.Key, size)
				return nil
			}
			if err == nil || status(err) == http.StatusNotFound { // of another size, or gone meanwhile
				err = a.put(ctx, it, false)
			}
		}
		if err != nil {
			it.Err, lost = outcome(ctx, err)
			return lost
		}
		it.N = int64(len(it.Data))
		a.seen.put(it.Key, size)
		return nil
	})
}

// put writes an object, only if nothing is there or in any case.
func (a *Adapter) put(ctx context.Context, it *l2.Item, onlyNew bool) error {
	b := &body{parts: [2][]byte{it.Head, it.Data}}
	o := minio.PutObjectOptions{
		DisableContentSha256: true, ContentType: "application/octet-stream",
		UserMetadata: map[string]string{"x-amz-checksum-crc32c": b.checksum()}, // so that half an upload is none
	}
	if onlyNew {
		o.SetMatchETagExcept("*")
	}
	defer b.detach()
	_, err := a.c.PutObject(ctx, a.bucket, a.name(it.Key), b, b.size(), "", "", o)
	return err
}

// stat is the size of an object.
func (a *Adapter) stat(ctx context.Context, k kv.Key) (int64, error) {
	info, err := a.c.StatObject(ctx, a.bucket, a.name(k), minio.StatObjectOptions{})
	return info.Size, err
}
