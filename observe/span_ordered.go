package observe

import (
	"container/list"
	"iter"
)

// ordered is a map that knows which entry was used longest ago. The zero value is
// empty.
type ordered[V any] struct {
	by    map[string]*list.Element
	order list.List // of entry[V], the one used longest ago in front
}

type entry[V any] struct {
	key   string
	value V
}

func (o *ordered[V]) len() int { return len(o.by) }

// get returns the value of key.
func (o *ordered[V]) get(key string) (V, bool) {
	if el, ok := o.by[key]; ok {
		return el.Value.(entry[V]).value, true
	}
	var none V
	return none, false
}

// touch makes key the one used last.
func (o *ordered[V]) touch(key string) {
	if el, ok := o.by[key]; ok {
		o.order.MoveToBack(el)
	}
}

// put sets the value of key, which becomes the one used last.
func (o *ordered[V]) put(key string, v V) {
	if el, ok := o.by[key]; ok {
		el.Value = entry[V]{key, v}
		o.order.MoveToBack(el)
		return
	}
	if o.by == nil {
		o.by = make(map[string]*list.Element)
	}
	o.by[key] = o.order.PushBack(entry[V]{key, v})
}

func (o *ordered[V]) remove(key string) {
	if el, ok := o.by[key]; ok {
		o.order.Remove(el)
		delete(o.by, key)
	}
}

// oldest is the entry used longest ago. There must be one.
func (o *ordered[V]) oldest() (key string, v V) {
	e := o.order.Front().Value.(entry[V])
	return e.key, e.value
}

// all yields the values, oldest first. The one that was yielded last may be removed.
func (o *ordered[V]) all() iter.Seq[V] {
	return func(yield func(V) bool) {
		for el := o.order.Front(); el != nil; {
			next := el.Next()
			if !yield(el.Value.(entry[V]).value) {
				return
			}
			el = next
		}
	}
}
