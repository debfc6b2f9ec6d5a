package curve

import (
	"cmp"
	"slices"

	"github.com/lmcache-go/lmcache/internal/belady"
)

// Stack is exact LRU for every size at once.
type Stack struct {
	needs                 []need // by bytes, cumulated
	requested, totalBytes int64
}

// need is that with so many bytes or more so much is served.
type need struct {
	bytes         int64
	hits, hitSize int64
}

// Stack computes the stack distances of w, in time proportional to n log n.
func (w *Workload) Stack() *Stack {
	s := &Stack{requested: w.Keys, totalBytes: w.Bytes}
	used := newSums(len(w.path))
	last := make([]int, len(w.keys)) // slot of the last use of a node, from 1; 0: none
	slot := 0
	for i := range w.events {
		e := &w.events[i]
		nodes := w.path[e.lo:e.hi]
		if e.kind != belady.Insert {
			s.read(w, e.kind, nodes, used, last)
		}
		for _, n := range slices.Backward(nodes) {
			if last[n] > 0 {
				used.add(last[n], -w.sizes[n])
			}
			slot++
			used.add(slot, w.sizes[n])
			last[n] = slot
		}
	}
	slices.SortFunc(s.needs, func(a, b need) int { return cmp.Compare(a.bytes, b.bytes) })
	for i := 1; i < len(s.needs); i++ {
		s.needs[i].hits += s.needs[i-1].hits
		s.needs[i].hitSize += s.needs[i-1].hitSize
	}
	return s
}

// read notes how large a cache must be for each chunk of a request. One that is not
// sparse needs all chunks before, too.
func (s *Stack) read(w *Workload, kind belady.Kind, nodes []int32, used *sums, last []int) {
	before := int64(0)
	for _, n := range nodes {
		if last[n] == 0 {
			if kind == belady.Sparse {
				continue
			}
			return
		}
		bytes := used.total - used.upTo(last[n]-1)
		if kind != belady.Sparse {
			before = max(before, bytes)
			bytes = before
		}
		s.needs = append(s.needs, need{bytes, 1, w.sizes[n]})
	}
}

// At is what a cache of so many bytes serves.
func (s *Stack) At(bytes int64) belady.Count {
	c := belady.Count{Requested: s.requested, RequestedSize: s.totalBytes}
	i, _ := slices.BinarySearchFunc(s.needs, bytes, func(n need, bytes int64) int {
		if n.bytes <= bytes {
			return -1
		}
		return 1
	})
	if i > 0 {
		c.Hits, c.HitSize = s.needs[i-1].hits, s.needs[i-1].hitSize
	}
	return c
}

// sums are numbers at places from 1, whose prefix sums take time proportional to
// log n (Fenwick's tree).
type sums struct {
	tree  []int64
	total int64
}

func newSums(n int) *sums { return &sums{tree: make([]int64, n+1)} }

func (s *sums) add(at int, v int64) {
	s.total += v
	for ; at < len(s.tree); at += at & -at {
		s.tree[at] += v
	}
}

// upTo is the sum of the places up to at.
func (s *sums) upTo(at int) (sum int64) {
	for ; at > 0; at -= at & -at {
		sum += s.tree[at]
	}
	return sum
}
