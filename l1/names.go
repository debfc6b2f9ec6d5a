package l1

// names interns model names or salts as small reference-counted ids, so that
// index records hold no pointers. Id 0 is never given out.
type names struct {
	ids    map[string]uint32
	recs   []name
	free   []uint32
	last   string // text looked up last, and its id: the keys of a call have one
	lastID uint32
}

type name struct {
	text      string
	refs      int64
	bytes     int64 // physical bytes of the objects that carry it, staged included
	evictable int64 // those of them that are resident and not pinned
	quota     int64 // most bytes, if limited
	limited   bool
}

func newNames() names { return names{ids: make(map[string]uint32), recs: make([]name, 1)} }

// lookup is the id of text, or 0.
func (n *names) lookup(text string) uint32 {
	if n.lastID != 0 && n.last == text {
		return n.lastID
	}
	id := n.ids[text]
	n.last, n.lastID = text, id
	return id
}

// ref is the id of text, one reference more.
func (n *names) ref(text string) uint32 {
	id := n.lookup(text)
	if id == 0 {
		if k := len(n.free); k > 0 {
			id, n.free = n.free[k-1], n.free[:k-1]
		} else {
			id = uint32(len(n.recs))
			n.recs = append(n.recs, name{})
		}
		n.recs[id] = name{text: text}
		n.ids[text] = id
		n.last, n.lastID = text, id
	}
	n.recs[id].refs++
	return id
}

// unref gives one reference back and forgets a text that nobody refers to.
func (n *names) unref(id uint32) {
	r := &n.recs[id]
	if r.refs--; r.refs > 0 {
		return
	}
	delete(n.ids, r.text)
	n.lastID = 0
	*r = name{}
	n.free = append(n.free, id)
}
