package fake

import (
	"testing"

	"github.com/lmcache-go/lmcache/gpu"
)

// TestBatch: what is taken out is what was put in, a batch is used again, and the
// memory of a burst is given back.
func TestBatch(t *testing.T) {
	var b batch
	for round := range 3 {
		items := []int{1, keptItems * 2, 1}[round]
		list := make([]gpu.BlockID, keptBlocks/keptItems)
		for i := range items {
			list[0] = gpu.BlockID(i)
			b.add(item{kind: Gather, group: i}, list[:1+i%len(list)])
		}
		for i, it := range b.items {
			blocks := b.blocks[it.first:][:it.blocks]
			if it.group != i || len(blocks) != 1+i%len(list) || blocks[0] != gpu.BlockID(i) {
				t.Fatalf("item %d: group %d, blocks %v", i, it.group, blocks)
			}
		}
		first := &b.items[0]
		b.reset()
		if first.kind != Copy {
			t.Error("reset keeps what the items refer to")
		}
		if len(b.items) != 0 || len(b.blocks) != 0 {
			t.Error("reset keeps items")
		}
		if cap(b.items) > keptItems || cap(b.blocks) > keptBlocks {
			t.Errorf("reset keeps room for %d items and %d blocks", cap(b.items), cap(b.blocks))
		}
	}
}

func TestNames(t *testing.T) {
	d := New(Options{Index: 7})
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if got := d.Device(); got != "fake:7" {
		t.Errorf("Device %q", got)
	}
	for i, p := range []gpu.Priority{gpu.High, gpu.Normal} {
		s, err := d.OpenStream(p)
		if err != nil {
			t.Fatal(err)
		}
		if s.Priority() != p || s.Number() != i {
			t.Errorf("stream %d of %v priority: number %d, %v", i, p, s.Number(), s.Priority())
		}
	}
	if len(kindNames) != int(finish)+1 {
		t.Errorf("%d names of %d kinds", len(kindNames), finish+1)
	}
	if got := Gather.String() + Open.String() + Kind(200).String(); got != "gatheropen200" {
		t.Errorf("kinds %q", got)
	}
}
