package policy

// list is a doubly linked list threaded through the nodes; next leads from the
// head to the tail.
type list struct{ head, tail uint32 }

func (p *order) pushFront(l *list, id ID, n *node) {
	n.prev, n.next = 0, l.head
	if l.head != 0 {
		p.at(l.head).prev = id
	} else {
		l.tail = id
	}
	l.head = id
}

func (p *order) pushBack(l *list, id ID, n *node) {
	n.prev, n.next = l.tail, 0
	if l.tail != 0 {
		p.at(l.tail).next = id
	} else {
		l.head = id
	}
	l.tail = id
}

func (p *order) cut(l *list, n *node) {
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
