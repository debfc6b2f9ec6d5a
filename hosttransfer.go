package lmcache

import (
	"errors"
	"strconv"
	"sync"
	"time"
)

// ErrLost says that a reservation is gone: it was discarded, took longer than the
// write TTL, or its worker is detached.
var ErrLost = errors.New("lmcache: the reservation was discarded or has expired")

// HostSlot is where the object of a chunk lies in the memory of the engine.
type HostSlot struct {
	Chunk  int   // index in the range
	Offset int64 // from the start of the memory
	Bytes  int64 // of the object
}

// hostTransfer is what the two directions of a HostWorker have in common.
type hostTransfer struct {
	h     *HostWorker
	m     *member
	s     *Session
	key   hostKey
	op    string // in events; empty: nobody listened at the call
	n     int64  // of the transfers of the engine
	at    time.Time
	began bool // memory was lent
	alarm alarm
	end   sync.Mutex // of all that ends it; comes first
	state hostState
}

// hostState is the life of a transfer, guarded by its end.
type hostState uint8

const (
	hostPending hostState = iota
	hostDone              // committed, or read
	hostGone              // discarded
	hostExpired           // the same, but the host has not let go of its memory
)

func (t *hostTransfer) order() int64 { return t.n }

// remote reports whether the host is another process, which cannot be told to let
// go of its memory.
func (t *hostTransfer) remote() bool { return t.h.o.Instance != nil }

// number counts the transfer. Its name is built for events only.
func (t *hostTransfer) number(listening bool) {
	if listening {
		t.op = t.s.r.ID + "#" + strconv.FormatInt(t.n, 10)
	}
}

// lent notes that the host has memory, until the time to live ends.
func (t *hostTransfer) lent(b bell, ttl time.Duration) {
	t.began, t.alarm.bell = true, b
	t.s.runs(t.at, 1)
	t.h.e.alarms.set(&t.alarm, t.h.e.sm.Now().Add(ttl))
}

// unlent is the end of lent, if there was one.
func (t *hostTransfer) unlent(now time.Time) {
	if t.began {
		t.h.e.alarms.stop(&t.alarm)
		t.s.runs(now, -1)
	}
}
