package observe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
)

// requestLog is a request log on a bus without goroutines.
func requestLog(t testing.TB, w io.Writer, o RequestLogOptions) (*RequestLog, *eventbus.Bus) {
	t.Helper()
	r, err := NewRequestLog(w, o)
	if err != nil {
		t.Fatal(err)
	}
	bus := eventbus.New(eventbus.Options{Manual: true})
	if _, err := bus.Subscribe(r); err != nil {
		t.Fatal(err)
	}
	return r, bus
}

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// The lines, byte for byte.
func TestRequestLogLines(t *testing.T) {
	var out bytes.Buffer
	r, bus := requestLog(t, &out, RequestLogOptions{})
	publish(bus, lmcache.RequestStarted{SessionID: "a", TraceParent: traceparent})
	publish(bus, l1.KeysEvicted{Keys: someKeys(3), Owner: "a"})
	publish(bus, l1.KeysEvicted{Keys: someKeys(4), Owner: "b"})
	publish(bus, l1.KeysEvicted{Keys: someKeys(5)}) // on nobody's behalf
	publish(bus, l1.KeysEvicted{Keys: someKeys(2), Owner: "a"})
	var misses storage.MissCounts
	misses.Add(storage.MissEvicted, 1)
	misses.Add(storage.MissAfterGap, 2)
	publish(bus, lmcache.RequestReceipt{
		SessionID: "a", Model: "m", Salt: "<t>", RequestedTokens: 1024, HitTokens: 768, L1HitTokens: 512, L2HitTokens: 256,
		RetrievedChunks: 3, StoredChunks: 1, BytesIn: 300, BytesOut: 100,
		LookupTime: 1500 * time.Microsecond, PrefetchWait: 2 * time.Millisecond, RetrieveTime: 1234567, StoreTime: time.Second,
		Misses: misses, Outcome: "partial",
	})
	publish(bus, lmcache.RequestReceipt{SessionID: "b", Model: "m", StoredChunks: 2, BytesOut: 200, Outcome: "store_only"})
	publish(bus, lmcache.RequestReceipt{SessionID: "a", EarlyExitReason: "no_gpu_context", Outcome: "miss"}) // another one of that id
	bus.Drain(epoch)
	const tail = `"lookup_ms":0,"prefetch_wait_ms":0,"retrieve_ms":0,"store_ms":0`
	const none = `"requested_tokens":0,"hit_tokens":0,"l1_hit_tokens":0,"l2_hit_tokens":0`
	want := `{"ts":"2026-01-02T03:04:15.000000Z","session_id":"a","model_name":"m","cache_salt":"<t>",` +
		`"requested_tokens":1024,"hit_tokens":768,"l1_hit_tokens":512,"l2_hit_tokens":256,"hit_rate":0.75,` +
		`"retrieved_chunks":3,"stored_chunks":1,"bytes_in":300,"bytes_out":100,` +
		`"lookup_ms":1.5,"prefetch_wait_ms":2,"retrieve_ms":1.234,"store_ms":1000,` +
		`"early_exit_reason":"","miss_reasons":{"after_gap":2,"evicted":1},"outcome":"partial",` +
		`"trace_id":"0af7651916cd43dd8448eb211c80319c","evicted_keys":5}
` +
		`{"ts":"2026-01-02T03:04:15.000000Z","session_id":"b","model_name":"m","cache_salt":"",` + none + `,` +
		`"retrieved_chunks":0,"stored_chunks":2,"bytes_in":0,"bytes_out":200,` + tail + `,` +
		`"early_exit_reason":"","outcome":"store_only","trace_id":"","evicted_keys":4}
` +
		`{"ts":"2026-01-02T03:04:15.000000Z","session_id":"a","model_name":"","cache_salt":"",` + none + `,"hit_rate":0,` +
		`"retrieved_chunks":0,"stored_chunks":0,"bytes_in":0,"bytes_out":0,` + tail + `,` +
		`"early_exit_reason":"no_gpu_context","outcome":"miss","trace_id":"","evicted_keys":0}
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if got, want := r.Stats(), (RequestLogStats{Lines: 3}); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}

func TestTraceIDOf(t *testing.T) {
	const id = "0af7651916cd43dd8448eb211c80319c"
	for text, want := range map[string]string{
		"":                     "",
		traceparent:            id,
		"01" + traceparent[2:]: id, // a later version
		"cc" + traceparent[2:] + "-what-will-come":                   id,
		"cc" + traceparent[2:] + "x":                                 "",
		traceparent + "-more":                                        "",
		"ff" + traceparent[2:]:                                       "",
		traceparent[:54]:                                             "",
		strings.ToUpper(traceparent):                                 "",
		strings.Replace(traceparent, id, strings.Repeat("0", 32), 1): "",
		strings.Replace(traceparent, "-", "_", 1):                    "",
		strings.Repeat("x", 55):                                      "",
	} {
		if got := traceIDOf(text); got != want {
			t.Errorf("traceIDOf(%q) = %q, want %q", text, got, want)
		}
	}
}

// REQ-O53, REQ-O62: every line is one JSON object whatever ids and salts hold, with the
// numbers that went in, and nothing that was not in the receipt.
func FuzzREQ_O53_LinesAreJSON(f *testing.F) {
	f.Add("id", "m", "salt", "hit", "00", int64(1), 2, int32(3))
	f.Add("a\nb\"\\\x00\x1b[31m", "\u2028\u2029</script>", "\xff\xfe\xed\xa0\x80", "\x7f\u0085", traceparent, int64(-1), -2, int32(-3))
	f.Add(strings.Repeat("é\r", 300), "{", "}\n{", "store_only", "00-", int64(1)<<62, math.MaxInt, int32(1)<<30)
	f.Fuzz(func(t *testing.T, id, model, salt, outcome, parent string, bytesIn int64, tokens int, misses int32) {
		var out bytes.Buffer
		e := lmcache.RequestReceipt{
			SessionID: id, Model: model, Salt: salt, Outcome: outcome, EarlyExitReason: parent,
			RequestedTokens: tokens, HitTokens: tokens, BytesIn: bytesIn, LookupTime: time.Duration(bytesIn),
		}
		e.Misses.Add(storage.MissAbsent, int(misses))
		writeLine(&out, &e, epoch, remembered{traceID: traceIDOf(parent), evicted: tokens})
		text := out.String()
		if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") || strings.ContainsAny(text, "\x00\x1b\r") {
			t.Fatalf("not one plain line: %q", text)
		}
		var got struct {
			SessionID string `json:"session_id"`
			Salt      string `json:"cache_salt"`
			Requested int    `json:"requested_tokens"`
			BytesIn   int64  `json:"bytes_in"`
			Evicted   int    `json:"evicted_keys"`
		}
		dec := json.NewDecoder(&out)
		if err := dec.Decode(&got); err != nil {
			t.Fatalf("%v: %q", err, text)
		}
		if got.SessionID != valid(id) || got.Salt != valid(salt) || got.Requested != tokens || got.BytesIn != bytesIn || got.Evicted != tokens {
			t.Errorf("%q: %+v", text, got)
		}
	})
}

// valid is s with each byte replaced that is not UTF-8.
func valid(s string) string { return string([]rune(s)) }

// REQ-O60: what is remembered of sessions that never end is bounded, and what is
// forgotten is counted; a session that is remembered is complete.
func TestREQ_O60_RequestLogMemory(t *testing.T) {
	var out bytes.Buffer
	r, bus := requestLog(t, &out, RequestLogOptions{Sessions: 10})
	evict := func(owner string) { publish(bus, l1.KeysEvicted{Keys: someKeys(1), Owner: owner}) }
	for i := range 1000 {
		evict(fmt.Sprint("lost ", i))
		evict("busy")
	}
	bus.Drain(epoch)
	if n := len(r.open.young) + len(r.open.old); n > 10 {
		t.Errorf("%d sessions are remembered, want at most 10", n)
	}
	if got := r.Stats().Forgotten; got < 990 || got > 1000 {
		t.Errorf("%d forgotten, want about 990", got)
	}
	publish(bus, lmcache.RequestReceipt{SessionID: "busy"})
	publish(bus, lmcache.RequestReceipt{SessionID: "lost 0"})
	bus.Drain(epoch)
	if got := out.String(); !strings.Contains(got, `"evicted_keys":1000}`) || !strings.Contains(got, `"evicted_keys":0}`) {
		t.Errorf("lines: %s", got)
	}
}

func TestRequestLogRefuses(t *testing.T) {
	_, err := NewRequestLog(io.Discard, RequestLogOptions{Queue: -1, Sessions: -2})
	if err == nil || !strings.Contains(err.Error(), "queue -1") || !strings.Contains(err.Error(), "sessions -2") {
		t.Errorf("error %v, want both problems", err)
	}
	if _, err := NewRequestLog(nil, RequestLogOptions{}); err == nil {
		t.Error("a nil writer was taken")
	}
}

// writerFunc is a writer that is a function.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// REQ-O54: a full disk is logged once and when it has room again, counted, and stops nothing; what comes
// when there is room again is written in lines of its own.
func TestREQ_O54_DiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0) // each write fails with ENOSPC
		if err != nil {
			t.Skip(err)
		}
		defer full.Close()
		var out bytes.Buffer
		to := io.Writer(&out)
		var j journal
		r, bus := requestLog(t, writerFunc(func(p []byte) (int, error) { return to.Write(p) }), RequestLogOptions{Logger: slog.New(&j)})
		end := func(n int) {
			for range n {
				publish(bus, lmcache.RequestReceipt{SessionID: "s"})
			}
			bus.Drain(epoch)
		}
		end(2)
		to = full
		for range 10 { // ten batches in 45 s
			end(3)
			time.Sleep(5 * time.Second)
		}
		if n := len(j.records()); n != 1 {
			t.Errorf("%d complaints in 50 s, want 1", n)
		}
		time.Sleep(time.Hour)
		end(3)
		if n := len(j.records()); n != 1 {
			t.Errorf("%d complaints after an hour, want 1: it is one outage", n)
		}
		to = writerFunc(func(p []byte) (int, error) { return out.Write(p[:10]) }) // the disk has room for ten bytes
		end(1)
		to = &out
		end(2)
		if got, want := r.Stats(), (RequestLogStats{Lines: 4, Lost: 34, Failures: 12}); got != want {
			t.Errorf("stats %+v, want %+v", got, want)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		for i, line := range lines {
			if json.Valid([]byte(line)) != (i != 2) {
				t.Errorf("line %d: %q", i, line)
			}
		}
		if len(lines) != 5 {
			t.Errorf("%d lines, want 4 and the torn one", len(lines))
		}
		if n := len(j.records()); n != 1 {
			t.Errorf("%d complaints, want 1: one write that gets through ends no outage", n)
		}
		to = full
		end(1)
		to = &out
		time.Sleep(requestLogSteady)
		end(1)
		if n := len(j.records()); n != 2 || j.records()[1].Message != "the request log is written again" {
			t.Errorf("%d complaints, want 2: the outage is over", n)
		}
		to = full
		end(1)
		if n := len(j.records()); n != 3 {
			t.Errorf("%d complaints, want 3: a new outage", n)
		}
		text := j.records()[0].Message
		var cause error
		j.records()[0].Attrs(func(a slog.Attr) bool {
			if e, ok := a.Value.Any().(error); ok {
				cause = e
			}
			return true
		})
		if !strings.Contains(text, "request log") || !errors.Is(cause, syscall.ENOSPC) {
			t.Errorf("complaint %q: %v", text, cause)
		}
	})
}

// REQ-O41: a writer that hangs delays neither publishers nor other subscribers; what
// finds no room is dropped and counted by the bus.
func TestREQ_O41_RequestLogHangs(t *testing.T) {
	leak.Check(t)
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		release := make(chan struct{})
		r, err := NewRequestLog(writerFunc(func(p []byte) (int, error) {
			<-release
			return out.Write(p)
		}), RequestLogOptions{Queue: 100})
		if err != nil {
			t.Fatal(err)
		}
		bus := eventbus.New(eventbus.Options{})
		if _, err := bus.Subscribe(r); err != nil {
			t.Fatal(err)
		}
		var other atomic.Int64
		if _, err := bus.Subscribe(receipts{&other}); err != nil {
			t.Fatal(err)
		}
		publish(bus, lmcache.RequestReceipt{SessionID: "first"})
		time.Sleep(time.Second) // it is in the writer then
		began := time.Now()
		for range 1000 {
			publish(bus, lmcache.RequestReceipt{SessionID: "s"})
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("publishers waited %v", d)
		}
		time.Sleep(time.Second)
		if n := other.Load(); n != 1001 {
			t.Errorf("another subscriber got %d events, want 1001", n)
		}
		dropped := bus.Stats().Isolated[0].Dropped
		close(release)
		if err := bus.Close(t.Context()); err != nil {
			t.Error(err)
		}
		lines := strings.Count(out.String(), "\n")
		if dropped != 900 || lines != 101 || r.Stats().Lines != 101 {
			t.Errorf("%d dropped, %d lines, %+v", dropped, lines, r.Stats())
		}
	})
}

// receipts counts.
type receipts struct{ n *atomic.Int64 }

func (receipts) Name() string { return "receipts" }
func (r receipts) Subscribe(s *eventbus.Subscription) {
	eventbus.On(s, func(lmcache.RequestReceipt, time.Time) { r.n.Add(1) })
}

// BenchmarkRequestLog is the cost of a request, on the log's own goroutine.
func BenchmarkRequestLog(b *testing.B) {
	r, bus := requestLog(b, discard{}, RequestLogOptions{})
	var misses storage.MissCounts
	misses.Add(storage.MissAbsent, 4)
	e := lmcache.RequestReceipt{SessionID: "cmpl-0af7651916cd43dd", Model: "llama", Salt: "tenant", RequestedTokens: 2048, Misses: misses, Outcome: "miss"}
	b.ReportAllocs()
	for i := range b.N {
		publish(bus, e)
		if i%256 == 255 {
			bus.Drain(epoch)
		}
	}
	bus.Drain(epoch)
	if r.Stats().Lines != uint64(b.N) {
		b.Fatalf("%+v", r.Stats())
	}
}
