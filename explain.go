package lmcache

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// ExplainRequest names a prompt.
type ExplainRequest struct {
	Model     string // may be empty if one model is registered
	WorldSize int    // ranks with different KV; 0: that of the model's registration
	Salt      string // tenant
	Tokens    []int32
}

// Explanation says what of a prompt is cached, and why not the rest.
type Explanation struct {
	// Chunks are the full chunks of the prompt in order. A prompt that has none has one
	// entry, without a hash, that says so.
	Chunks []ExplainedChunk

	Prefix int // leading chunks that a lookup would supply
	Tokens int // in these
}

// ExplainedChunk is one chunk of an Explanation.
type ExplainedChunk struct {
	Hash kv.Hash

	// Place is where the objects of the chunk are: storage.InL1 if all of them are
	// there, storage.InL2 if some have to be loaded, storage.Nowhere if some are missing.
	Place storage.Place

	// Miss is why a lookup would not supply the chunk: of one that is Nowhere the reason
	// of the first missing object, else storage.MissAfterGap or storage.MissNone.
	Miss storage.MissReason
}

// explainBatch is about how many objects Explain asks the storage for at a time.
const explainBatch = 4096

// Explain says what of a prompt is cached, and why not the rest, as a lookup would find
// it now. It only looks, see storage.Manager.Peek: nothing is leased, loaded, refreshed,
// counted or published. It waits for outer tiers. A prompt of many chunks is asked for
// piece by piece, between which things may change. The tokens are not kept.
//
// Of an object group with a window only the end of the prefix is needed: what is missing
// before that does not count.
//
// For a prompt with a full chunk it needs an attached worker of the model: else the error
// wraps ErrNoLayout and names those that are attached. Other errors are bad arguments,
// ErrClosed and that of ctx.
func (e *Engine) Explain(ctx context.Context, r ExplainRequest) (Explanation, error) {
	if err := (Request{Model: r.Model, WorldSize: r.WorldSize, Salt: r.Salt}).validate(); err != nil {
		return Explanation{}, err
	}
	if e.isClosed() {
		return Explanation{}, ErrClosed
	}
	hashes := (kv.Chain{}).Extend(e.hasher, e.o.ChunkTokens, r.Tokens).Hashes()
	if len(hashes) == 0 {
		return Explanation{Chunks: []ExplainedChunk{{Miss: storage.MissUnderChunkSize}}}, nil
	}
	k, groups, ok, err := e.resolve(r.Model, r.WorldSize)
	switch {
	case err != nil:
		return Explanation{}, err
	case !ok:
		return Explanation{}, fmt.Errorf("%w; %s", ErrNoLayout, e.attached())
	}
	v := view{
		e: e, hashes: hashes, world: k.world, part: takePart(groups, len(hashes), e.o.ChunkTokens, len(r.Tokens)),
		request: kv.Request{Model: k.model, Salt: r.Salt, World: k.world, Worker: kv.AllWorkers},
	}
	for i := range groups {
		if !groups[i].aux {
			v.groups = append(v.groups, viewed{g: &groups[i], sights: make([]storage.Sight, 0, len(hashes)*k.world)})
		}
	}
	if err := v.look(ctx); err != nil {
		return Explanation{}, closedError(err)
	}
	return v.explain(), nil
}

// maxNamed is the most models that an error names.
const maxNamed = 8

// attached names the models that have workers.
func (e *Engine) attached() string {
	e.mu.Lock()
	keys := make([]layoutKey, 0, len(e.mu.layouts))
	for k := range e.mu.layouts {
		keys = append(keys, k)
	}
	e.mu.Unlock()
	if len(keys) == 0 {
		return "there is no worker at all"
	}
	slices.SortFunc(keys, func(a, b layoutKey) int {
		return cmp.Or(strings.Compare(a.model, b.model), cmp.Compare(a.world, b.world))
	})
	var names []string
	for i, k := range keys {
		if i == maxNamed {
			names = append(names, "…")
			break
		}
		names = append(names, fmt.Sprintf("%s with world size %d", k.model, k.world))
	}
	return "there are workers of " + strings.Join(names, ", ")
}

// view is where the objects of a prompt are.
type view struct {
	e       *Engine
	request kv.Request
	hashes  []kv.Hash
	world   int
	part    int // leading chunks that take part
	groups  []viewed
}

// viewed is one object group of a view.
type viewed struct {
	g      *objectGroup
	sights []storage.Sight // by chunk, then rank
}

// look asks the storage.
func (v *view) look(ctx context.Context) error {
	step := max(explainBatch/v.world, 1)
	var keys []kv.Key
	for lo := 0; lo < len(v.hashes); lo += step {
		hashes := v.hashes[lo:min(lo+step, len(v.hashes))]
		for i := range v.groups {
			g := &v.groups[i]
			var err error
			if keys, err = v.request.AppendKeys(keys[:0], g.g.id, hashes); err != nil {
				return err
			}
			seen, err := v.e.sm.Peek(ctx, keys, g.g.layout)
			if err != nil {
				return err
			}
			g.sights = append(g.sights, seen...)
		}
	}
	return nil
}

// explain draws the conclusions.
func (v *view) explain() Explanation {
	var rows []row
	for i := range v.groups {
		g := &v.groups[i]
		for rank := range v.world {
			r := row{present: make([]bool, v.part), window: g.g.window}
			for c := range v.part {
				r.present[c] = g.sights[c*v.world+rank].Place != storage.Nowhere
			}
			rows = append(rows, r)
		}
	}
	out := Explanation{Chunks: make([]ExplainedChunk, len(v.hashes)), Prefix: fold(v.part, rows)}
	out.Tokens = out.Prefix * v.e.o.ChunkTokens
	for c := range out.Chunks {
		s := v.chunk(c, out.Prefix)
		if c >= out.Prefix && out.Prefix < v.part && s.Place != storage.Nowhere {
			s.Miss = storage.MissAfterGap
		}
		out.Chunks[c] = ExplainedChunk{Hash: v.hashes[c], Place: s.Place, Miss: s.Miss}
	}
	return out
}

// chunk is where a chunk is: those of its objects that a lookup needs, or all if it
// needs none.
func (v *view) chunk(c, prefix int) storage.Sight {
	if s, some := v.worst(c, func(g *objectGroup) bool { return c >= g.from(0, prefix) }); some {
		return s
	}
	s, _ := v.worst(c, func(*objectGroup) bool { return true })
	return s
}

// worst is the sight of the object of some groups that is farthest away; false: there is
// none.
func (v *view) worst(c int, of func(*objectGroup) bool) (s storage.Sight, some bool) {
	for i := range v.groups {
		g := &v.groups[i]
		if !of(g.g) {
			continue
		}
		for _, o := range g.sights[c*v.world : (c+1)*v.world] {
			if !some || o.Place < s.Place {
				s, some = o, true
			}
		}
	}
	return s, some
}
