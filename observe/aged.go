package observe

// aged is a map of bounded size that knows the order in which its entries were
// put. Nodes lie in one slice and are used again, so that a full map allocates
// nothing, and one whose keys and values hold no pointers is not scanned.
type aged[K comparable, V any] struct {
	limit int
	index map[K]int32
	nodes []agedNode[K, V] // the first one closes the ring: its next is the oldest
	free  int32            // list of unused nodes by next; 0: none
}

type agedNode[K comparable, V any] struct {
	key        K
	value      V
	next, prev int32
}

func newAged[K comparable, V any](limit int) aged[K, V] {
	return aged[K, V]{limit: limit, index: make(map[K]int32), nodes: make([]agedNode[K, V], 1)}
}

func (a *aged[K, V]) len() int { return len(a.index) }

// full reports whether a further key pushes the oldest entry out.
func (a *aged[K, V]) full() bool { return len(a.index) >= a.limit }

// get returns the value of k until the next put; nil if there is none.
func (a *aged[K, V]) get(k K) *V {
	i, ok := a.index[k]
	if !ok {
		return nil
	}
	return &a.nodes[i].value
}

// put sets the value of k and makes it the youngest. It reports whether the
// oldest entry had to go for it.
func (a *aged[K, V]) put(k K, v V) (pushed bool) {
	a.remove(k)
	if a.full() {
		pushed = true
		a.remove(a.nodes[a.nodes[0].next].key)
	}
	i := a.free
	if i == 0 {
		i = int32(len(a.nodes))
		a.nodes = append(a.nodes, agedNode[K, V]{})
	} else {
		a.free = a.nodes[i].next
	}
	last := a.nodes[0].prev
	a.nodes[i] = agedNode[K, V]{key: k, value: v, prev: last}
	a.nodes[last].next = i
	a.nodes[0].prev = i
	a.index[k] = i
	return pushed
}

// remove forgets k; false if it was not there.
func (a *aged[K, V]) remove(k K) bool {
	i, ok := a.index[k]
	if !ok {
		return false
	}
	delete(a.index, k)
	n := a.nodes[i]
	a.nodes[n.prev].next = n.next
	a.nodes[n.next].prev = n.prev
	a.nodes[i] = agedNode[K, V]{next: a.free}
	a.free = i
	return true
}

// oldest is the entry that was put first; false if there is none.
func (a *aged[K, V]) oldest() (k K, v V, ok bool) {
	i := a.nodes[0].next
	return a.nodes[i].key, a.nodes[i].value, i != 0
}
