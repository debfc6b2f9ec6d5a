package tier

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/lmcache-go/lmcache/l2"
)

// scanBatch is how many objects of a scan are taken over at a time.
const scanBatch = 1024

// Scan begins to find out what the store held at the start. It goes on in the
// background; meanwhile lookups ask the store.
func (t *Tier) Scan() {
	s, ok := l2.AbilityOf[l2.Scanner](t.adapter)
	if !ok {
		return
	}
	t.lock()
	defer t.unlock()
	if t.mu.stopped || t.mu.index.complete {
		return
	}
	began := t.rt.Now()
	c := &call{op: opScan}
	c.do = func(ctx context.Context) error { return t.scan(ctx, s) }
	c.done = func(err error) { t.scannedLocked(err, began) }
	c.lost, c.back = func() {}, func() {}
	t.startLocked(c, began)
}

// scan takes entries over as they come, without the mutex between batches.
func (t *Tier) scan(ctx context.Context, s l2.Scanner) error {
	batch := make([]l2.Entry, 0, scanBatch)
	take := func() {
		t.lock()
		defer t.unlock()
		now := t.rt.Now()
		for _, e := range batch {
			if e.Key.Model == canaryModel || t.mu.index.find(e.Key) != 0 {
				continue
			}
			id := t.mu.index.add(e.Key, e.Size, now)
			t.mu.index.at(id).used = e.Used
		}
		batch = batch[:0]
	}
	for e, err := range s.Scan(ctx) {
		if err != nil {
			take()
			return err
		}
		if batch = append(batch, e); len(batch) == scanBatch {
			take()
		}
	}
	take()
	t.order()
	t.learnLimit()
	return nil
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
			if e := t.mu.index.at(p.id); e.gen == p.gen && !e.erasing {
				t.mu.index.policy.Touch(p.id, p.used)
			}
		}
		t.unlock()
		list = list[n:]
	}
}

// scannedLocked ends the scan.
func (t *Tier) scannedLocked(err error, began time.Time) {
	x := &t.mu.index
	x.complete = true
	t.shortLocked(t.rt.Now())
	objects, bytes, took := x.objects, x.bytes, t.rt.Now().Sub(began)
	t.say(func() {
		if err != nil {
			t.log.Warn("what a tier of the cache holds is not known in full", slog.Int64("objects", objects), slog.Int64("bytes", bytes), slog.Any("error", err))
			return
		}
		t.log.Info(fmt.Sprintf("what a tier of the cache holds is known: %d objects of %d bytes", objects, bytes), slog.Int64("objects", objects), slog.Int64("bytes", bytes), slog.Duration("took", took))
	})
}
