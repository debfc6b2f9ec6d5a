package gpu

import (
	"errors"
	"fmt"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// Paged describes a host's paged KV cache on a device. It is not changed after
// it was given to a worker. The memory belongs to whoever made the tensors.
type Paged struct {
	Groups []Group
}

// Validate reports all that is wrong with the cache at once, group by group.
func (p *Paged) Validate() error {
	if len(p.Groups) == 0 {
		return errors.New("gpu: paged cache: no groups")
	}
	var errs []error
	for i := range p.Groups {
		if err := p.Groups[i].Validate(); err != nil {
			errs = append(errs, fmt.Errorf("gpu: paged cache: group %d: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

// Layout is the layout of an object that holds one chunk of all groups: the
// groups' tensors back to back, in order. The chunk must be a whole number of
// blocks of each group; group g's part has Bytes(chunkTokens/BlockTokens) bytes.
func (p *Paged) Layout(chunkTokens int) (kv.Layout, error) {
	shapes := make([][]int64, 0, len(p.Groups))
	types := make([]kv.DType, 0, len(p.Groups))
	var errs []error
	for i := range p.Groups {
		shape, err := p.Groups[i].shape(chunkTokens)
		if err != nil {
			errs = append(errs, fmt.Errorf("group %d: %w", i, err))
			continue
		}
		shapes = append(shapes, shape)
		types = append(types, p.Groups[i].DType)
	}
	if len(errs) > 0 {
		return kv.Layout{}, errors.Join(errs...)
	}
	l, err := kv.NewLayout(shapes, types)
	if err != nil {
		return kv.Layout{}, fmt.Errorf("gpu: layout: %w", err)
	}
	return l, nil
}
