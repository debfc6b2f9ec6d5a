package lmcache_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// client is a remote client of a hostRig.
type client struct {
	*hostRig

	id int64
	h  *lmcache.HostWorker
}

func (r *hostRig) client(id int64) *client {
	return &client{r, id, r.attach(lmcache.HostOptions{Instance: &id, Shared: true})}
}

func key(request string, prompt []int32, from, to int) lmcache.HostKey {
	return lmcache.HostKey{
		Request: lmcache.Request{ID: request, Model: model, WorldSize: 1}, Tokens: prompt, Start: from * chunkTokens, End: to * chunkTokens,
	}
}

func (c *client) prepare(k lmcache.HostKey) *lmcache.HostStore {
	c.Helper()
	st, err := c.h.PrepareStoreKey(c.Context(), k)
	if err != nil {
		c.Fatal(err)
	}
	return st
}

func (c *client) commit(k lmcache.HostKey, data ...lmcache.HostTensor) bool {
	c.Helper()
	ok, err := c.h.CommitStoreData(c.Context(), k, data)
	if err != nil {
		c.Fatal(err)
	}
	return ok
}

// tensors are the chunks [from, to) of a prompt.
func tensorsOf(seed uint64, from, to int) (list []lmcache.HostTensor) {
	for i := from; i < to; i++ {
		list = append(list, lmcache.HostTensor{DType: kv.Float16, Shape: []int64{2, 2, 16, 8}, Data: object(seed, i)})
	}
	return list
}

// check: the prompt is in the cache up to here, with the right bytes.
func (c *client) check(seed uint64, prompt []int32, chunks int) {
	c.Helper()
	s := c.session("check")
	defer c.end(s)
	m := s.Lookup(c.Context(), prompt)
	n, err := m.Chunks(c.Context())
	if err != nil || n != chunks {
		c.Errorf("%d chunks found, want %d: %v", n, chunks, err)
		return
	}
	in := c.readBy(c.host, m, 0, n)
	same(c.T, in, seed, 0, n)
	in.Done()
}

// TestREQ_E22_RepeatedPrepare: a repeated prepare returns the same slots, a repeated
// commit the same answer, and nothing stays staged, also when the request ends in
// between.
func TestREQ_E22_RepeatedPrepare(t *testing.T) {
	r := newHostRig(t)
	c := r.client(5)
	prompt := tokens(1, 3*chunkTokens)
	k := key("a", prompt, 0, 3)
	st := c.prepare(k)
	if again := c.prepare(k); again != st || len(again.Slots()) != 3 {
		t.Errorf("another reservation, of %d slots", len(again.Slots()))
	}
	other := c.prepare(key("b", prompt, 0, 3))
	if other == st || len(other.Slots()) != 0 || other.Commit() != nil {
		t.Error("another request got slots of chunks that are being written")
	}
	salted := key("a", prompt, 0, 3)
	salted.Request.Salt = "tenant"
	if st := c.prepare(salted); len(st.Slots()) != 3 {
		t.Errorf("%d slots under another salt", len(st.Slots()))
	}
	if r.staged() != 6 {
		t.Errorf("%d chunks staged", r.staged())
	}
	fill(st, 1, 0)
	if err := r.eng.EndSession("a"); err != nil {
		t.Fatal(err)
	}
	if c.commit(key("a", prompt, 0, 2)) {
		t.Error("a commit of another range is true")
	}
	for range 2 {
		if !c.commit(k) {
			t.Error("the commit is false")
		}
	}
	if r.staged() != 3 {
		t.Errorf("%d chunks staged after the commit", r.staged())
	}
	c.check(1, prompt, 3)
	r.wait(l1.DefaultWriteTTL - time.Second)
	if !c.commit(k) {
		t.Error("a commit within the write TTL is false")
	}
	r.wait(2 * time.Second)
	if c.commit(k) {
		t.Error("a commit after the write TTL is true")
	}
	if c.commit(key("b", prompt, 0, 3)) {
		t.Error("a commit of a reservation without slots is true")
	}
	if got := len(of[lmcache.RequestEnded](r.events())); got != 2 { // a, and check
		t.Errorf("%d sessions ended", got)
	}
}

// TestREQ_E23_CommitWithData: the data of a commit is written, with or without a
// prepare before it.
func TestREQ_E23_CommitWithData(t *testing.T) {
	for _, prepared := range []int{0, 1, 3} {
		r := newHostRig(t)
		c := r.client(5)
		prompt := tokens(1, 3*chunkTokens)
		if prepared > 0 {
			st := c.prepare(key("a", prompt, 0, prepared))
			fill(st, 99, 0)
		}
		if prepared == 1 { // of another range
			if !c.commit(key("a", prompt, 0, 1), tensorsOf(1, 0, 1)...) {
				t.Error("false")
			}
		}
		for range 2 {
			if !c.commit(key("a", prompt, 0, 3), tensorsOf(1, 0, 3)...) {
				t.Error("false")
			}
		}
		if r.staged() != 0 {
			t.Errorf("%d chunks staged", r.staged())
		}
		c.check(1, prompt, 3)
		oneEnd(t, r.events())
	}
}

// TestREQ_E24_BadTensors: chunks whose tensor is missing or has another shape are
// discarded at once, the others are readable; with too many tensors none is. The
// answer is false, and the next store succeeds.
func TestREQ_E24_BadTensors(t *testing.T) {
	good := tensorsOf(1, 0, 3)
	wrong := good[1]
	wrong.Shape = []int64{2, 2, 8, 16}
	short := good[1]
	short.Data = short.Data[:objectBytes-2]
	foreign := good[1]
	foreign.DType = kv.Int16
	unknown := good[1]
	unknown.DType = "int4"
	wide := good[1]
	wide.Strides = []int64{1 << 62, 1 << 62, 1 << 62, 1}
	back := good[1]
	back.Strides = []int64{256, 128, 8, -1}
	for _, tc := range []struct {
		name  string
		data  []lmcache.HostTensor
		found int // at once
	}{
		{"one of three", good[:1], 1},
		{"missing", []lmcache.HostTensor{good[0], {}, good[2]}, 1},
		{"shape", []lmcache.HostTensor{good[0], wrong, good[2]}, 1},
		{"short", []lmcache.HostTensor{good[0], short, good[2]}, 1},
		{"integers", []lmcache.HostTensor{good[0], foreign, good[2]}, 1},
		{"unknown type", []lmcache.HostTensor{good[0], unknown, good[2]}, 1},
		{"strides", []lmcache.HostTensor{wide, good[1], good[2]}, 0},
		{"negative strides", []lmcache.HostTensor{back, good[1], good[2]}, 0},
		{"too many", append(tensorsOf(1, 0, 3), good[0]), 0},
	} {
		for _, prepared := range []bool{false, true} {
			t.Run(tc.name, func(t *testing.T) {
				r := newHostRig(t)
				c := r.client(5)
				prompt := tokens(1, 3*chunkTokens)
				k := key("a", prompt, 0, 3)
				if prepared {
					fill(c.prepare(k), 99, 0)
				}
				if c.commit(k, tc.data...) {
					t.Error("true")
				}
				if r.staged() != 0 {
					t.Errorf("%d chunks staged", r.staged())
				}
				c.check(1, prompt, tc.found)
				if !c.commit(k, good...) {
					t.Error("the next store is false")
				}
				c.check(1, prompt, 3)
				oneEnd(t, r.events())
			})
		}
	}
}

// TestREQ_E25_TrueMeansPresent: after true, a lookup finds every chunk; lack of
// memory is false, and what fits is a prefix.
func TestREQ_E25_TrueMeansPresent(t *testing.T) {
	for bytesOfL1 := int64(1); bytesOfL1 <= 6; bytesOfL1++ {
		r := newHostRig(t, func(o *lmcache.Options) { o.L1.Bytes = bytesOfL1 * objectBytes })
		c := r.client(5)
		prompt := tokens(1, 5*chunkTokens)
		want := min(int(bytesOfL1), 5)
		if got := c.commit(key("a", prompt, 0, 5), tensorsOf(1, 0, 5)...); got != (want == 5) {
			t.Errorf("memory for %d chunks: %v", bytesOfL1, got)
		}
		c.check(1, prompt, want)
		s := r.session("b")
		m := s.Lookup(t.Context(), prompt) // leases all of it
		st := c.prepare(key("c", tokens(2, 2*chunkTokens), 0, 2))
		if n := len(st.Slots()); n != min(int(bytesOfL1)-want, 2) || st.Commit() != nil {
			t.Errorf("%d slots", n)
		}
		if r.found(m) != min(want*chunkTokens, len(prompt)-1) {
			t.Error("the leased chunks are gone")
		}
	}
}

// TestHostTensorConversion: another floating point type is converted, and strides are
// followed.
func TestHostTensorConversion(t *testing.T) {
	r := newHostRig(t)
	id := int64(9)
	h := r.attach(lmcache.HostOptions{Instance: &id, Model: "f", Geometry: &lmcache.HostGeometry{Layers: 1, Slots: 2, Hidden: 2, DType: kv.BFloat16}})
	k := lmcache.HostKey{Request: lmcache.Request{ID: "a", Model: "f", WorldSize: 1}, Tokens: tokens(1, chunkTokens), End: chunkTokens}
	// [plane, layer, slot, hidden] of values 0 … 7, stored with slots and hidden swapped.
	var data []byte
	for _, v := range []float32{0, 2, 1, 3, 4, 6, 5, 1 + 1.0/256} {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	ok, err := h.CommitStoreData(t.Context(), k, []lmcache.HostTensor{{
		DType: "torch.float32", Shape: []int64{2, 1, 2, 2}, Strides: []int64{4, 4, 1, 2}, Data: data,
	}})
	if !ok || err != nil {
		t.Fatalf("%v, %v", ok, err)
	}
	s := r.eng.Session(lmcache.Request{ID: "b", Model: "f"})
	in := r.readBy(h, s.Lookup(t.Context(), k.Tokens), 0, 1)
	var got []byte
	for _, b := range in.All() {
		got = bytes.Clone(b)
	}
	var want []byte
	for _, v := range []float32{0, 1, 2, 3, 4, 5, 6, 1} { // the last one is a tie
		want = binary.LittleEndian.AppendUint16(want, uint16(math.Float32bits(v)>>16))
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// TestHostRemoteRetrieve: a remote retrieve reads the current lookup of its request
// and nothing else; repeating any step is harmless.
func TestHostRemoteRetrieve(t *testing.T) {
	r := newHostRig(t)
	c := r.client(5)
	prompt := tokens(1, 3*chunkTokens)
	r.keep(1, prompt)
	k := key("a", prompt, 0, 3)
	prepare := func(k lmcache.HostKey) *lmcache.HostRead {
		t.Helper()
		in, err := c.h.PrepareRetrieveKey(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	commit := func(k lmcache.HostKey) {
		t.Helper()
		if err := c.h.CommitRetrieve(k); err != nil {
			t.Error(err)
		}
	}
	if prepare(k).Success() {
		t.Error("a hit without a lookup")
	}
	commit(k)
	r.eng.OpenSession(k.Request).Lookup(t.Context(), prompt)
	if n := r.leased(); n != 3 {
		t.Errorf("%d leased", n)
	}
	foreign := key("a", tokens(2, 3*chunkTokens), 0, 3)
	if prepare(foreign).Success() {
		t.Error("a hit with other tokens")
	}
	salted := k
	salted.Request.Salt = "other"
	if prepare(salted).Success() {
		t.Error("a hit with another salt")
	}
	if n := r.leased(); n != 3 {
		t.Errorf("%d leased after misses of others", n)
	}
	in := prepare(k)
	same(t, in, 1, 0, 3)
	if again := prepare(k); again != in {
		t.Error("another read")
	}
	if s := in.Slots(); len(s) != 3 || s[2].Chunk != 2 || s[2].Bytes != objectBytes || s[2].Offset < 0 {
		t.Errorf("slots %+v", s)
	}
	if err := r.eng.EndSession("a"); err != nil {
		t.Error(err)
	}
	same(t, in, 1, 0, 3)
	for range 2 {
		commit(k)
	}
	if n := r.leased(); n != 0 {
		t.Errorf("%d leased after the commit", n)
	}
	// One that is never committed comes back.
	r.eng.OpenSession(lmcache.Request{ID: "b", Model: model, WorldSize: 1}).Lookup(t.Context(), prompt)
	same(t, prepare(key("b", prompt, 0, 3)), 1, 0, 3)
	if err := r.eng.EndSession("b"); err != nil {
		t.Error(err)
	}
	r.wait(l1.DefaultReadTTL + time.Second)
	if st := r.eng.Stats(); st.HostWorkers[1].LentReads != 0 || st.Storage.L1.ReadingObjects != 0 || st.Quarantined != 1 {
		t.Errorf("%d lent, %d leased, %d in quarantine", st.HostWorkers[1].LentReads, st.Storage.L1.ReadingObjects, st.Quarantined)
	}
	r.wait(l1.DefaultWriteTTL + time.Second)
	r.idle()
	oneEnd(t, r.events())
}

// TestREQ_E41_UnknownInstance: after a restart of the engine every verb of a client
// that still lives says that it is unknown, and after it has registered again it
// works.
func TestREQ_E41_UnknownInstance(t *testing.T) {
	id := int64(math.MinInt64)
	r := newHostRig(t)
	first := r.client(id)
	boot := r.eng.BootID()
	r.shut()
	if _, err := first.h.PrepareStoreKey(t.Context(), key("a", tokens(1, 16), 0, 1)); !errors.Is(err, lmcache.ErrClosed) {
		t.Errorf("the old engine: %v", err)
	}
	if _, err := first.h.CommitStoreData(t.Context(), key("a", tokens(1, 16), 0, 1), tensorsOf(1, 0, 1)); !errors.Is(err, lmcache.ErrClosed) {
		t.Errorf("the old engine: %v", err)
	}
	if _, err := first.h.PrepareRetrieveKey(t.Context(), key("a", tokens(1, 16), 0, 1)); !errors.Is(err, lmcache.ErrClosed) {
		t.Errorf("the old engine: %v", err)
	}
	if err := first.h.CommitRetrieve(key("a", tokens(1, 16), 0, 1)); !errors.Is(err, lmcache.ErrClosed) {
		t.Errorf("the old engine: %v", err)
	}
	r = newHostRig(t)
	if r.eng.BootID() == boot {
		t.Error("the same boot id")
	}
	if _, err := r.eng.Host(id); !errors.Is(err, lmcache.ErrUnknownInstance) {
		t.Errorf("host: %v", err)
	}
	if _, err := r.eng.Instance(id); !errors.Is(err, lmcache.ErrUnknownInstance) {
		t.Errorf("instance: %v", err)
	}
	if r.eng.Ping(id) {
		t.Error("ping: known")
	}
	if err := r.eng.Detach(t.Context(), id); err != nil {
		t.Errorf("detach: %v", err)
	}
	if r.eng.Stats().Sessions != 0 {
		t.Error("a session was created")
	}
	c := r.client(id)
	if h, err := r.eng.Host(id); err != nil || h != c.h || !r.eng.Ping(id) || h.ID() != "-9223372036854775808" {
		t.Errorf("after registration: %v", err)
	}
	if !c.commit(key("a", tokens(1, 16), 0, 1), tensorsOf(1, 0, 1)...) {
		t.Error("a store after registration is false")
	}
}
