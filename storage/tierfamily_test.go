package storage_test

import (
	"fmt"
	"testing"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// ranked are the keys of chunks, each of the ranks of a world, chunk by chunk.
func ranked(names []string, ranks ...int) (list []kv.Key) {
	for _, n := range names {
		for _, r := range ranks {
			k := key(n)
			k.Rank = 4<<24 | uint32(r)<<16 | 4<<8 | uint32(r)
			list = append(list, k)
		}
	}
	return list
}

func (w *world) putKeys(list []kv.Key) {
	w.t.Helper()
	l, err := w.m.ReserveWrite(w.t.Context(), list, w.layout, storage.New, storage.WriteOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	l.Finish()
}

// REQ-S39: the ranks of a chunk leave a tier together, and the end of a prompt first,
// whether the ranks were stored in one call or each on its own.
func TestREQ_S39_RanksLeaveATierTogether(t *testing.T) {
	s := newShelf()
	w := newTierWorld(t, 512, []*shelf{s}, capped(64, nil))
	const prompts = 40
	length := func(i int) int { return 1 + i*7%6 }
	name := func(i, j int) string { return fmt.Sprintf("%d.%d", i, j) }
	gone := 0
	for i := range prompts {
		var chunks []string
		for j := range length(i) {
			chunks = append(chunks, name(i, j))
		}
		if i%2 == 0 {
			w.putKeys(ranked(chunks, 0, 1, 2, 3))
		} else {
			for r := range 4 {
				w.putKeys(ranked(chunks, r))
			}
		}
		w.flush()
		w.v.Run()
		gone = 0
		for i := range i + 1 {
			before := 4
			for j := range length(i) {
				there := 0
				for _, k := range ranked([]string{name(i, j)}, 0, 1, 2, 3) {
					if _, ok := s.objects[k]; ok {
						there++
					}
				}
				if there != 0 && there != 4 || there > before {
					t.Fatalf("chunk %d of prompt %d has %d ranks, the one before it %d", j, i, there, before)
				}
				if before = there; there == 0 {
					gone++
				}
			}
		}
		if err := w.m.Check(); err != nil {
			t.Fatal(err)
		}
	}
	if gone < prompts {
		t.Errorf("only %d chunks left the tier: the test proves little", gone)
	}
}
