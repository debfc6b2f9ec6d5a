package storage_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// undecided is policies of which every method panics.
type undecided struct{}

func (undecided) Admit(kv.Key, int64) bool   { panic("admit") }
func (undecided) Targets(kv.Key, int) uint64 { panic("targets") }
func (undecided) Drop(kv.Key) bool           { panic("drop") }
func (undecided) Ask(kv.Key, int) uint64     { panic("ask") }
func (undecided) Choose(kv.Key, uint64) int  { panic("choose") }
func (undecided) Keep(kv.Key) bool           { panic("keep") }

// A policy of the host that panics decides nothing, and costs nobody anything else.
func TestPolicyThatPanics(t *testing.T) {
	var log bytes.Buffer
	s := newShelf()
	w := newTierWorld(t, 16, []*shelf{s}, func(o *storage.Options) {
		o.Store.Policy, o.Prefetch.Policy = undecided{}, undecided{}
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	w.put("abc")
	w.flush()
	if s.has() != "abc" {
		t.Errorf("stored %q", s.has())
	}
	w.m.Clear(true)
	p := w.prefetch("abc", storage.PrefetchOptions{})
	if r := w.wait(p); r.Prefix != 3 {
		t.Errorf("found %+v", r)
	}
	p.Release()
	w.after(time.Second)
	for _, line := range []string{"a store policy panicked", "a prefetch policy panicked"} {
		if n := strings.Count(log.String(), line); n != 1 {
			t.Errorf("%q is logged %d times", line, n)
		}
	}
}
