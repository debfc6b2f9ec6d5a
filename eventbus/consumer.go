package eventbus

import (
	"runtime/debug"
	"time"
)

// start starts the lane's goroutine. Bus.Close and Subscription.Close wait for it.
func (l *lane) start() { go l.run() }

// run handles what comes until the lane is closed and empty.
func (l *lane) run() {
	clean := false
	defer func() {
		if clean {
			close(l.stopped)
			return
		}
		// A handler ended this goroutine with runtime.Goexit. It loses the
		// event; the rest of the batch goes on in its successor.
		l.blame(errGoexit, debug.Stack())
		go l.run()
	}()
	l.timer = time.NewTimer(time.Hour)
	defer l.timer.Stop()
	for l.next() {
		l.turn(time.Now())
	}
	clean = true
}

// next ends the previous turn, rests, and takes the next batch, which may be
// empty. It is false when the lane is closed and everything has been handled.
func (l *lane) next() bool {
	if l.pos < len(l.batch) {
		return true // left by a predecessor
	}
	l.release()
	due, ticking := l.hooks.Load().due()
	l.mu.Lock()
	l.settleLocked()
	if l.mu.closed && len(l.mu.records) == 0 {
		l.mu.ended = true
		l.mu.Unlock()
		return false
	}
	if l.mu.state = l.restLocked(); l.mu.state != busy {
		l.turned.Store(0)
		limit := time.Duration(-1)
		if ticking {
			limit = max(time.Until(due), 0)
		}
		if l.mu.state == napping && (!ticking || limit > nap) {
			limit = nap
		}
		l.mu.Unlock()
		l.rest(limit)
		l.mu.Lock()
		l.mu.state = busy
	}
	l.swapLocked()
	l.mu.Unlock()
	return true
}

// restLocked chooses what to do after a turn: go on if somebody waits for it or a
// queue is filling up; else nap if there was something to do, as more may come; go
// on if something came to a consumer at rest; be idle otherwise.
func (l *lane) restLocked() state {
	switch {
	case l.mu.closed || len(l.mu.waiters) > 0 || l.fillingLocked():
		return busy
	case l.worked:
		return napping
	case len(l.mu.records) > 0:
		return busy
	default:
		return idle
	}
}

// fillingLocked reports whether a class is more than a quarter full.
func (l *lane) fillingLocked() bool {
	for class := range l.mu.classes {
		a := &l.mu.classes[class]
		if a.events-a.seen.events > l.quarter[class] || a.keys-a.seen.keys > l.quarterKeys {
			return true
		}
	}
	return false
}

// rest waits for a signal, at most for limit; a negative limit is none.
func (l *lane) rest(limit time.Duration) {
	if limit < 0 {
		<-l.signals
		return
	}
	l.timer.Reset(limit)
	select {
	case <-l.signals:
		l.timer.Stop()
	case <-l.timer.C:
	}
}

// turn handles the batch taken by next and calls the hooks that are due.
func (l *lane) turn(now time.Time) {
	l.turned.Store(max(int64(now.Sub(l.cost.base)), 1))
	l.bus.clock.observe(now)
	if len(l.batch) > 0 {
		l.handle()
		l.afterBatch()
	}
	l.tick(now)
}

// handle delivers the batch. A panic ends one guarded run of it; the next one
// goes on behind the handler that panicked.
func (l *lane) handle() {
	l.cost.begin(len(l.batch))
	for l.pos < len(l.batch) {
		l.guarded((*lane).deliver)
	}
	l.cost.finish()
}

// deliver goes through the batch from one run of records of the same type to the
// next. A record counts as begun when it comes to it; publishers hear of that every
// stride records, and only then are those before it added up.
func (l *lane) deliver() {
	batch, columns := l.batch, l.columns
	pos := l.pos
	if c := columns[batch[pos].column]; c.interrupted() { // a panic did
		pos = c.deliver(batch[pos:pos+1], pos)
	}
	for pos < len(batch) && !l.abort.Load() {
		if pos == l.heard {
			l.count(pos + 1)
			l.storeBegun()
			l.heard += l.stride
		}
		end, column := pos+1, batch[pos].column
		if pos >= l.cost.at {
			l.pos = pos
			columns[column].deliverTimed(pos, batch[pos].at)
			l.cost.choose(len(batch))
			pos = end
			continue
		}
		for limit := min(l.heard, l.cost.at, len(batch)); end < limit && batch[end].column == column; {
			end++
		}
		if end > pos+1 {
			pos = columns[column].deliver(batch[pos:end], pos)
			continue
		}
		l.pos = pos
		columns[column].deliverOne(pos, batch[pos].at)
		pos = end
	}
	l.pos = len(batch)
}

// count adds the records of the batch before the end-th to what was begun.
func (l *lane) count(end int) {
	var all, reserved totals
	for _, r := range l.batch[l.counted:end] {
		all.keys += uint64(r.keys)
		reserved.keys += uint64(r.keys) * uint64(r.class)
		reserved.events += uint64(r.class)
	}
	all.events = uint64(end - l.counted)
	l.counted = end
	l.begun[0].mine.add(all.events-reserved.events, all.keys-reserved.keys)
	l.begun[1].mine.add(reserved.events, reserved.keys)
}

// storeBegun lets publishers see what was begun.
func (l *lane) storeBegun() {
	for class := range l.begun {
		l.begun[class].store()
	}
	if l.waiting.Load() > 0 {
		l.makeRoom()
	}
}

// release forgets the batch that was handled.
func (l *lane) release() {
	for _, c := range l.held {
		c.release()
	}
	for class := range l.begun { // also what was abandoned
		l.begun[class].mine = l.taken[class]
	}
	l.storeBegun()
}

// settleLocked accounts for the batch just released.
func (l *lane) settleLocked() {
	for _, c := range l.held {
		l.mu.drops += c.settleLocked()
	}
	l.mu.done += uint64(len(l.batch))
	l.worked = len(l.batch) > 0
	l.mu.inHand = nil
	for class := range l.mu.classes {
		l.mu.classes[class].seen = l.taken[class]
	}
	kept := l.mu.waiters[:0]
	for _, w := range l.mu.waiters {
		if w.target > l.mu.done {
			kept = append(kept, w)
			continue
		}
		close(w.done)
	}
	clear(l.mu.waiters[len(kept):])
	l.mu.waiters = kept
}

// swapLocked takes everything that waits as the next batch.
func (l *lane) swapLocked() {
	l.batch, l.mu.records = l.mu.records, l.batch[:0]
	l.held, l.mu.touched = l.mu.touched, l.held[:0]
	l.columns = l.mu.columns
	l.mu.inHand, l.mu.base = l.batch, l.mu.done
	for class := range l.mu.classes {
		a := &l.mu.classes[class]
		l.taken[class] = totals{a.events, a.keys}
	}
	for _, c := range l.held {
		c.swapLocked()
	}
	l.pos, l.counted, l.heard = 0, 0, 0
}

// pass is one turn of a lane without a goroutine. It returns the number of
// events handled or abandoned.
func (l *lane) pass() int {
	if l.pos >= len(l.batch) { // else: left by a Goexit
		l.mu.Lock()
		if len(l.mu.records) == 0 { // the pass before has accounted for everything
			l.mu.Unlock()
			return 0
		}
		l.swapLocked()
		l.mu.Unlock()
	}
	n := len(l.batch)
	if n > 0 {
		l.handle()
		l.afterBatch()
	}
	l.release()
	l.mu.Lock()
	l.settleLocked()
	l.mu.Unlock()
	l.batch, l.held = l.batch[:0], l.held[:0]
	return n
}
