package policy

// list is a doubly linked list threaded through the nodes; next leads from the
// head to the tail.
type list struct{ head, tail uint32 }

func (p *LRU) pushFront(l *list, id ID, n *node) {
	n.prev, n.next = 0, l.head
	if l.head != 0 {
		p.at(l.head).prev = id
	} else {
		l.tail = id
	}
	l.head = id
}

func (p *LRU) pushBack(l *list, id ID, n *node) {
	n.prev, n.next = l.tail, 0
	if l.tail != 0 {
		p.at(l.tail).next = id
	} else {
		l.head = id
	}
	l.tail = id
}

func (p *LRU) cut(l *list, n *node) {
	if n.prev != 0 {
		p.at(n.prev).next = n.next
	} else {
		l.head = n.next
	}
	if n.next != 0 {
		p.at(n.next).prev = n.prev
	} else {
		l.tail = n.prev
	}
	n.prev, n.next = 0, 0
}

// A pairing heap by ascending number is known by its root. Children are a list
// by next that begins at child; prev is the sibling before or, of the first
// child, the parent. Roots have neither prev nor next.

// meld joins two heaps and returns the root.
func (p *LRU) meld(a, b uint32) uint32 {
	switch {
	case a == 0:
		return b
	case b == 0:
		return a
	}
	na, nb := p.at(a), p.at(b)
	if nb.seq < na.seq {
		a, b, na, nb = b, a, nb, na
	}
	if nb.next = na.child; nb.next != 0 {
		p.at(nb.next).prev = b
	}
	nb.prev, na.child = a, b
	return a
}

// heapRemove takes an entry out of the heap of root and returns the new root.
func (p *LRU) heapRemove(root uint32, id ID, n *node) uint32 {
	below := p.combine(n.child)
	n.child = 0
	if id == root {
		return below
	}
	if before := p.at(n.prev); before.child == id {
		before.child = n.next
	} else {
		before.next = n.next
	}
	if n.next != 0 {
		p.at(n.next).prev = n.prev
	}
	n.prev, n.next = 0, 0
	return p.meld(root, below)
}

// combine makes one heap of a list of siblings: in pairs from the first to the
// last, then all pairs from the last to the first.
func (p *LRU) combine(first uint32) uint32 {
	var pairs uint32
	for first != 0 {
		a := first
		na := p.at(a)
		b := na.next
		na.prev, na.next = 0, 0
		if first = 0; b != 0 {
			nb := p.at(b)
			first = nb.next
			nb.prev, nb.next = 0, 0
			a = p.meld(a, b)
		}
		p.at(a).next, pairs = pairs, a
	}
	var root uint32
	for pairs != 0 {
		a := pairs
		na := p.at(a)
		pairs, na.next = na.next, 0
		root = p.meld(root, a)
	}
	return root
}
