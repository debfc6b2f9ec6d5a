package lmcache_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

const (
	full       = 0
	nullID     = 0 // block that stands for no block
	firstBlock = 1
)

// groupRig is an engine with a model of several block tables, whose objects are
// kept apart. Table i has i+1 layers; its blocks have 8 tokens.
type groupRig struct {
	*rig

	tables []lmcache.EngineGroup
	ranks  []*lmcache.Worker
	caches []*gpu.Paged
}

func newGroupRig(t *testing.T, world int, bytes int64, tables ...lmcache.EngineGroup) *groupRig {
	t.Helper()
	leak.Check(t)
	if bytes == 0 {
		bytes = 1 << 20
	}
	r := &rig{T: t, dev: fake.New(fake.Options{OnViolation: func(text string) { t.Error(text) }}), bus: eventbus.New(eventbus.Options{}), log: &recorder{}}
	if _, err := r.bus.Subscribe(r.log); err != nil {
		t.Fatal(err)
	}
	var err error
	r.eng, err = lmcache.Open(t.Context(), lmcache.Options{
		ChunkTokens: chunkTokens, SeparateObjectGroups: true, L1: l1.Options{Bytes: bytes, Align: 64}, Bus: r.bus,
	})
	if err != nil {
		t.Fatal(err)
	}
	g := &groupRig{rig: r, tables: tables}
	null := gpu.BlockID(nullID)
	for rank := range world {
		shapes := make([]gpu.Shape, len(tables))
		for i := range shapes {
			shapes[i] = gpu.Shape{Layers: i + 1, Blocks: 40, BlockTokens: blockTokens, Heads: 2, HeadSize: 4, DType: "float16", EngineGroup: i}
		}
		cache, err := r.dev.NewPaged(shapes...)
		if err != nil {
			t.Fatal(err)
		}
		w, err := r.eng.Attach(lmcache.WorkerOptions{
			Model: model, WorldSize: world, Rank: rank, Backend: r.dev, Cache: cache, Groups: tables, NullBlock: &null,
		})
		if err != nil {
			t.Fatal(err)
		}
		g.ranks, g.caches = append(g.ranks, w), append(g.caches, cache)
	}
	t.Cleanup(func() {
		r.shut()
		if err := r.bus.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if err := r.dev.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// objectSize is the bytes of one chunk's object of a table, all of its blocks
// counted.
func objectSize(table int) int64 { return int64(2 * (table + 1) * chunkTokens * 8 * 2) }

// place is what the host computes for one block of a prompt, of one table and rank.
func (g *groupRig) place(seed uint64, rank, table, block int, f func(mem, want []byte), id gpu.BlockID) {
	for layer := range table + 1 {
		for plane := range 2 {
			mem := g.dev.Block(g.caches[rank], table, layer, plane, id)
			f(mem, pattern(seed*1000+uint64(rank*100+table), block, layer, plane, len(mem)))
		}
	}
}

// lists are block tables for n chunks, all of them blocks of their own.
func (g *groupRig) lists(n int) [][]gpu.BlockID {
	out := make([][]gpu.BlockID, len(g.tables))
	for i := range out {
		out[i] = span(firstBlock, n*perChunk)
	}
	return out
}

// store computes a prompt and stores it from all ranks.
func (g *groupRig) storeAll(s *lmcache.Session, seed uint64, prompt []int32, lists [][]gpu.BlockID) []*lmcache.Transfer {
	g.Helper()
	var out []*lmcache.Transfer
	for rank, w := range g.ranks {
		for table, ids := range lists {
			for block, id := range ids {
				if id != nullID {
					g.place(seed, rank, table, block, func(mem, want []byte) { copy(mem, want) }, id)
				}
			}
		}
		out = append(out, g.done(w.Store(g.Context(), s, prompt, lists, nil)))
	}
	return out
}

// keepAll stores a prompt in a session of its own and wipes the device.
func (g *groupRig) keepAll(seed uint64, prompt []int32) {
	g.Helper()
	s := g.session("keep")
	for _, tr := range g.storeAll(s, seed, prompt, g.lists(len(prompt)/chunkTokens)) {
		if !tr.Success() {
			g.Fatalf("the store failed: %v", tr.Err())
		}
	}
	g.end(s)
	g.wipeAll()
}

func (g *groupRig) wipeAll() {
	for rank := range g.ranks {
		for table := range g.tables {
			for _, id := range span(0, 40) {
				g.place(0, rank, table, 0, func(mem, _ []byte) { copy(mem, bytes.Repeat([]byte{0xEE}, len(mem))) }, id)
			}
		}
	}
}

// has reports, for each block of a table, whether the prompt's bytes are there;
// anything else must be as wipeAll left it.
func (g *groupRig) has(seed uint64, rank, table int, ids []gpu.BlockID) string {
	g.Helper()
	var out []byte
	for block, id := range ids {
		same, wiped := true, true
		g.place(seed, rank, table, block, func(mem, want []byte) {
			same = same && bytes.Equal(mem, want)
			wiped = wiped && bytes.Count(mem, []byte{0xEE}) == len(mem)
		}, id)
		switch {
		case same:
			out = append(out, '1')
		case wiped:
			out = append(out, '.')
		default:
			out = append(out, '!')
		}
	}
	return string(out)
}

// drop removes one object.
func (g *groupRig) drop(s *lmcache.Session, prompt []int32, table uint16, chunk, rank int) {
	g.Helper()
	keys := lmcache.Keys(s, prompt, table)
	at := chunk*len(g.ranks) + rank
	if code := lmcache.Storage(g.eng).Delete(keys[at:at+1], false)[0]; code != l1.Success {
		g.Fatalf("deleting chunk %d of group %d: %v", chunk, table, code)
	}
}

// A windowed group's objects are retrieved for the window only, and the bytes of
// every block that is retrieved are right.
func TestREQ_E36_WindowsLoadTheirWindow(t *testing.T) {
	g := newGroupRig(t, 2, 0, lmcache.EngineGroup{}, lmcache.EngineGroup{WindowTokens: 2 * chunkTokens}, lmcache.EngineGroup{WindowTokens: 5 * chunkTokens})
	prompt := tokens(1, 6*chunkTokens+3)
	g.keepAll(1, prompt)
	before := g.dev.Stats()
	s := g.session("reader")
	m := s.Lookup(t.Context(), prompt)
	if n := g.found(m); n != 6*chunkTokens {
		t.Fatalf("found %d tokens", n)
	}
	if n := g.leased(); n != 2*(6+2+5) {
		t.Errorf("%d objects leased, want %d", n, 2*(6+2+5))
	}
	lists := g.lists(6)
	for rank, w := range g.ranks {
		tr := g.done(w.Retrieve(t.Context(), m, lists, nil))
		want := 6*objectSize(0) + 2*objectSize(1) + 5*objectSize(2)
		if !tr.Success() || tr.Bytes() != want || tr.Chunks() != 6 || tr.Tokens() != 6*chunkTokens {
			t.Errorf("rank %d: %v, %d bytes, %d chunks; want %d bytes", rank, tr.Success(), tr.Bytes(), tr.Chunks(), want)
		}
		for table, want := range []string{"111111111111", "........1111", "..1111111111"} {
			if got := g.has(1, rank, table, lists[table]); got != want {
				t.Errorf("rank %d, table %d: blocks %s, want %s", rank, table, got, want)
			}
		}
	}
	after := g.dev.Stats()
	if got, want := after.ScatterBytes-before.ScatterBytes, 2*(6*objectSize(0)+2*objectSize(1)+5*objectSize(2)); got != want {
		t.Errorf("the device copied %d bytes, want %d", got, want)
	}
	g.end(s)
	g.idle()
}

// A windowed group that lacks what the plan needs shortens the prefix: a second
// round finds the windows of the shorter one, and nothing else stays leased.
func TestREQ_E4_SecondRound(t *testing.T) {
	for _, c := range []struct {
		name    string
		have    []string // by table
		windows []int
		want    int
		leased  int64
	}{
		{"window at the end", []string{"11110", "00111"}, []int{full, 2}, 4, 4 + 2},
		{"windows with holes", []string{"11110", "11010"}, []int{full, 2}, 2, 2 + 2},
		{"window longer than the prefix", []string{"11110", "11000"}, []int{full, 3}, 2, 2 + 2},
		{"two windows", []string{"11111", "11100", "01111"}, []int{full, 2, 1}, 3, 3 + 2 + 1},
		{"nothing in the window", []string{"11111", "00000"}, []int{full, 2}, 0, 0},
		{"windows alone", []string{"00110", "11111"}, []int{2, 3}, 4, 2 + 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			tables := make([]lmcache.EngineGroup, len(c.have))
			for i, w := range c.windows {
				tables[i].WindowTokens = w * chunkTokens
			}
			g := newGroupRig(t, 1, 0, tables...)
			prompt := tokens(1, 5*chunkTokens+1)
			g.keepAll(1, prompt)
			s := g.session("reader")
			for table, have := range c.have {
				for chunk, b := range have {
					if b == '0' {
						g.drop(s, prompt, uint16(table), chunk, 0)
					}
				}
			}
			m := s.Lookup(t.Context(), prompt)
			if n, err := m.Chunks(t.Context()); n != c.want || err != nil {
				t.Errorf("%d chunks, %v; want %d", n, err, c.want)
			}
			if n := g.leased(); n != c.leased {
				t.Errorf("%d objects leased, want %d", n, c.leased)
			}
			tr := g.done(g.ranks[0].Retrieve(t.Context(), m, g.lists(5), nil))
			if !tr.Success() || tr.Tokens() != c.want*chunkTokens {
				t.Errorf("retrieve: %v, %d tokens", tr.Success(), tr.Tokens())
			}
			if n := g.leased(); n != 0 {
				t.Errorf("%d objects are still leased", n)
			}
			g.end(s)
		})
	}
}

// Random presence of the objects of three groups on two ranks: a lookup finds what
// a search over all lengths finds, every rank gets exactly that, and the holders
// end at zero.
func TestREQ_E4_LookupFolds(t *testing.T) {
	const chunks = 7
	windows := []int{full, 2, 3}
	g := newGroupRig(t, 2, 0, lmcache.EngineGroup{}, lmcache.EngineGroup{WindowTokens: 2 * chunkTokens}, lmcache.EngineGroup{WindowTokens: 3*chunkTokens - 5})
	rng := newRand(4)
	for round := range 60 {
		seed := uint64(round + 1)
		prompt := tokens(seed, chunks*chunkTokens+2)
		g.keepAll(seed, prompt)
		s := g.session("reader")
		present := make(map[string]bool)
		for table := range windows {
			for chunk := range chunks {
				for rank := range 2 {
					if rng.IntN(12) == 0 {
						g.drop(s, prompt, uint16(table), chunk, rank)
					} else {
						present[fmt.Sprint(table, chunk, rank)] = true
					}
				}
			}
		}
		want := chunks
		for ; want > 0; want-- {
			all := true
			for table, w := range windows {
				lo := 0
				if w > 0 {
					lo = want - min(w, want)
				}
				for c := lo; c < want; c++ {
					all = all && present[fmt.Sprint(table, c, 0)] && present[fmt.Sprint(table, c, 1)]
				}
			}
			if all {
				break
			}
		}
		m := s.Lookup(t.Context(), prompt)
		if got, _ := m.Chunks(t.Context()); got != want {
			t.Fatalf("round %d: %d chunks, want %d", round, got, want)
		}
		holders := int64(2 * (want + min(2, want) + min(3, want)))
		if got := g.leased(); got != holders {
			t.Fatalf("round %d: %d objects leased, want %d", round, got, holders)
		}
		for rank, w := range g.ranks {
			lists := g.lists(chunks)
			if tr := g.done(w.Retrieve(t.Context(), m, lists, nil)); !tr.Success() || tr.Tokens() != want*chunkTokens {
				t.Fatalf("round %d: rank %d got %d tokens", round, rank, tr.Tokens())
			}
			if got := g.has(seed, rank, full, lists[full][:want*perChunk]); bytes.Count([]byte(got), []byte("1")) != want*perChunk {
				t.Errorf("round %d: rank %d: blocks %s", round, rank, got)
			}
		}
		g.end(s)
		if _, err := g.eng.Clear(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
}

// Memory for one of two groups: the chunk is stored in neither.
func TestREQ_E28_GroupsTogether(t *testing.T) {
	// Room for both objects of the first chunk, and one more of the first group.
	g := newGroupRig(t, 1, 2*objectSize(0)+objectSize(1), lmcache.EngineGroup{}, lmcache.EngineGroup{Tag: 1})
	prompt := tokens(1, 2*chunkTokens+1)
	s := g.session("writer")
	tr := g.storeAll(s, 1, prompt, g.lists(2))[0]
	if tr.Success() || tr.Chunks() != 1 || tr.Tokens() != chunkTokens || tr.Bytes() != objectSize(0)+objectSize(1) {
		t.Errorf("store: %v, %d chunks, %d tokens, %d bytes", tr.Success(), tr.Chunks(), tr.Tokens(), tr.Bytes())
	}
	if used := g.eng.Stats().Storage.L1.UsedBytes; used != objectSize(0)+objectSize(1) {
		t.Errorf("%d bytes are used", used)
	}
	if n := g.hits(prompt); n != 1 {
		t.Errorf("%d chunks found, want 1", n)
	}
	g.end(s)
}

// A failed copy of one group publishes the chunk in none.
func TestREQ_E28_FailedGroup(t *testing.T) {
	g := newGroupRig(t, 1, 0, lmcache.EngineGroup{}, lmcache.EngineGroup{Tag: 1})
	lmcache.SetBatch(g.ranks[0], 1)
	prompt := tokens(1, 3*chunkTokens+1)
	s := g.session("writer")
	g.dev.Fail(fake.Fault{Kind: fake.Gather, After: 3}) // the second group of the second chunk
	tr := g.storeAll(s, 1, prompt, g.lists(3))[0]
	if tr.Success() || tr.Chunks() != 1 || tr.Err() == nil {
		t.Errorf("store: %v, %d chunks, %v", tr.Success(), tr.Chunks(), tr.Err())
	}
	if m := g.eng.Stats().Storage.L1; m.Objects != 2 || m.StagedBytes != 0 {
		t.Errorf("%d objects, %d bytes staged", m.Objects, m.StagedBytes)
	}
	g.end(s)
}

// A window smaller than the chunk: the slots before it are zero in the object, also
// in memory that held something else, and a retrieve leaves their blocks alone.
func TestREQ_E30_UnusedSlotsAreZero(t *testing.T) {
	g := newGroupRig(t, 1, objectSize(0)*4, lmcache.EngineGroup{WindowTokens: blockTokens})
	g.keepAll(9, tokens(9, 4*chunkTokens)) // the arena is full of other bytes
	prompt := tokens(1, 2*chunkTokens)
	if _, err := g.eng.Clear(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	g.keepAll(1, prompt)
	s := g.session("reader")
	defer g.end(s)
	keys := lmcache.Keys(s, prompt, 0)
	layout, err := g.caches[0].Layout(chunkTokens)
	if err != nil {
		t.Fatal(err)
	}
	p, err := lmcache.Storage(g.eng).SubmitPrefetch(t.Context(), keys, layout, storage.PrefetchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	lease, err := p.Read(t.Context(), storage.Select{Hi: 2})
	if err != nil {
		t.Fatal(err)
	}
	for chunk, b := range lease.All() {
		half := blockTokens * 8 * 2 // one block of one layer and plane
		for plane := range 2 {
			row := b[plane*2*half:]
			if bytes.Count(row[:half], []byte{0}) != half {
				t.Errorf("chunk %d, plane %d: the slots before the window are %x", chunk, plane, row[:8])
			}
			if want := pattern(1000, chunk*perChunk+1, 0, plane, half); !bytes.Equal(row[half:2*half], want) {
				t.Errorf("chunk %d, plane %d: wrong bytes in the window", chunk, plane)
			}
		}
	}
	lease.Finish()
	p.Release()
	lists := g.lists(2)
	m := s.Lookup(t.Context(), prompt)
	if tr := g.done(g.ranks[0].Retrieve(t.Context(), m, lists, nil)); !tr.Success() {
		t.Error("the retrieve failed")
	}
	if got := g.has(1, 0, 0, lists[0]); got != "...1" {
		t.Errorf("blocks %s, want ...1", got)
	}
}

// A recurrent state cannot be rewound: a chunk that ends with the prompt is of no
// use. Its object is the last block of the chunk, and a retrieve delivers the
// state after the last chunk only.
func TestREQ_E38_RecurrentStepsBack(t *testing.T) {
	g := newGroupRig(t, 1, 0, lmcache.EngineGroup{}, lmcache.EngineGroup{Recurrent: true})
	long := tokens(1, 4*chunkTokens)
	before := g.dev.Stats().GatherBytes
	g.keepAll(1, long)
	if got, want := g.dev.Stats().GatherBytes-before, 4*objectSize(0)+4*objectSize(1)/perChunk; got != want {
		t.Errorf("the store copied %d bytes, want %d", got, want)
	}
	for n, want := range map[int]int{
		4 * chunkTokens: 3, 4*chunkTokens - 1: 3, 3*chunkTokens + 1: 3, 3 * chunkTokens: 2, 2*chunkTokens + 1: 2, chunkTokens: 0, chunkTokens + 1: 1,
	} {
		s := g.session("reader")
		m := s.Lookup(t.Context(), long[:n])
		if got, _ := m.Chunks(t.Context()); got != want {
			t.Errorf("%d tokens: %d chunks, want %d", n, got, want)
		}
		g.wipeAll()
		lists := g.lists(4)
		tr := g.done(g.ranks[0].Retrieve(t.Context(), m, lists, nil))
		if !tr.Success() || tr.Tokens() != want*chunkTokens {
			t.Errorf("%d tokens: %v, %d delivered", n, tr.Success(), tr.Tokens())
		}
		state := bytes.Repeat([]byte("."), 8)
		if want > 0 {
			state[want*perChunk-1] = '1'
		}
		if got := g.has(1, 0, 1, lists[1]); got != string(state) {
			t.Errorf("%d tokens: states %s, want %s", n, got, state)
		}
		g.end(s)
	}
}

// Tokens that the host has are not copied: whole blocks of them stay as they are,
// whole chunks are not even read, and no holder is left.
func TestREQ_E35_Skip(t *testing.T) {
	g := newGroupRig(t, 1, 0, lmcache.EngineGroup{}, lmcache.EngineGroup{WindowTokens: 2 * chunkTokens}, lmcache.EngineGroup{Recurrent: true})
	const chunks = 3
	prompt := tokens(1, chunks*chunkTokens+1)
	g.keepAll(1, prompt)
	for skip := range chunks*chunkTokens + 2 {
		g.wipeAll()
		s := g.session("reader")
		m := s.Lookup(t.Context(), prompt)
		m.Skip(skip)
		lists := g.lists(chunks)
		for table := range lists {
			for i := range skip / blockTokens {
				if i < len(lists[table]) {
					lists[table][i] = 12345 // may be anything
				}
			}
		}
		tr := g.done(g.ranks[0].Retrieve(t.Context(), m, lists, nil))
		if !tr.Success() || tr.Tokens() != chunks*chunkTokens {
			t.Fatalf("skip %d: %v, %d tokens", skip, tr.Success(), tr.Tokens())
		}
		if n := tr.Chunks(); n != max(0, chunks-skip/chunkTokens) {
			t.Errorf("skip %d: %d chunks copied", skip, n)
		}
		for table, from := range []int{0, (chunks - 2) * perChunk, chunks*perChunk - 1} {
			want := bytes.Repeat([]byte("."), chunks*perChunk)
			for b := max(from, skip/blockTokens); b < chunks*perChunk; b++ {
				want[b] = '1'
			}
			if got := g.has(1, 0, table, span(firstBlock, chunks*perChunk)); got != string(want) {
				t.Errorf("skip %d, table %d: blocks %s, want %s", skip, table, got, want)
			}
		}
		if n := g.leased(); n != 0 {
			t.Errorf("skip %d: %d objects are still leased", skip, n)
		}
		g.end(s)
	}
}

// A host keeps blocks of a window only and has null blocks before it: those chunks
// are stored in the full group alone, the lookup finds all, and a null block on
// the way back is not written.
func TestREQ_E27_NullBlocksBeforeWindow(t *testing.T) {
	g := newGroupRig(t, 1, 0, lmcache.EngineGroup{}, lmcache.EngineGroup{WindowTokens: 2 * chunkTokens})
	prompt := tokens(1, 5*chunkTokens+1)
	lists := g.lists(5)
	for i := range 3 * perChunk {
		lists[1][i] = nullID
	}
	s := g.session("writer")
	tr := g.storeAll(s, 1, prompt, lists)[0]
	if !tr.Success() || tr.Chunks() != 5 || tr.Tokens() != 5*chunkTokens || tr.Bytes() != 5*objectSize(0)+2*objectSize(1) {
		t.Errorf("store: %v, %d chunks, %d tokens, %d bytes", tr.Success(), tr.Chunks(), tr.Tokens(), tr.Bytes())
	}
	if again := g.done(g.ranks[0].Store(t.Context(), s, prompt, lists, nil)); again.Bytes() != 0 || !again.Success() {
		t.Errorf("a second store copied %d bytes", again.Bytes())
	}
	g.end(s)
	g.wipeAll()
	if n := g.hits(prompt); n != 5 {
		t.Errorf("%d chunks found, want 5", n)
	}
	if n := g.hits(prompt[:4*chunkTokens+1]); n != 0 {
		t.Errorf("%d chunks found of a shorter prompt, whose window is not there", n)
	}
	reader := g.session("reader")
	m := reader.Lookup(t.Context(), prompt)
	back := g.done(g.ranks[0].Retrieve(t.Context(), m, lists, nil))
	if !back.Success() || g.has(1, 0, 0, lists[0]) != "1111111111" || g.has(1, 0, 1, lists[1]) != "......1111" {
		t.Errorf("retrieve: %v, %s, %s", back.Success(), g.has(1, 0, 0, lists[0]), g.has(1, 0, 1, lists[1]))
	}
	g.end(reader)
	if !bytes.Equal(g.dev.Block(g.caches[0], 1, 0, 0, nullID), bytes.Repeat([]byte{0xEE}, blockTokens*16)) {
		t.Error("the null block was written")
	}
}

// Helper data is stored with its chunk and takes no other part.
func TestAuxGroups(t *testing.T) {
	g := newGroupRig(t, 1, 0, lmcache.EngineGroup{}, lmcache.EngineGroup{Aux: true})
	prompt := tokens(1, 2*chunkTokens+1)
	g.keepAll(1, prompt)
	if m := g.eng.Stats().Storage.L1; m.Objects != 4 {
		t.Errorf("%d objects, want 4", m.Objects)
	}
	s := g.session("reader")
	g.drop(s, prompt, 1, 0, 0)
	m := s.Lookup(t.Context(), prompt)
	lists := g.lists(2)
	lists[1] = span(0, 4)
	tr := g.done(g.ranks[0].Retrieve(t.Context(), m, lists, nil))
	if !tr.Success() || tr.Tokens() != 2*chunkTokens || g.has(1, 0, 1, lists[1]) != "...." {
		t.Errorf("retrieve: %v, %d tokens, helper blocks %s", tr.Success(), tr.Tokens(), g.has(1, 0, 1, lists[1]))
	}
	g.end(s)
}

// How kernel groups are divided into objects, with and without separation.
func TestObjectGroups(t *testing.T) {
	leak.Check(t)
	dev := fake.New(fake.Options{})
	defer func() { _ = dev.Close() }()
	shapes := make([]gpu.Shape, 6)
	for i := range shapes {
		shapes[i] = gpu.Shape{Layers: 1, Blocks: 4, BlockTokens: blockTokens, Heads: 2, HeadSize: 4, DType: "float16", EngineGroup: min(i, 4)}
	}
	cache, err := dev.NewPaged(shapes...)
	if err != nil {
		t.Fatal(err)
	}
	tables := []lmcache.EngineGroup{{}, {WindowTokens: 20}, {WindowTokens: -1}, {Recurrent: true}, {WindowTokens: 20, Tag: 7}}
	for _, c := range []struct {
		separate bool
		want     []string
	}{
		{false, []string{"0 1 2: all", "3: 1", "4 5: all"}},
		{true, []string{"0 2: all", "1: 2", "3: 1", "4 5: 2"}},
	} {
		got, err := lmcache.DescribeGroups(cache, tables, chunkTokens, c.separate)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("separate %v: %q, %v; want %q", c.separate, got, err, c.want)
		}
	}
	for _, bad := range [][]lmcache.EngineGroup{tables[:3], append(slices.Clone(tables), lmcache.EngineGroup{}), {{}, {}, {}, {Recurrent: true, WindowTokens: 8}, {}}} {
		if _, err := lmcache.DescribeGroups(cache, bad, chunkTokens, true); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

// Two salts and two groups: what one tenant stores, looks up, frees and retrieves
// has no effect on the other (see also TestREQ_E3_SaltsAndModelsApart).
func TestREQ_E3_SaltsAndGroups(t *testing.T) {
	g := newGroupRig(t, 1, 0, lmcache.EngineGroup{}, lmcache.EngineGroup{WindowTokens: chunkTokens})
	prompt := tokens(1, 3*chunkTokens+1)
	open := func(salt string) *lmcache.Session {
		return g.eng.Session(lmcache.Request{ID: salt, Model: model, Salt: salt})
	}
	a, b := open("a"), open("b")
	g.storeAll(a, 1, prompt, g.lists(3))
	if n, _ := b.Lookup(t.Context(), prompt).Chunks(t.Context()); n != 0 {
		t.Errorf("tenant b found %d chunks of tenant a", n)
	}
	g.storeAll(b, 2, prompt, g.lists(3))
	ma, mb := a.Lookup(t.Context(), prompt), b.Lookup(t.Context(), prompt)
	if n := g.leased(); n != 2*(3+1) {
		t.Errorf("%d objects leased", n)
	}
	ma.Release(0, len(prompt))
	if n := g.leased(); n != 3+1 {
		t.Errorf("%d objects leased after a's were freed", n)
	}
	g.wipeAll()
	lists := g.lists(3)
	if tr := g.done(g.ranks[0].Retrieve(t.Context(), mb, lists, nil)); !tr.Success() || g.has(2, 0, 0, lists[0]) != "111111" || g.has(2, 0, 1, lists[1]) != "....11" {
		t.Errorf("b got %s and %s", g.has(2, 0, 0, lists[0]), g.has(2, 0, 1, lists[1]))
	}
	if n := g.leased(); n != 0 {
		t.Errorf("%d objects leased at the end", n)
	}
	for _, s := range []*lmcache.Session{a, b} {
		if keys := lmcache.Keys(s, prompt, 1); keys[0].Group != 1 || keys[0].Salt != s.ID() || keys[0].Rank != keys[2].Rank {
			t.Errorf("key %+v", keys[0])
		}
		g.end(s)
	}
	if err := g.eng.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	g.closed = true
}

// Each list of each group is checked before anything is reserved or copied.
func TestREQ_E39_BadBlocksOfGroups(t *testing.T) {
	g := newGroupRig(t, 1, 0, lmcache.EngineGroup{}, lmcache.EngineGroup{WindowTokens: chunkTokens})
	prompt := tokens(1, 3*chunkTokens+1)
	g.keepAll(1, prompt)
	for table := range 2 {
		for name, spoil := range map[string]func([][]gpu.BlockID) [][]gpu.BlockID{
			"short":     func(l [][]gpu.BlockID) [][]gpu.BlockID { l[table] = l[table][:5]; return l },
			"too large": func(l [][]gpu.BlockID) [][]gpu.BlockID { l[table][5] = 40; return l },
			"negative":  func(l [][]gpu.BlockID) [][]gpu.BlockID { l[table][5] = -1; return l },
			"missing":   func(l [][]gpu.BlockID) [][]gpu.BlockID { return l[:1] },
		} {
			s := g.session("reader")
			m := s.Lookup(t.Context(), prompt)
			if _, err := g.ranks[0].Retrieve(t.Context(), m, spoil(g.lists(3)), nil); err == nil {
				t.Errorf("table %d, %s: a retrieve was accepted", table, name)
			}
			if n := g.leased(); n != 0 {
				t.Errorf("table %d, %s: %d objects leased", table, name, n)
			}
			if _, err := g.ranks[0].Store(t.Context(), s, tokens(2, 3*chunkTokens), spoil(g.lists(3)), nil); err == nil {
				t.Errorf("table %d, %s: a store was accepted", table, name)
			}
			if staged := g.eng.Stats().Storage.L1.StagedBytes; staged != 0 {
				t.Errorf("table %d, %s: %d bytes staged", table, name, staged)
			}
			g.end(s)
		}
	}
}

// Two windows of the same chunks and different tokens leave other slots zero: they
// are two layouts.
func TestWindowsWithinAChunkDiffer(t *testing.T) {
	r := newGroupRig(t, 1, 0, lmcache.EngineGroup{WindowTokens: blockTokens})
	prompt := tokens(1, 2*chunkTokens+1)
	r.keepAll(1, prompt)
	w, err := r.eng.Attach(lmcache.WorkerOptions{
		Model: model, Backend: r.dev, Cache: r.caches[0], Groups: []lmcache.EngineGroup{{WindowTokens: chunkTokens}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := r.session("reader")
	m := s.Lookup(t.Context(), prompt)
	if tr := r.done(r.ranks[0].Retrieve(t.Context(), m, r.lists(2), nil)); tr.Success() {
		t.Error("the first worker got objects of the other's layout")
	}
	r.end(s)
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
