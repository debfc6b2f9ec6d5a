package lmcache_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// script is arguments made of bytes.
type script struct{ b []byte }

func (s *script) byte() int {
	if len(s.b) == 0 {
		return 0
	}
	n := s.b[0]
	s.b = s.b[1:]
	return int(n)
}

// number is often small, and sometimes anything.
func (s *script) number() int {
	n := s.byte()
	if n < 200 {
		return (n - 20) * 8
	}
	var b [8]byte
	s.b = s.b[copy(b[:], s.b):]
	return int(binary.LittleEndian.Uint64(b[:]))
}

func (s *script) text() string {
	n := min(s.byte(), len(s.b))
	text := string(s.b[:n])
	s.b = s.b[n:]
	return text
}

func (s *script) request() lmcache.Request {
	r := lmcache.Request{ID: string(rune('a' + s.byte()%4)), Model: model, WorldSize: 1 + s.byte()%2}
	switch s.byte() {
	case 1:
		r.ID = s.text()
	case 2:
		r.Model = s.text()
	case 3:
		r.WorldSize = s.number()
	case 4:
		r.Salt = s.text()
	case 5:
		r.Readers = s.number()
	}
	return r
}

func (s *script) key() lmcache.HostKey {
	return lmcache.HostKey{
		Request: s.request(), Rank: s.byte() % 3, Start: s.number(), End: s.number(),
		Tokens: tokens(uint64(s.byte()%3), min(max(s.number(), 0), 1000)),
	}
}

func (s *script) tensors() (list []lmcache.HostTensor) {
	for range s.byte() % 5 {
		x := lmcache.HostTensor{DType: kv.Float16, Shape: []int64{2, 2, 16, 8}, Data: make([]byte, objectBytes)}
		switch s.byte() % 8 {
		case 0:
			x.DType = kv.DType(s.text())
		case 1:
			x.DType, x.Data = kv.Float32, make([]byte, 2*objectBytes)
		case 2:
			x.Shape[s.byte()%4] = int64(s.number())
		case 3:
			x.Strides = []int64{int64(s.number()), int64(s.number()), int64(s.number()), int64(s.number())}
		case 4:
			x.Data = x.Data[:min(max(s.number(), 0), len(x.Data))]
		case 5:
			x = lmcache.HostTensor{}
		case 6:
			x.Shape = x.Shape[:s.byte()%5]
		}
		list = append(list, x)
	}
	return list
}

// FuzzREQ_E57_HostVerbs: no argument of any verb panics, or leaves anything behind
// when the worker is detached.
func FuzzREQ_E57_HostVerbs(f *testing.F) {
	f.Add([]byte("abcdefghijklmnopqrstuvwxyz0123456789"))
	f.Add([]byte{0, 0, 0, 0, 0, 20, 22, 0, 22, 1, 0, 0, 0, 0, 20, 22, 0, 22, 4, 4, 1, 3, 250, 1, 2, 3, 4, 5, 6, 7, 8})
	for i := range byte(9) { // each verb with arguments that are right
		f.Add([]byte{i, 0, 0, 0, 0, 20, 24, 0, 30, 2, 7, 7, i, 0, 0, 0, 0, 20, 24, 0, 30})
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rt := runtime.NewVirtual(runtime.VirtualOptions{})
		e, err := lmcache.Open(t.Context(), lmcache.Options{
			ChunkTokens: chunkTokens, L1: l1.Options{Bytes: 64 << 10, Align: 64}, Runtime: rt, ReapTimeout: 30 * time.Second, SessionTTL: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		for id := range int64(2) {
			if _, err := e.AttachHost(lmcache.HostOptions{Model: model, WorldSize: int(1 + id), Instance: &id, Geometry: hostGeometry(), Shared: id == 0}); err != nil {
				t.Fatal(err)
			}
		}
		s := &script{b[:min(len(b), 4096)]}
		for len(s.b) > 0 {
			fuzzVerb(t, e, rt, s)
		}
		if err := e.Check(); err != nil {
			t.Error(err)
		}
		for id := range int64(2) {
			if err := e.Detach(t.Context(), id); err != nil {
				t.Error(err)
			}
		}
		if got := e.Stats().Storage.L1; got.WritingObjects != 0 {
			t.Errorf("%d staged", got.WritingObjects)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// fuzzVerb calls a verb. Errors are what it may answer.
func fuzzVerb(t *testing.T, e *lmcache.Engine, rt *runtime.Virtual, s *script) {
	t.Helper()
	verb := s.byte() % 10
	h, err := e.Host(int64(s.byte() % 2))
	if err != nil {
		return // it was reaped
	}
	ctx := t.Context()
	switch verb {
	case 0:
		if st, err := h.PrepareStoreKey(ctx, s.key()); err == nil {
			for _, slot := range st.Slots() {
				if slot.Offset < 0 || slot.Offset+slot.Bytes > 64<<10 {
					t.Errorf("slot %+v lies outside", slot)
				}
			}
		}
	case 1:
		_, _ = h.CommitStore(ctx, s.key())
	case 2:
		_, _ = h.CommitStoreData(ctx, s.key(), s.tensors())
	case 3:
		_, _ = h.PrepareRetrieveKey(ctx, s.key())
	case 4:
		_ = h.CommitRetrieve(s.key())
	case 5:
		k := s.key()
		e.OpenSession(k.Request).Lookup(ctx, k.Tokens)
	case 6:
		if found := e.FindSession(s.request()); found != nil && found.Match() != nil {
			found.Match().Release(s.number(), s.number())
		}
	case 7:
		_ = e.EndSession(s.request().ID)
	case 8:
		e.Ping(int64(s.number()))
		rt.RunUntil(rt.Now().Add(time.Duration(s.byte()) * time.Second))
	case 9:
		_, _ = e.AttachHost(lmcache.HostOptions{
			Model: s.text(), WorldSize: s.number(), Rank: s.number(),
			Geometry: &lmcache.HostGeometry{Layers: s.number(), Hidden: s.number(), Slots: s.number(), BlockTokens: s.number(), DType: kv.DType(s.text()), MLA: s.byte()%2 == 0},
		})
	}
}

// TestHostRanks: one remote worker serves all ranks of its keys; a chunk is there when
// all of them are.
func TestHostRanks(t *testing.T) {
	r := newHostRig(t)
	id := int64(3)
	h := r.attach(lmcache.HostOptions{Model: "two", WorldSize: 2, Instance: &id})
	prompt := tokens(1, 2*chunkTokens)
	k := lmcache.HostKey{Request: lmcache.Request{ID: "a", Model: "two", WorldSize: 2}, Tokens: prompt, End: len(prompt)}
	for rank := range 2 {
		if n := r.hitsOf(k.Request, prompt); n != 0 {
			t.Errorf("%d chunks of %d ranks found", n, rank)
		}
		k.Rank = rank
		if ok, err := h.CommitStoreData(t.Context(), k, tensorsOf(uint64(rank), 0, 2)); !ok || err != nil {
			t.Errorf("rank %d: %v, %v", rank, ok, err)
		}
	}
	r.eng.OpenSession(k.Request).Lookup(t.Context(), prompt)
	for rank := range 2 {
		k.Rank = rank
		in, err := h.PrepareRetrieveKey(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		same(t, in, uint64(rank), 0, 2)
		if got := r.leased(); got != int64(4-2*rank) {
			t.Errorf("%d objects leased", got)
		}
		if err := h.CommitRetrieve(k); err != nil {
			t.Error(err)
		}
		if got := r.leased(); got != int64(2-2*rank) {
			t.Errorf("%d objects leased after rank %d", got, rank)
		}
	}
	for _, rank := range []int{-1, 2, 300} {
		k.Rank = rank
		if _, err := h.PrepareStoreKey(t.Context(), k); err == nil {
			t.Errorf("rank %d is accepted", rank)
		}
	}
}
