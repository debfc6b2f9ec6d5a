package l1_test

import (
	"bytes"
	"log/slog"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/l1"
)

// REQ-S36: a reservation that runs out of memory says why, on one line and in the
// statistics: what was asked for, what is free, in what pieces, and who has the
// rest. It says so once a second at most.
func TestREQ_S36_OutOfMemoryExplainsItself(t *testing.T) {
	var log bytes.Buffer
	var m *l1.Manager
	check := &unlocked{t: t, w: &log}
	f := newFixture(t, l1.Options{Bytes: 20 * unit, NoBytes: true, Logger: slog.New(slog.NewTextHandler(check, nil))})
	m = f.m
	check.m = m
	if s := m.Stats(); s.Shortages != 0 || !s.LastShortage.At.IsZero() {
		t.Errorf("before: %+v", s.LastShortage)
	}
	// 4 objects leased, 3 of them no longer in the index; 6 staged; one of 5 units; one evictable,
	// and one that a reservation of what follows it does not evict.
	f.store(1, chunks(1, 0, 4)...)
	read := f.read(1, chunks(1, 0, 4)...)
	m.Delete(f.now(), chunks(1, 0, 3), true)
	staged := f.reserve(l1.WriteNew, chunks(2, 0, 6)...)
	large, err := m.ReserveWrite(f.now(), chunks(3, 0, 1), layoutOf(t, 5*unit), l1.WriteNew, l1.WriteOptions{})
	if err != nil || large.Code(0) != l1.Success {
		t.Fatal(err, large.Code(0))
	}
	f.store(1, chunk(4, 0))
	f.store(1, chunk(5, 0))
	short := func() {
		t.Helper()
		w, err := m.ReserveWrite(f.now(), chunks(5, 1, 9), f.layout, l1.WriteNew, l1.WriteOptions{Owner: "session 7", After: chunk(5, 0)})
		if err != nil {
			t.Fatal(err)
		}
		f.codes(w.Code, l1.Success, l1.Success, l1.Success, l1.Success, l1.OutOfMemory, l1.OutOfMemory, l1.OutOfMemory, l1.OutOfMemory)
		w.Abort(f.now(), l1.AbortOwner)
	}
	short()
	want := l1.Shortage{
		At: f.now(), Owner: "session 7", Keys: 4, RequestedBytes: 8 * unit, MissingBytes: 4 * unit,
		StagedBytes: (6 + 5 + 4) * unit, LeasedBytes: unit, OrphanedBytes: 3 * unit, EvictableBytes: unit,
		Classes: []l1.SizeClass{{Size: unit, Runs: 15, Used: 15}, {Size: 5 * unit, Runs: 1, Used: 1}},
	}
	if diff := cmp.Diff(want, m.Stats().LastShortage); diff != "" {
		t.Errorf("explanation (-want +got):\n%s", diff)
	}
	for range 4 {
		f.advance(200 * time.Millisecond)
		short()
	}
	if s := m.Stats(); s.Shortages != 5 || !s.LastShortage.At.Equal(want.At) {
		t.Errorf("%d shortages, the last one explained at %v", s.Shortages, s.LastShortage.At)
	}
	f.advance(200 * time.Millisecond)
	short()
	f.advance(0) // the timer writes it
	const line = "level=WARN msg=\"L1 is out of memory\" owner=\"session 7\" keys=4 requested_bytes=32768 missing_bytes=16384 " +
		"free_bytes=0 largest_free_bytes=0 staged_bytes=61440 leased_bytes=4096 orphaned_bytes=12288 evictable_bytes=4096 lost_bytes=0 "
	const slabs = "slabs_by_object_bytes.4096.slabs=15 slabs_by_object_bytes.4096.used=15 slabs_by_object_bytes.4096.free=0 " +
		"slabs_by_object_bytes.20480.slabs=1 slabs_by_object_bytes.20480.used=1 slabs_by_object_bytes.20480.free=0\n"
	golden := line + "suppressed=0 " + slabs + line + "suppressed=4 " + slabs
	if diff := cmp.Diff(golden, regexp.MustCompile(`time=\S+ `).ReplaceAllString(log.String(), "")); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	staged.Abort(f.now(), l1.AbortOwner)
	large.Abort(f.now(), l1.AbortOwner)
	read.Finish(f.now(), l1.CauseRead)
}

// unlocked is a writer that fails the test if it is called under the mutex.
type unlocked struct {
	t *testing.T
	m *l1.Manager
	w *bytes.Buffer
}

func (u *unlocked) Write(p []byte) (int, error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		u.m.Stats() // takes the mutex
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		u.t.Error("the log is written under the mutex")
	}
	return u.w.Write(p)
}
