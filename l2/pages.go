package l2

import (
	"context"
	"iter"
)

// ScanPages is Scan of an adapter that can only be listed, in pages of a size.
func ScanPages(ctx context.Context, l Lister, size int) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		q := ListQuery{PageSize: size}
		for {
			page, err := l.List(ctx, q)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			for _, e := range page.Entries {
				if !yield(e, nil) {
					return
				}
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				return
			}
		}
	}
}
