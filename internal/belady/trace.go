package belady

// never is the next request of a chunk that is not requested again.
const never = int32(1<<31 - 1)

// Trace is a list of requests, in order. The zero value is empty. It is not safe
// for concurrent use while something is added.
type Trace struct {
	nodes map[edge]int32
	depth []int32 // of node n, 0 for the first chunk of a request
	size  []int64 // of node n, as far as it is not 1
	path  []int32 // the nodes of all requests, one after the other
	ends  []int   // in path, of each request
	kinds []Kind  // of each request, as far as they are not Prefix
}

// Kind says what a request does.
type Kind uint8

// Kinds.
const (
	Prefix Kind = iota // reads the contiguous prefix that is resident and inserts the rest
	Sparse             // reads every chunk that is resident and inserts the others
	Insert             // reads nothing
)

// edge leads from a node of the tree to the one below it.
type edge struct {
	from int32 // node, -1 for the root
	id   uint64
}

// Add appends a request for chunks with the given ids. An id need only tell a chunk
// from others that have the same chunks before them. The ids are not kept.
func (t *Trace) Add(ids []uint64) {
	if t.nodes == nil {
		t.nodes = make(map[edge]int32)
	}
	at := int32(-1)
	for depth, id := range ids {
		e := edge{at, id}
		next, ok := t.nodes[e]
		if !ok {
			next = int32(len(t.depth))
			t.nodes[e] = next
		}
		t.append(next, depth)
		at = next
	}
	t.end(Prefix)
}

// AddNumbered appends a request for chunks that the caller numbers, from 0 without
// holes in the order in which they first appear: equal numbers are equal chunks. Add
// is not used on the same trace.
func (t *Trace) AddNumbered(kind Kind, chunks []int32) {
	for depth, n := range chunks {
		t.append(n, depth)
	}
	t.end(kind)
}

// SetSize says how large a chunk is that was added; without it, 1. Capacities are in
// the same unit.
func (t *Trace) SetSize(chunk int32, size int64) {
	for len(t.size) <= int(chunk) {
		t.size = append(t.size, 1)
	}
	t.size[chunk] = size
}

// append adds a node to the path.
func (t *Trace) append(n int32, depth int) {
	if int(n) == len(t.depth) {
		t.depth = append(t.depth, int32(depth))
	}
	t.path = append(t.path, n)
}

// end ends the request that was appended to.
func (t *Trace) end(kind Kind) {
	t.ends = append(t.ends, len(t.path))
	if kind != Prefix {
		for len(t.kinds) < len(t.ends) {
			t.kinds = append(t.kinds, Prefix)
		}
		t.kinds[len(t.ends)-1] = kind
	}
}

// kind is what request i does.
func (t *Trace) kind(i int) Kind {
	if i < len(t.kinds) {
		return t.kinds[i]
	}
	return Prefix
}

// sizeOf is the size of a node.
func (t *Trace) sizeOf(n int32) int64 {
	if int(n) < len(t.size) {
		return t.size[n]
	}
	return 1
}

// count adds what request i finds, given which nodes are resident.
func (t *Trace) count(c *Count, i int, resident func(int32) bool) {
	kind := t.kind(i)
	if kind == Insert {
		return
	}
	found := true
	for _, n := range t.request(i) {
		size := t.sizeOf(n)
		c.Requested++
		c.RequestedSize += size
		if kind == Sparse {
			found = true
		}
		if found = found && resident(n); found {
			c.Hits++
			c.HitSize += size
		}
	}
}

// Requests is the number of requests.
func (t *Trace) Requests() int { return len(t.ends) }

// Chunks is the number of different chunks.
func (t *Trace) Chunks() int { return len(t.depth) }

// request returns the nodes of request i.
func (t *Trace) request(i int) []int32 {
	if i == 0 {
		return t.path[:t.ends[0]]
	}
	return t.path[t.ends[i-1]:t.ends[i]]
}

// Count is the outcome of a trace. Sizes are in the unit of SetSize.
type Count struct {
	Hits                   int64 // chunks that were served
	Requested              int64 // chunks of requests that read
	HitSize, RequestedSize int64 // the same
}

// Ratio is hits per requested chunk, 0 if none was requested.
func (c Count) Ratio() float64 { return ratio(c.Hits, c.Requested) }

// SizeRatio is the part of the requested size that was served.
func (c Count) SizeRatio() float64 { return ratio(c.HitSize, c.RequestedSize) }

func ratio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// Infinite is the outcome with a cache that holds everything.
func (t *Trace) Infinite() Count {
	var c Count
	seen := make([]bool, len(t.depth))
	for i := range t.ends {
		t.count(&c, i, func(n int32) bool { return seen[n] })
		for _, n := range t.request(i) {
			seen[n] = true
		}
	}
	return c
}
