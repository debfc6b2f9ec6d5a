package kv

import (
	"errors"
	"fmt"
	"slices"
)

// AllWorkers as the Worker of a Request expands it for all ranks.
const AllWorkers = -1

// Request is what a request key says about the objects it names, besides the
// chunks. Its AppendKeys is the only place where object keys are made of it, so
// that no field can be forgotten.
type Request struct {
	Model  string
	Salt   string
	World  int // ranks that hold different KV, 1 to MaxWorldSize
	Worker int // the rank that the keys are for, or AllWorkers
}

// Validate reports everything that is wrong with r; nil means that its keys are
// valid.
func (r Request) Validate() error {
	world := validateWorld(r.World)
	var worker error
	if r.Worker != AllWorkers && (r.Worker < 0 || world == nil && r.Worker >= r.World) {
		worker = fmt.Errorf("kv: worker %d is not in a world of %d", r.Worker, r.World)
	}
	return errors.Join(ValidateModel(r.Model), ValidateSalt(r.Salt), world, worker)
}

// Ranks is the number of ranks that r expands to: the distance between the keys
// of one rank in a list.
func (r Request) Ranks() int {
	if r.Worker == AllWorkers {
		return r.World
	}
	return 1
}

// AppendKeys appends to dst the keys of the chunks with these hashes in one
// object group: chunk-major and rank-minor, so that key i belongs to chunk
// i / Ranks. It allocates nothing if dst has room. Where r or a hash is not
// valid, dst comes back as it was, with an error.
func (r Request) AppendKeys(dst []Key, group uint16, hashes []Hash) ([]Key, error) {
	if err := r.Validate(); err != nil {
		return dst, err
	}
	if i := slices.IndexFunc(hashes, Hash.IsZero); i >= 0 {
		return dst, fmt.Errorf("kv: the hash of chunk %d is missing", i)
	}
	lo, hi := 0, r.World
	if r.Worker != AllWorkers {
		lo, hi = r.Worker, r.Worker+1
	}
	at := len(dst)
	dst = slices.Grow(dst, len(hashes)*(hi-lo))
	dst = dst[:at+len(hashes)*(hi-lo)]
	for i := range hashes {
		for rank := lo; rank < hi; rank++ {
			// The local values are not known here.
			dst[at] = Key{hashes[i], r.Model, r.Salt, packRank(r.World, rank, r.World, rank), group}
			at++
		}
	}
	return dst, nil
}
