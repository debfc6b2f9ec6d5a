package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

// journal is a slog.Handler that keeps the records of the levels it has.
type journal struct {
	level slog.LevelVar
	mu    sync.Mutex
	list  []slog.Record
}

func (j *journal) Enabled(_ context.Context, l slog.Level) bool { return l >= j.level.Level() }
func (j *journal) WithAttrs([]slog.Attr) slog.Handler           { return j }
func (j *journal) WithGroup(string) slog.Handler                { return j }
func (j *journal) Handle(_ context.Context, r slog.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.list = append(j.list, r)
	return nil
}

func (j *journal) records() []slog.Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.list
}

// everyLoggedEvent publishes each event that a logging subscriber writes about.
func everyLoggedEvent(b *eventbus.Bus) {
	publish(b, lmcache.LookupStarted{SessionID: "cmpl-1"})
	publish(b, lmcache.LookupEnded{SessionID: "cmpl-1", FoundCount: 3})
	publish(b, lmcache.RetrieveStarted{SessionID: "cmpl-1", Device: "cuda:0"})
	publish(b, lmcache.RetrieveEnded{SessionID: "cmpl-1", Device: "cuda:0", RetrievedCount: 3})
	publish(b, lmcache.StoreStarted{SessionID: "cmpl-1", Device: "cuda:1"})
	publish(b, lmcache.StoreEnded{SessionID: "cmpl-1", Device: "cuda:1", StoredCount: 2})
	publish(b, lmcache.BlocksAllocated{Records: []lmcache.BlockAllocation{
		{RequestID: "cmpl-1"},
		{RequestID: "cmpl-2", NewBlockIDs: []gpu.BlockID{7}, NewTokenIDs: []int32{4711, 4712}},
		{RequestID: "cmpl-3", NewBlockIDs: []gpu.BlockID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, NewTokenIDs: make([]int32, 176)},
	}})
	publish(b, l1.ReadReserved{Keys: someKeys(1)})
	publish(b, l1.ReadFinished{Keys: someKeys(2)})
	publish(b, l1.WriteReserved{Keys: someKeys(3)})
	publish(b, l1.WriteFinished{Keys: someKeys(4)})
	publish(b, l1.WriteFinishedAndReadReserved{Keys: someKeys(5)})
	publish(b, l1.KeysEvicted{Keys: someKeys(6)})
	publish(b, l1.KeysEvicted{Keys: someKeys(7), Cause: l1.CauseDelete}) // no eviction
	publish(b, storage.L2StoreSubmitted{AdapterIndex: 1, TaskID: 9, L2Name: "fs", KeyCount: 5, TotalBytes: 1 << 20})
	publish(b, storage.L2StoreCompleted{AdapterIndex: 1, TaskID: 9, L2Name: "fs", SucceededCount: 4, FailedCount: 1})
	publish(b, storage.L2LookupSubmitted{RequestID: 12, KeyCount: 8, AdapterCount: 2})
	publish(b, storage.L2LookupCompleted{RequestID: 12, PrefixHitCount: 6})
	publish(b, storage.L2LoadSubmitted{RequestID: 12, KeyCount: 6, AdapterCount: 1})
	publish(b, storage.L2LoadCompleted{RequestID: 12, LoadedCount: 5, FailedCount: 1})
	publish(b, storage.ReadPrefetched{SucceededKeys: someKeys(1), FailedKeys: someKeys(2)})
	publish(b, storage.ReadPrefetchedFinished{SucceededKeys: someKeys(3)})
	publish(b, storage.WriteReserved{FailedKeys: someKeys(4)})
	publish(b, storage.WriteFinished{SucceededKeys: someKeys(5), FailedKeys: someKeys(6)})
	publish(b, lmcache.BlendLookupStarted{SessionID: "cmpl-1", NumTokens: 4096})
	publish(b, lmcache.BlendLookupEnded{
		SessionID: "cmpl-1", NumTokens: 4096, RequestedTokens: 4096, HitTokens: 512, FingerprintHits: 3, StorageHits: 2, StaleChunks: 1, NoGPUContext: true,
	})
	publish(b, lmcache.BlendRetrieveStarted{SessionID: "cmpl-1", InstanceID: 7, NumChunks: 2})
	publish(b, lmcache.BlendRetrieveEnded{SessionID: "cmpl-1", InstanceID: 7, NumChunks: 2, Success: true})
	publish(b, lmcache.BlendFingerprintsRegistered{SessionID: "cmpl-1", NumChunks: 16, NumTokens: 4096})
	publish(b, lmcache.BlendChunksEvicted{SessionID: "cmpl-1", NumChunks: 1})
}

// REQ-O51: the messages of the logging subscribers, word for word. Each subscriber works alone.
func TestREQ_O51_DebugMessages(t *testing.T) {
	want, err := os.ReadFile("testdata/debug_messages.golden")
	if err != nil {
		t.Fatal(err)
	}
	var j journal
	j.level.Set(slog.LevelDebug)
	var got strings.Builder
	for _, s := range LogSubscribers(slog.New(&j)) {
		bus := eventbus.New(eventbus.Options{Manual: true})
		if _, err := bus.Subscribe(s); err != nil {
			t.Fatal(err)
		}
		everyLoggedEvent(bus)
		bus.Drain(epoch)
	}
	for _, r := range j.records() {
		got.WriteString(r.Message + "\n")
		if r.Level != slog.LevelDebug || !r.Time.Equal(epoch.Add(10*time.Second)) || r.PC == 0 {
			t.Errorf("%q: level %v, time %v, place %d", r.Message, r.Level, r.Time, r.PC)
		}
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

// REQ-O62: the numbers of tokens are logged, never tokens.
func TestREQ_O62_DebugMessagesHoldNoTokens(t *testing.T) {
	var out bytes.Buffer
	bus := eventbus.New(eventbus.Options{Manual: true})
	logs, err := StartLogs(bus, slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	everyLoggedEvent(bus)
	bus.Drain(epoch)
	if err := logs.Close(); err != nil {
		t.Error(err)
	}
	if text := out.String(); strings.Contains(text, "4711") || strings.Count(text, "\n") != 31 {
		t.Errorf("got %s", text)
	}
}

// The values of a message are fields of the JSON form.
func TestLogFields(t *testing.T) {
	var out bytes.Buffer
	bus := eventbus.New(eventbus.Options{Manual: true})
	if _, err := StartLogs(bus, slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))); err != nil {
		t.Fatal(err)
	}
	publish(bus, lmcache.StoreEnded{SessionID: "s", Device: "cuda:1", StoredCount: 2})
	bus.Drain(epoch)
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "time")
	want := map[string]any{
		"level": "DEBUG", "msg": "MP store end: session=s device=cuda:1 stored_count=2",
		"session": "s", "device": "cuda:1", "stored_count": 2.0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

// REQ-O51: with level INFO no DEBUG subscriber is attached; they come and go with the level.
func TestREQ_O51_AttachedAtDebugOnly(t *testing.T) {
	leak.Check(t)
	var j journal
	bus := eventbus.New(eventbus.Options{})
	active := func() bool { return eventbus.TopicOf[l1.ReadReserved](bus).Active() }
	logs, err := StartLogs(bus, slog.New(&j))
	if err != nil {
		t.Fatal(err)
	}
	if active() || len(bus.Stats().Isolated) != 0 {
		t.Error("attached at INFO")
	}
	steps := []struct {
		level slog.Level
		want  bool
	}{{slog.LevelDebug, true}, {slog.LevelDebug, true}, {slog.LevelInfo, false}, {slog.LevelError, false}, {slog.LevelDebug, true}}
	for _, s := range steps {
		j.level.Set(s.level)
		if err := logs.Refresh(); err != nil {
			t.Fatal(err)
		}
		if active() != s.want {
			t.Errorf("at %v: attached %v", s.level, active())
		}
	}
	if n := len(bus.Stats().Isolated); n != 5 {
		t.Errorf("%d subscriptions, want 5", n)
	}
	// A level that rose makes the handlers return at once, also before Refresh.
	j.level.Set(slog.LevelInfo)
	everyLoggedEvent(bus)
	if err := bus.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(j.records()); n != 0 {
		t.Errorf("%d records at INFO", n)
	}
	j.level.Set(slog.LevelDebug)
	if err := logs.Close(); err != nil || active() {
		t.Errorf("closed: %v, attached %v", err, active())
	}
	if err := logs.Refresh(); err != nil || active() {
		t.Errorf("refreshed after Close: %v, attached %v", err, active())
	}
	if err := bus.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := (*Logs)(nil).Close(); err != nil {
		t.Error(err)
	}
}

// Subscribers without a logger, and those whose level is off, format and allocate nothing.
func TestLogsAllocateNothingBelowDebug(t *testing.T) {
	for name, log := range map[string]*slog.Logger{"no logger": nil, "INFO": slog.New(&journal{})} {
		bus := eventbus.New(eventbus.Options{Manual: true})
		for _, s := range LogSubscribers(log) {
			if _, err := bus.Subscribe(s); err != nil {
				t.Fatal(err)
			}
		}
		run := func() {
			publish(bus, lmcache.StoreEnded{SessionID: "s", Device: "d", StoredCount: 1})
			publish(bus, l1.ReadReserved{})
			publish(bus, storage.ReadPrefetched{})
			bus.Drain(epoch)
		}
		run() // the queues get their size
		if n := testing.AllocsPerRun(100, run); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// BenchmarkLogs is the cost of an event that could be logged, on both sides of the
// bus: with the level at INFO as a server attaches the subscribers (not at all), with
// them attached all the same, and with a message that is written.
func BenchmarkLogs(b *testing.B) {
	run := func(b *testing.B, bus *eventbus.Bus) {
		b.Helper()
		topic := eventbus.TopicOf[l1.ReadReserved](bus)
		e := l1.ReadReserved{Keys: someKeys(16)}
		b.ReportAllocs()
		for i := range b.N {
			if topic.Active() {
				topic.PublishAt(e, epoch)
			}
			if i%256 == 255 {
				bus.Drain(epoch)
			}
		}
	}
	for _, c := range []struct {
		name  string
		level slog.Level
		alone bool
	}{{"info", slog.LevelInfo, false}, {"info-attached", slog.LevelInfo, true}, {"debug", slog.LevelDebug, false}} {
		b.Run(c.name, func(b *testing.B) {
			bus := eventbus.New(eventbus.Options{Manual: true})
			log := slog.New(slog.NewTextHandler(discard{}, &slog.HandlerOptions{Level: c.level}))
			var err error
			if c.alone {
				_, err = bus.Subscribe(NewL1LoggingSubscriber(log))
			} else {
				_, err = StartLogs(bus, log)
			}
			if err != nil {
				b.Fatal(err)
			}
			run(b, bus)
		})
	}
}

// discard is a writer that, unlike io.Discard, is not optimised away by slog.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
