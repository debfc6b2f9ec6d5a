package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
// each. Keys that a prefetch is about to load stay. Copies in L1 stay. An error means
// that there is no such tier, or that ctx has ended.
func (m *Manager) DeleteL2(ctx context.Context, keys []kv.Key, index int) ([]TierResult, error) {
	tiers, err := m.tiersOf(index)
	if err != nil {
		return nil, err
	}
	keys = slices.Clone(keys)
	out := make([]TierResult, len(tiers))
	done := make([]chan struct{}, len(tiers))
	for n, i := range tiers {
		t := m.tiers[i]
		end := make(chan struct{})
		done[n] = end
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
			out[n] = r
			close(end)
		})
	}
	for _, d := range done {
		if err := m.wait(ctx, d); err != nil {
			return nil, err
		}
	}
	return out, nil
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
