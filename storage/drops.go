package storage

import (
	"context"
	"log/slog"
	"time"

	"github.com/lmcache-go/lmcache/internal/runtime"
)

// dropPeriod is the least time between two warnings of one tier and reason.
const dropPeriod = time.Minute

// drops is what will not be stored. It is part of the state of the store controller
// and under its mutex.
type drops struct {
	keys   int64
	notes  map[dropKind]*dropNote
	closed bool // nobody hears of further ones
}

// dropKind is what a warning is about.
type dropKind struct {
	tier   int
	reason string
}

// dropNote is what there is to be said.
type dropNote struct {
	keys  int64         // since the last warning
	said  time.Time     // the last warning; zero: none
	timer runtime.Timer // of the next one; nil: nothing is to be said
}

// dropLocked gives up n keys for tier i: it tells the bus now, and the log soon.
func (c *storeControl) dropLocked(i, n int, reason string, at time.Time) {
	if n <= 0 {
		return
	}
	d := &c.mu.drops
	d.keys += int64(n)
	c.topics.dropped.PublishAt(L2StoreDropped{AdapterIndex: i, L2Name: c.m.tiers[i].Name(), KeyCount: n, Reason: reason}, at)
	if d.closed {
		return
	}
	kind := dropKind{i, reason}
	note := d.notes[kind]
	if note == nil {
		note = &dropNote{}
		d.notes[kind] = note
	}
	note.keys += int64(n)
	if note.timer != nil {
		return
	}
	due := at
	if next := note.said.Add(dropPeriod); !note.said.IsZero() && due.Before(next) {
		due = next
	}
	// Who drops may be a request that stores, so a timer writes the line.
	note.timer = c.m.rt.At(due, func() { c.sayDrops(kind) })
}

// sayDrops warns of what was dropped since the last warning.
func (c *storeControl) sayDrops(kind dropKind) {
	c.mu.Lock()
	note := c.mu.drops.notes[kind]
	n := note.keys
	note.keys, note.said, note.timer = 0, c.m.rt.Now(), nil
	c.mu.Unlock()
	if n == 0 {
		return
	}
	c.m.log.LogAttrs(context.Background(), slog.LevelWarn, dropText(kind.reason), //nolint:forbidigo // a record without a caller
		slog.Int("adapter_index", kind.tier), slog.String("l2_name", c.m.tiers[kind.tier].Name()),
		slog.String("reason", kind.reason), slog.Int64("keys", n))
}

// endDrops warns of what has not been said when the manager closes, and lets no
// further warnings be written.
func (c *storeControl) endDrops() {
	c.mu.Lock()
	d := &c.mu.drops
	d.closed = true
	var left []dropKind
	for i := range c.m.tiers {
		for _, reason := range DropReasons() {
			kind := dropKind{i, reason}
			if note := d.notes[kind]; note != nil && note.timer != nil {
				note.timer.Stop() // one that has begun finds nothing to say any more
				left = append(left, kind)
			}
		}
	}
	c.mu.Unlock()
	for _, kind := range left {
		c.sayDrops(kind)
	}
}

// dropText says what happened to keys and what helps.
func dropText(reason string) string {
	return "keys are not stored in a tier of the cache: " + map[string]string{
		DroppedBacklog: "more waited than --l2-store-max-backlog; the tier is slower than what is computed, a longer backlog helps against bursts only",
		DroppedEvicted: "L1 needed their memory before it was their turn; the tier is too slow, or --l1-size-gb too small for what waits for it",
		DroppedRetries: "their stores failed or timed out, and the tries are used up; failures_by_reason in /status says how, the log of the store why",
		DroppedNoSpace: "the tier is full and nothing of it can be evicted; raise max_capacity_gb, allow eviction, or free space " +
			"(fs keeps disk_min_free_gb of its disk free for others)",
		DroppedTooLarge: "an object is larger than the tier takes, or than its max_capacity_gb; raise that, or store smaller chunks (--chunk-size)",
		DroppedShutdown: "the process ends before the tier has them; --shutdown-timeout-seconds is how long it waits",
	}[reason]
}
