package lmcache

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// sessionTable knows the sessions, in the order of their last use, and bounds what
// they keep. It decides who falls asleep and who is given up; the engine acts on
// that. Its mutex is the last one: no other is taken while it is held.
type sessionTable struct {
	limit    int           // of sessions
	bytes    int64         // of kept tokens and hashes
	sleep    time.Duration // idle time after which a session becomes dormant; 0: never
	forsake  time.Duration // idle time after which a dormant session is given up
	memory   time.Duration // how long ids of ended sessions are remembered
	memories int           // how many

	mu struct {
		sync.Mutex
		closed    bool
		opened    uint64
		n         int
		dormant   int
		abandoned int64
		kept      int64 // bytes
		used      sessionList
		keepers   sessionList // those that keep a chain
		ids       map[string][]*Session
		ended     map[string]time.Time
		order     []string // of ended
	}
}

// place is a session's part of the table, guarded by the table's mutex.
type place struct {
	opened  uint64 // in this order; 0: it is not in the table
	last    time.Time
	running int // transfers
	dormant bool
	bytes   int64 // of its chain
	remote  bool  // in ids
	links   [2]links
}

type links struct{ prev, next *Session }

// sessionList is sessions, the longest unused one first.
type sessionList struct {
	link       int // which of a place's links
	head, tail *Session
}

func (l *sessionList) push(s *Session) {
	s.place.links[l.link] = links{prev: l.tail}
	if l.tail != nil {
		l.tail.place.links[l.link].next = s
	} else {
		l.head = s
	}
	l.tail = s
}

func (l *sessionList) remove(s *Session) {
	at := s.place.links[l.link]
	if at.prev != nil {
		at.prev.place.links[l.link].next = at.next
	} else {
		l.head = at.next
	}
	if at.next != nil {
		at.next.place.links[l.link].prev = at.prev
	} else {
		l.tail = at.prev
	}
	s.place.links[l.link] = links{}
}

func (l *sessionList) touch(s *Session) {
	if l.tail != s {
		l.remove(s)
		l.push(s)
	}
}

func newSessionTable(o Options) *sessionTable {
	t := &sessionTable{
		limit: o.MaxSessions, bytes: o.SessionBytes, sleep: o.SessionTTL,
		forsake: max(dormantTTL, 2*o.SessionTTL), memory: endedTTL, memories: maxEnded,
	}
	t.mu.keepers.link = 1
	t.mu.ids = make(map[string][]*Session)
	t.mu.ended = make(map[string]time.Time)
	return t
}

const (
	dormantTTL = 3600 * time.Second // of idle sessions, unless they fall asleep later
	endedTTL   = 60 * time.Second   // of the memory of ended ids
	maxEnded   = 1 << 17
)

// add puts a session into the table; false: it is closed. A session that has to go
// for it is out of the table already.
func (t *sessionTable) add(s *Session, now time.Time) (victim *Session, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.addLocked(s, now)
}

func (t *sessionTable) addLocked(s *Session, now time.Time) (victim *Session, ok bool) {
	if t.mu.closed {
		return nil, false
	}
	if t.mu.n >= t.limit {
		for victim = t.mu.used.head; victim != nil && victim.place.running > 0; {
			victim = victim.place.links[0].next
		}
		if victim != nil {
			t.removeLocked(victim)
			t.mu.abandoned++
		}
	}
	t.mu.opened++
	s.place.opened, s.place.last = t.mu.opened, now
	t.mu.used.push(s)
	t.mu.n++
	return victim, true
}

// remove takes a session out of the table; false: it was not in it.
func (t *sessionTable) remove(s *Session) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.removeLocked(s)
}

func (t *sessionTable) removeLocked(s *Session) bool {
	p := &s.place
	if p.opened == 0 {
		return false
	}
	t.mu.used.remove(s)
	t.keepLocked(s, 0)
	t.mu.n--
	if p.dormant {
		t.mu.dormant--
	}
	if p.remote {
		t.unnameLocked(s)
	}
	p.opened, p.dormant = 0, false
	return true
}

// use notes that a session was used, and that so many more of its transfers run.
// woke: it was dormant.
func (t *sessionTable) use(s *Session, now time.Time, running int) (woke bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &s.place
	p.running += running
	if p.opened == 0 {
		return false
	}
	if now.After(p.last) {
		p.last = now
	}
	t.mu.used.touch(s)
	if p.bytes > 0 {
		t.mu.keepers.touch(s)
	}
	woke = p.dormant
	if woke {
		p.dormant = false
		t.mu.dormant--
	}
	return woke
}

// keep notes how many bytes a session's chain has, and returns sessions whose
// chains have to go, which are not counted any more.
func (t *sessionTable) keep(s *Session, bytes int64) (drop []*Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.place.opened == 0 {
		return nil
	}
	t.keepLocked(s, bytes)
	for t.mu.kept > t.bytes {
		victim := t.mu.keepers.head
		t.keepLocked(victim, 0)
		drop = append(drop, victim)
	}
	return drop
}

func (t *sessionTable) keepLocked(s *Session, bytes int64) {
	p := &s.place
	t.mu.kept += bytes - p.bytes
	switch {
	case p.bytes == 0 && bytes > 0:
		t.mu.keepers.push(s)
	case p.bytes > 0 && bytes == 0:
		t.mu.keepers.remove(s)
	}
	p.bytes = bytes
}

// verdict is what becomes of a session.
type verdict uint8

const (
	awake verdict = iota
	asleep
	forsaken // out of the table
)

// judge says what becomes of a session at this time, and when it may change; zero:
// by its use alone. Sessions with running transfers are in use.
func (t *sessionTable) judge(s *Session, now time.Time) (v verdict, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &s.place
	if p.opened == 0 {
		return forsaken, time.Time{}
	}
	if p.running > 0 {
		p.last = now
		t.mu.used.touch(s)
	}
	switch idle := now.Sub(p.last); {
	case t.sleep == 0:
		return awake, time.Time{}
	case idle >= t.forsake:
		t.removeLocked(s)
		t.mu.abandoned++
		return forsaken, time.Time{}
	case idle >= t.sleep:
		if !p.dormant {
			p.dormant = true
			t.mu.dormant++
		}
		return asleep, p.last.Add(t.forsake)
	default:
		return awake, p.last.Add(t.sleep)
	}
}

// close refuses further sessions and returns those that there are, in the order in
// which they were opened.
func (t *sessionTable) close() []*Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.closed = true
	list := make([]*Session, 0, t.mu.n)
	for s := t.mu.used.head; s != nil; s = s.place.links[0].next {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *Session) int { return cmp.Compare(a.place.opened, b.place.opened) })
	return list
}

// SessionStats is how many sessions there are, and what they keep.
type SessionStats struct {
	Open      int
	Dormant   int   // idle: they keep their tokens and hashes only
	Abandoned int64 // given up since the start, because of their age or for want of room
	KeptBytes int64 // of tokens and hashes
}

func (t *sessionTable) stats() SessionStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return SessionStats{
		Open: t.mu.n - t.mu.dormant, Dormant: t.mu.dormant, Abandoned: t.mu.abandoned, KeptBytes: t.mu.kept,
	}
}
