package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// ErrNoTiers is returned by operations on outer tiers where there are none.
var ErrNoTiers = errors.New("storage: no outer tier is configured")

// AllTiers as the index of a tier stands for all of them.
const AllTiers = -1

// TierResult is what an operation did in one tier.
type TierResult struct {
	Tier int
	Name string
	Err  error

	Deleted int // keys that were there and are gone, as far as the store knows
	Skipped int // keys that stay: a prefetch is about to load them, or the store could not remove them
}

// DeleteL2 removes keys from a tier, or from AllTiers, and waits for the result of
// each. Keys that a prefetch is about to load stay. Copies in L1 stay. A key that is given
// twice counts once. An error means that there is no such tier, or that ctx has ended.
func (m *Manager) DeleteL2(ctx context.Context, keys []kv.Key, index int) ([]TierResult, error) {
	var out []TierResult
	end := make(chan struct{})
	err := m.StartDeleteL2(keys, index, func(r []TierResult) {
		out = r
		close(end)
	})
	if err == nil {
		err = m.wait(ctx, end)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// StartDeleteL2 is DeleteL2 that does not wait. done gets the results once all tiers
// have answered, on another goroutine or before StartDeleteL2 returns; it may be nil.
func (m *Manager) StartDeleteL2(keys []kv.Key, index int, done func([]TierResult)) error {
	tiers, err := m.tiersOf(index)
	if err != nil {
		return err
	}
	at := m.rt.Now()
	keys = slices.Clone(keys)
	n := NoCall
	if m.tracing() {
		n = m.call(at, Call{Name: CallDelete, Keys: keys, Outer: true, Tier: max(index, AllTiers), Owner: NoCall})
	}
	keys = distinct(keys)
	out := make([]TierResult, len(tiers))
	var left atomic.Int64
	left.Store(int64(len(tiers)))
	for o, i := range tiers {
		t := m.tiers[i]
		t.Delete(keys, func(freed []int64, err error) {
			r := TierResult{Tier: i, Name: t.Name(), Err: err}
			for _, bytes := range freed {
				switch {
				case bytes > 0:
					r.Deleted++
				case bytes < 0:
					r.Skipped++
				}
			}
			out[o] = r
			if left.Add(-1) > 0 {
				return
			}
			if n != NoCall {
				m.done(CallDone{Name: CallDelete, N: n}, at)
			}
			if done != nil {
				done(out)
			}
		})
	}
	return nil
}

// distinct is the keys without those that have come before.
func distinct(keys []kv.Key) []kv.Key {
	seen := make(map[kv.Key]struct{}, len(keys))
	list := make([]kv.Key, 0, len(keys))
	for _, k := range keys {
		if _, again := seen[k]; !again {
			seen[k] = struct{}{}
			list = append(list, k)
		}
	}
	return list
}

func (m *Manager) tiersOf(index int) ([]int, error) {
	switch {
	case m.closed.Load():
		return nil, ErrClosed
	case len(m.tiers) == 0:
		return nil, ErrNoTiers
	case index == AllTiers:
		all := make([]int, len(m.tiers))
		for i := range all {
			all[i] = i
		}
		return all, nil
	case index < 0 || index >= len(m.tiers):
		return nil, fmt.Errorf("storage: tier: must be from 0 to %d or AllTiers, got %d", len(m.tiers)-1, index)
	}
	return []int{index}, nil
}

// DefaultListPage is the size of a page of ListL2 if none is given by the caller.
const DefaultListPage = 500

// ListL2 lists one page of what a tier holds. The page's size must be positive. A
// tier that cannot list is an error that wraps errors.ErrUnsupported.
func (m *Manager) ListL2(ctx context.Context, index int, q l2.ListQuery) (l2.Page, error) {
	if q.PageSize <= 0 {
		return l2.Page{}, fmt.Errorf("storage: ListL2: PageSize: must be positive, got %d", q.PageSize)
	}
	if index == AllTiers {
		index = 0
	}
	if _, err := m.tiersOf(index); err != nil {
		return l2.Page{}, err
	}
	return m.tiers[index].List(ctx, q)
}
