package eventbus

import "time"

// awaitLocked waits for room in a lane whose overflow is Wait, with the mutex
// released meanwhile, and counts the event as waiting once there is some. It is
// false if there is none in time, at once if the overflow is Drop.
//
// A publisher raises waiting before it looks at begun, the consumer stores begun
// before it looks at waiting: one of them sees the other.
func (l *lane) awaitLocked(class Class, keys uint32) bool {
	if l.overflow <= 0 || l.mu.closed {
		return false
	}
	l.waiting.Add(1)
	defer l.waiting.Add(-1)
	deadline := time.NewTimer(time.Duration(l.overflow))
	defer deadline.Stop()
	for expired := false; !l.mu.closed; {
		if l.admitAgainLocked(class, keys) {
			return true
		}
		if expired {
			return false
		}
		if l.mu.room == nil {
			l.mu.room = make(chan struct{})
		}
		room := l.mu.room
		l.mu.Unlock()
		select {
		case <-room:
		case <-deadline.C:
			expired = true
		}
		l.mu.Lock()
	}
	return false
}

// makeRoom lets all waiting publishers look again.
func (l *lane) makeRoom() {
	l.mu.Lock()
	room := l.mu.room
	l.mu.room = nil
	l.mu.Unlock()
	if room != nil {
		close(room)
	}
}
