package lmcache

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// EngineGroup describes the layers that one of the host's block tables addresses.
// The zero value is full attention.
type EngineGroup struct {
	WindowTokens int  // of sliding-window attention; below 1: full attention
	Tag          int  // layers of different tags are never parts of one object
	Recurrent    bool // the state after a block's last token; a chunk keeps that of its last block
	Aux          bool // helper data: stored, but neither looked up nor retrieved
}

// objectGroup is a part of a rank's KV that is one object per chunk.
type objectGroup struct {
	id        uint16
	window    int // chunks at the end of a prefix that are needed; 0: all of them
	recurrent bool
	aux       bool
	layout    kv.Layout
	parts     []part // of an object, one per kernel group; none where the host copies
}

// group is the object group of workers whose host copies: all layers, full
// attention.
const group = 0

// part is the bytes of one kernel group in an object, and the blocks that they
// are copied from.
type part struct {
	group     int   // index of the kernel group
	table     int   // index of the block list that addresses it
	off, size int64 // in the object
	per       int   // blocks of a chunk
	first     int   // of a chunk's blocks the first that the object has; it has all from there on
	skip      int   // leading blocks of those that lie before the window: zero, and never copied
	tokens    int   // per block
}

// of is the part of a block list that the object of a chunk is copied from.
func (p *part) of(blocks [][]gpu.BlockID, chunk int) []gpu.BlockID {
	return blocks[p.table][chunk*p.per+p.first : (chunk+1)*p.per]
}

// copied is of without what lies before the window.
func (p *part) copied(blocks [][]gpu.BlockID, chunk int) []gpu.BlockID {
	return p.of(blocks, chunk)[p.skip:]
}

// from is the first chunk of [lo, hi) that a group takes part with: a prefix that
// ends at hi needs a windowed group's last chunks only.
func (g *objectGroup) from(lo, hi int) int {
	if g.window == 0 {
		return lo
	}
	return max(lo, hi-g.window)
}

func (g *objectGroup) same(o *objectGroup) bool {
	return g.id == o.id && g.window == o.window && g.recurrent == o.recurrent && g.aux == o.aux && g.layout.Equal(o.layout) &&
		slices.Equal(g.skips(), o.skips())
}

// skips are the places of the parts that have blocks before the window; those are
// zero in the objects.
func (g *objectGroup) skips() (list []int) {
	for i := range g.parts {
		if n := g.parts[i].skip; n > 0 {
			list = append(list, i, n)
		}
	}
	return list
}

func sameGroups(a, b []objectGroup) bool {
	return slices.EqualFunc(a, b, func(a, b objectGroup) bool { return a.same(&b) })
}

// groupKey says which kernel groups share an object.
type groupKey struct {
	window, tag int
	aux         bool
	alone       int // block table of a recurrent group, from 1
}

// objectGroups divides a paged cache into objects of one chunk. Kernel groups are
// parts of one object unless their tags differ; with separate, unless their
// windows do either; recurrent ones stand alone. Ids count in order of first
// appearance. All that is wrong is reported at once.
func objectGroups(cache *gpu.Paged, tables []EngineGroup, chunk int, separate bool) ([]objectGroup, error) {
	if err := checkTables(cache, tables); err != nil {
		return nil, err
	}
	var (
		errs   []error
		groups []objectGroup
		keys   []groupKey
		shapes [][][]int64
		types  [][]kv.DType
	)
	for i := range cache.Groups {
		g := &cache.Groups[i]
		if chunk%g.BlockTokens != 0 {
			errs = append(errs, fmt.Errorf("lmcache: Attach: Cache.Groups[%d].BlockTokens: must divide the %d tokens of a chunk, got %d", i, chunk, g.BlockTokens))
			continue
		}
		var t EngineGroup
		if len(tables) > 0 {
			t = tables[g.EngineGroup]
		}
		key := groupKey{tag: t.Tag, aux: t.Aux}
		if separate && t.WindowTokens > 0 {
			key.window = t.WindowTokens
		}
		if t.Recurrent {
			key.alone = g.EngineGroup + 1
		}
		at := slices.Index(keys, key)
		if at < 0 {
			at = len(keys)
			keys, shapes, types = append(keys, key), append(shapes, nil), append(types, nil)
			groups = append(groups, objectGroup{id: uint16(at), window: (key.window + chunk - 1) / chunk, recurrent: t.Recurrent, aux: t.Aux})
			if t.Recurrent {
				groups[at].window = 1
			}
		}
		p := part{group: i, table: g.EngineGroup, per: chunk / g.BlockTokens, tokens: g.BlockTokens}
		switch {
		case t.Recurrent:
			p.first = p.per - 1
		case key.window > 0 && key.window < chunk:
			p.skip = p.per - (key.window+g.BlockTokens-1)/g.BlockTokens
		}
		l, err := g.Layout((p.per - p.first) * g.BlockTokens)
		if err != nil {
			errs = append(errs, fmt.Errorf("lmcache: Attach: Cache.Groups[%d]: %w", i, err))
			continue
		}
		p.size = g.Bytes(p.per - p.first)
		for _, o := range groups[at].parts {
			p.off += o.size
		}
		groups[at].parts = append(groups[at].parts, p)
		shapes[at], types[at] = append(shapes[at], l.Shapes()...), append(types[at], l.DTypes()...)
	}
	if len(keys) > math.MaxUint16 {
		errs = append(errs, fmt.Errorf("lmcache: Attach: Cache: %d object groups, at most %d", len(keys), math.MaxUint16))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	for i := range groups {
		l, err := kv.NewLayout(shapes[i], types[i])
		if err != nil {
			return nil, fmt.Errorf("lmcache: Attach: Cache: %w", err)
		}
		groups[i].layout = l
	}
	return groups, nil
}

// checkTables reports what is wrong with the description of the block tables.
func checkTables(cache *gpu.Paged, tables []EngineGroup) error {
	need := 0
	for i := range cache.Groups {
		need = max(need, cache.Groups[i].EngineGroup+1)
	}
	if len(tables) != 0 && len(tables) != need {
		return fmt.Errorf("lmcache: Attach: Groups: got %d for %d block tables", len(tables), need)
	}
	var errs []error
	for i, t := range tables {
		if t.Recurrent && t.WindowTokens > 0 {
			errs = append(errs, fmt.Errorf("lmcache: Attach: Groups[%d]: a recurrent group has no window, got one of %d tokens", i, t.WindowTokens))
		}
	}
	return errors.Join(errs...)
}
