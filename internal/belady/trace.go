package belady

// never is the next request of a chunk that is not requested again.
const never = int32(1<<31 - 1)

// Trace is a list of requests, in order. The zero value is empty. It is not safe
// for concurrent use while Add runs.
type Trace struct {
	nodes map[edge]int32
	depth []int32 // of node n, 0 for the first chunk of a request
	path  []int32 // the nodes of all requests, one after the other
	ends  []int   // in path, of each request
}

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
			t.depth = append(t.depth, int32(depth))
		}
		t.path = append(t.path, next)
		at = next
	}
	t.ends = append(t.ends, len(t.path))
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

// Count is the outcome of a trace.
type Count struct {
	Hits      int64 // chunks of contiguous prefixes that were resident
	Requested int64 // chunks
}

// Ratio is hits per requested chunk, 0 if none was requested.
func (c Count) Ratio() float64 {
	if c.Requested == 0 {
		return 0
	}
	return float64(c.Hits) / float64(c.Requested)
}

// Infinite is the outcome with a cache that holds everything.
func (t *Trace) Infinite() Count {
	requested := int64(len(t.path))
	return Count{Hits: requested - int64(len(t.depth)), Requested: requested}
}
