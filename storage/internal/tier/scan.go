package tier

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// scanBatch is how many objects of a scan are taken over at a time.
const scanBatch = 1024

// scan is the search for what the store held at the start.
type scan struct {
	from   l2.Scanner
	pages  l2.PageScanner // nil: the scan is one call
	cursor string         // of pages: where it stands
	tries  int            // that have failed since it last went on
	waits  bool           // for the breaker
	timer  runtime.Timer  // of the next try
	began  time.Time
	gone   map[kv.Key]struct{} // removed since: a page that was listed before may name them
}

// Scan begins to find out what the store held at the start. It goes on in the
// background; meanwhile lookups ask the store. What fails is tried again as stores are,
// from where it stood, and waits while the store cannot be reached.
func (t *Tier) Scan() {
	from, ok := l2.AbilityOf[l2.Scanner](t.adapter)
	if !ok {
		return
	}
	s := &scan{from: from, gone: make(map[kv.Key]struct{})}
	s.pages, _ = from.(l2.PageScanner)
	t.lock()
	defer t.unlock()
	if t.mu.stopped || t.mu.index.complete || t.mu.scan != nil {
		return
	}
	t.mu.scan = s
	s.began = t.rt.Now()
	t.scanLocked(s, s.began)
}

// scanLocked asks for the next part of the scan.
func (t *Tier) scanLocked(s *scan, now time.Time) {
	if t.mu.breaker.state != StateClosed {
		s.waits = true
		return
	}
	s.waits = false
	c := &call{op: opScan}
	var page l2.Page // the call's own until it has returned
	c.do = func(ctx context.Context) error { return t.scanAll(ctx, s) }
	if s.pages != nil {
		q := l2.ListQuery{PageSize: s.pages.ScanPageSize(), Cursor: s.cursor}
		c.deadline = now.Add(t.s.Timeouts.Load)
		c.do = func(ctx context.Context) (err error) {
			if page, err = s.pages.List(ctx, q); err == nil {
				t.take(s, page.Entries)
			}
			return err
		}
	}
	c.done = func(err error) {
		if err != nil {
			t.heardLocked(c, err, nil, t.rt.Now())
			t.scanFailedLocked(s, err)
			return
		}
		t.mu.breaker.success(t, c.round, t.rt.Now())
		if page.Next == "" {
			t.endScanLocked(s, nil)
			return
		}
		s.cursor, s.tries = page.Next, 0
		t.nextScanLocked(s)
	}
	c.lost = func() { t.scanFailedLocked(s, l2.ErrTimeout) }
	c.back = func() {}
	t.startLocked(c, now)
}

// nextScanLocked goes on, unless the tier has been stopped.
func (t *Tier) nextScanLocked(s *scan) {
	if !t.mu.stopped {
		t.scanLocked(s, t.rt.Now())
	}
}

// scanFailedLocked tries again, a little later or when the store can be reached, or gives
// the scan up.
func (t *Tier) scanFailedLocked(s *scan, err error) {
	now, why := t.rt.Now(), l2.ReasonOf(err)
	s.tries++
	switch {
	case t.mu.stopped:
	case t.mu.breaker.state != StateClosed:
		s.tries, s.waits = 0, true
	case !why.Transient() || s.tries >= t.s.Retry.Attempts:
		t.failedLocked(why, 1)
		t.mu.counts.lastFailure = now
		t.endScanLocked(s, err)
	default:
		t.mu.counts.retries++
		s.timer = t.rt.At(now.Add(t.backoff(s.tries)), func() {
			t.lock()
			defer t.unlock()
			s.timer = nil
			t.nextScanLocked(s)
		})
	}
}

// stop ends a scan that waits for its next try.
func (s *scan) stop() {
	if s != nil && s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

// scanAll is a scan in one call, without the mutex.
func (t *Tier) scanAll(ctx context.Context, s *scan) error {
	batch := make([]l2.Entry, 0, scanBatch)
	for e, err := range s.from.Scan(ctx) {
		if err != nil {
			t.take(s, batch)
			return err
		}
		if batch = append(batch, e); len(batch) == scanBatch {
			t.take(s, batch)
			batch = batch[:0]
		}
	}
	t.take(s, batch)
	return nil
}

// take takes entries over that are not known yet, without the mutex between batches.
func (t *Tier) take(s *scan, entries []l2.Entry) {
	for batch := range slices.Chunk(entries, scanBatch) {
		t.lock()
		if t.mu.scan != s { // a page that was given up, and its scan is over
			t.unlock()
			return
		}
		now := t.rt.Now()
		for _, e := range batch {
			if e.Key.Model == canaryModel || t.mu.index.find(e.Key) != 0 {
				continue
			}
			if _, gone := s.gone[e.Key]; gone {
				continue
			}
			if d, doomed := t.mu.doomed[e.Key]; doomed {
				d.listed = &e
				t.mu.doomed[e.Key] = d
				continue
			}
			t.foundLocked(e, now)
		}
		t.unlock()
	}
}

// foundLocked takes over what a scan has found.
func (t *Tier) foundLocked(e l2.Entry, now time.Time) {
	id := t.mu.index.add(e.Key, e.Size, now)
	t.mu.index.at(id).used = e.Used
}

// goneLocked notes that a key is not in the store any more: pages and answers of before
// may name it.
func (t *Tier) goneLocked(k kv.Key) {
	t.mu.removed.add(k)
	if t.mu.scan != nil {
		t.mu.scan.gone[k] = struct{}{}
	}
}

// endScanLocked puts what the scan has found in order. An error says that it has not found
// everything: the rest is known when a lookup or a store meets it.
func (t *Tier) endScanLocked(s *scan, err error) {
	if t.mu.stopped {
		return
	}
	c := &call{op: opScan}
	c.do = func(context.Context) error {
		t.order()
		t.learnLimit()
		return nil
	}
	c.done = func(failed error) { t.scannedLocked(s, cmp.Or(err, failed)) }
	c.lost, c.back = func() {}, func() {}
	t.startLocked(c, t.rt.Now())
}

// order gives what the scan has found its place by its last use, before everything
// that this process has used.
func (t *Tier) order() {
	type place struct {
		id   uint32
		gen  uint32
		used time.Time
		name string
	}
	t.lock()
	var found, mine []place
	for id := range t.mu.index.entries {
		switch e := &t.mu.index.entries[id]; {
		case !e.live:
		case e.used1:
			mine = append(mine, place{id: uint32(id), gen: e.gen, used: e.since})
		default:
			found = append(found, place{id: uint32(id), gen: e.gen, used: e.used})
		}
	}
	for i := range found {
		found[i].name = t.mu.index.at(found[i].id).key.String()
	}
	t.unlock()
	slices.SortFunc(found, func(a, b place) int {
		if c := a.used.Compare(b.used); c != 0 {
			return c
		}
		return strings.Compare(a.name, b.name)
	})
	slices.SortStableFunc(mine, func(a, b place) int { return a.used.Compare(b.used) })
	for list := append(found, mine...); len(list) > 0; {
		n := min(len(list), scanBatch)
		t.lock()
		for _, p := range list[:n] {
			if e := t.mu.index.at(p.id); e.gen == p.gen && !e.erasing() {
				t.mu.index.policy.Touch(p.id, p.used)
			}
		}
		t.unlock()
		list = list[n:]
	}
}

// scannedLocked ends the scan.
func (t *Tier) scannedLocked(s *scan, err error) {
	x := &t.mu.index
	t.mu.scan = nil
	x.complete, x.partial = true, err != nil
	t.shortLocked(t.rt.Now())
	objects, bytes, took := x.objects, x.bytes, t.rt.Now().Sub(s.began)
	t.say(func() {
		if err != nil {
			t.log.Warn("what a tier of the cache holds is not known in full", slog.Int64("objects", objects), slog.Int64("bytes", bytes), slog.Any("error", err))
			return
		}
		t.log.Info(fmt.Sprintf("what a tier of the cache holds is known: %d objects of %d bytes", objects, bytes), slog.Int64("objects", objects), slog.Int64("bytes", bytes), slog.Duration("took", took))
	})
}
