package s3

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/lmcache-go/lmcache/l2"
)

// maxPage is the most objects that a service lists at a time.
const maxPage = 1000

// List implements [l2.Lister]. The cursor is the last name of the page before.
func (a *Adapter) List(ctx context.Context, q l2.ListQuery) (l2.Page, error) {
	if err := a.enter(ctx); err != nil {
		return l2.Page{}, err
	}
	defer a.gate.Leave()
	if q.Cursor != "" {
		if _, err := a.o.Format.ParseRemoteName(q.Cursor); err != nil {
			return l2.Page{}, fmt.Errorf("s3: list: cursor %q: %w", q.Cursor, l2.ErrCursor)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, a.o.RequestTimeout)
	defer cancel() // ends the listing
	size := min(max(q.PageSize, 1), maxPage)
	var page l2.Page
	for o := range a.c.ListObjectsIter(ctx, a.bucket, minio.ListObjectsOptions{
		Prefix: a.prefix(q.Model), Recursive: true, StartAfter: q.Cursor, MaxKeys: maxPage,
	}) {
		if o.Err != nil {
			_, err := cause(ctx, o.Err)
			return l2.Page{}, err
		}
		k, err := a.o.Format.ParseRemoteName(o.Key)
		if err != nil || o.Size == 0 || (q.Model != "" && k.Model != q.Model) {
			continue // somebody else's
		}
		if len(page.Entries) == size {
			page.Next = a.name(page.Entries[size-1].Key)
			return page, nil
		}
		page.Entries = append(page.Entries, l2.Entry{Key: k, Size: o.Size, Used: o.LastModified})
	}
	return page, nil
}

func (a *Adapter) prefix(model string) string {
	p := a.o.Format.ModelPrefix(model)
	if model == "" {
		p = strings.TrimSuffix(p, "@")
	}
	return p
}

// Scan implements [l2.Scanner]. When an object was used is when it was written: the
// service knows no more.
func (a *Adapter) Scan(ctx context.Context) iter.Seq2[l2.Entry, error] {
	return l2.ScanPages(ctx, a, maxPage)
}

// ScanPageSize implements [l2.PageScanner].
func (a *Adapter) ScanPageSize() int { return maxPage }
