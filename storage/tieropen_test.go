package storage_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
)

// An object that waits for a tier whose breaker opens again and again has not failed,
// and is stored in the end. Each change of the breaker is one event and one line of
// the log.
func TestObjectsThatWaitForATierHaveNotFailed(t *testing.T) {
	var log bytes.Buffer
	s := newShelf()
	away := true
	s.before = func(_ context.Context, op string, _ []storage.Key) error {
		if away && op != "lookup" { // probes answer: it opens, closes, and opens again
			return l2.ErrConnection
		}
		return nil
	}
	w := newTierWorld(t, 16, []*shelf{s}, func(o *storage.Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	w.put("abcd")
	w.after(10 * time.Minute)
	st := w.m.Stats()
	if st.Stores.Pending != 4 {
		t.Errorf("%d objects wait, want 4", st.Stores.Pending)
	}
	changes, openings := 0, 0
	for _, e := range w.events() {
		if strings.HasPrefix(e, "l2.adapter.state") {
			changes++
			if strings.Contains(e, "closed -> open") {
				openings++
			}
		}
	}
	lines := 0
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, " from=") {
			lines++
		}
	}
	if f := st.Tiers[0].FailuresByReason; f["adapter_open"] != 0 || f["io"] < 1 || int(f["io"]) > 4*openings {
		t.Errorf("failures %v of 4 objects, after %d openings", f, openings)
	}
	if changes < 9 || lines != changes {
		t.Errorf("%d changes of the breaker, %d lines in the log", changes, lines)
	}
	away = false
	w.after(10 * time.Minute)
	if s.has() != "abcd" {
		t.Errorf("after all the tier has %s", s.has())
	}
	// A load that finds it open is a failure: it is not tried again.
	away = true
	w.m.Clear(false)
	p := w.prefetch("abcd", storage.PrefetchOptions{Policy: storage.Sparse})
	w.wait(p)
	p.Release()
}

// A store that puts an object of another length aside tells the tier, whether the new
// one is stored or not.
func TestTierHearsOfWhatAStorePutsAside(t *testing.T) {
	s := newShelf()
	full := false
	s.item = func(op string, it *l2.Item) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if o, there := s.objects[it.Key]; op == "store" && there && len(o.data) != len(it.Data) {
			it.Gone = int64(len(o.head) + len(o.data))
			delete(s.objects, it.Key)
		}
		if full {
			it.Err = l2.ErrNoSpace
		}
	}
	w := newTierWorld(t, 16, []*shelf{s})
	var gone deletions
	if _, err := w.bus.Subscribe(&gone); err != nil {
		t.Fatal(err)
	}
	w.put("a")
	w.flush()
	w.m.Clear(false)
	w.layout = rawLayout(t, 2*objectBytes)
	check := func(objects int, deleted string) {
		t.Helper()
		st := w.m.Stats().Tiers[0]
		if int(st.Objects) != objects || st.UsedBytes != s.bytes() {
			t.Errorf("%d objects of %d bytes are counted, there are %d bytes", st.Objects, st.UsedBytes, s.bytes())
		}
		w.events()
		got := gone.text
		gone.text = ""
		if got != deleted {
			t.Errorf("events %q, want %q", got, deleted)
		}
	}
	check(1, "")
	full = true
	w.put("a")
	w.flush()
	check(0, "a layout_mismatch;")
	full = false
	w.m.Clear(false)
	w.put("a")
	w.flush()
	check(1, "")
	w.m.Clear(false)
	w.layout = rawLayout(t, objectBytes)
	w.put("a")
	w.flush()
	check(1, "a layout_mismatch;")
	// One that has become shorter than it was.
	w.m.Clear(false)
	s.mu.Lock()
	o := s.objects[key("a")]
	s.objects[key("a")] = stored{o.head, o.data[:100]}
	s.mu.Unlock()
	w.layout = rawLayout(t, 3*objectBytes)
	w.put("a")
	w.flush()
	check(1, "a corrupt;")
}

// deletions are the names of what has left tiers, with the causes.
type deletions struct{ text string }

func (*deletions) Name() string { return "deletions" }

func (d *deletions) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(e storage.L2KeysDeleted, _ time.Time) { d.text += named(e.Keys) + " " + e.Cause + ";" })
}
