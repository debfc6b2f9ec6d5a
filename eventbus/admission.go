package eventbus

import "sync/atomic"

// admission decides for one class of one lane whether an event has room. An
// event waits from its admission until its handling begins. Publishers count
// what they admit under the lane's mutex; the consumer stores what it has begun
// without it, every few events (lane.stride). Publishers look there only when
// the class seems full, so that the cache line stays with the consumer.
type admission struct {
	limit, keyLimit uint64
	events, keys    uint64 // admitted so far
	seen            totals // begun, when last looked at
}

// totals are events and their keys, counted from the start of the lane.
type totals struct{ events, keys uint64 }

func (t *totals) add(events, keys uint64) {
	t.events += events
	t.keys += keys
}

// begun is what the consumer of a lane has begun to handle of one class: one
// writer, any reader.
type begun struct {
	events, keys atomic.Uint64
	mine         totals // the writer's own, ahead of the atomics
}

func (b *begun) store() {
	if b.events.Load() != b.mine.events {
		b.keys.Store(b.mine.keys)
		b.events.Store(b.mine.events)
	}
}

func (b *begun) load() totals { return totals{b.events.Load(), b.keys.Load()} }

// admitLocked counts an event as waiting if there is room. An event whose own
// keys exceed the limit is admitted while no other keys wait, so that a limit
// smaller than one call cannot silence a type for good.
func (a *admission) admitLocked(keys uint64) bool {
	if a.events-a.seen.events >= a.limit {
		return false
	}
	if waiting := a.keys - a.seen.keys; keys > 0 && waiting > 0 && waiting+keys > a.keyLimit {
		return false
	}
	a.events++
	a.keys += keys
	return true
}

// admitLocked is admitLocked of the class, after a fresh look if it seems full.
func (l *lane) admitLocked(class Class, keys uint32) bool {
	if l.mu.closed {
		return false
	}
	a := &l.mu.classes[class]
	return a.admitLocked(uint64(keys)) || l.admitAgainLocked(class, keys)
}

func (l *lane) admitAgainLocked(class Class, keys uint32) bool {
	a := &l.mu.classes[class]
	a.seen = l.begun[class].load()
	return a.admitLocked(uint64(keys))
}
