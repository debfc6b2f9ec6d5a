package lmcache_test

import (
	"bytes"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache"
)

// messages is the text of what is logged, a line per record: level and message.
type messages struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (m *messages) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.out.Write(p)
}

// logger logs INFO and above without times and values.
func (m *messages) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(m, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key != slog.LevelKey && a.Key != slog.MessageKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// taken returns what came so far and forgets it.
func (m *messages) taken() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.out.Reset()
	return m.out.String()
}

// REQ-O51: the messages of the engine and the storage manager at INFO and above, word
// for word but for the times that things took.
func TestREQ_O51_Messages(t *testing.T) {
	var log messages
	r := newRig(t, setup{engine: func(o *lmcache.Options) { o.Logger = log.logger() }})
	p := tokens(1, 2*chunkTokens)
	ids := span(0, 2*perChunk)
	r.keep(1, p)
	s := r.session("again")
	m := s.Lookup(t.Context(), p)
	r.found(m)
	r.done(r.worker.Retrieve(t.Context(), m, table(ids...), nil))
	m = s.Lookup(t.Context(), p)
	r.found(m)
	r.clear(true)
	r.done(r.worker.Retrieve(t.Context(), m, table(ids...), nil))
	r.end(s)
	s = r.eng.Session(lmcache.Request{ID: "wide", Model: model, WorldSize: 8})
	r.found(s.Lookup(t.Context(), p))
	r.end(s)
	if err := r.eng.EndSession("nobody"); err != nil {
		t.Error(err)
	}
	want := `level=INFO msg="Registered KV cache for GPU ID 1 with 2 layers"
level=INFO msg="Stored 32 tokens in N seconds"
level=INFO msg="Prefetch request completed (L1+L2): 2/2 prefix hits (2 L1, 0 L2) in N ms (external_request_id=again, prefetch_request_id=-1)"
level=INFO msg="Retrieved 32 tokens in N seconds"
level=INFO msg="Prefetch request completed (L1+L2): 2/2 prefix hits (2 L1, 0 L2) in N ms (external_request_id=again, prefetch_request_id=-1)"
level=ERROR msg="Failed to read prefetched object m@01000100@0@HASH from L1 storage: KEY_NOT_EXIST"
level=ERROR msg="Some keys not found during retrieve!"
level=ERROR msg="No GPU context found for model m with world size 8 during lookup!"
level=WARN msg="Session nobody not found, skipping touch"
`
	got := regexp.MustCompile(`\d+\.\d{3} seconds`).ReplaceAllString(log.taken(), "N seconds")
	got = regexp.MustCompile(`\d+\.\d ms`).ReplaceAllString(got, "N ms")
	got = regexp.MustCompile(`[0-9a-f]{64}`).ReplaceAllString(got, "HASH")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

// The hit rate is told at most every 30 s, by tokens, of the lookups since the last
// time, and not while there are none.
func TestREQ_O51_HitRateMessage(t *testing.T) {
	var log messages
	r := newHostRig(t, func(o *lmcache.Options) { o.Logger = log.logger() })
	said := func(want string) {
		t.Helper()
		var got strings.Builder
		for line := range strings.Lines(log.taken()) {
			if strings.Contains(line, "hit rate") {
				got.WriteString(line)
			}
		}
		if want != "" {
			want = `level=INFO msg="` + want + "\"\n"
		}
		if got.String() != want {
			t.Errorf("said %q, want %q", got.String(), want)
		}
	}
	look := func(seed uint64, chunks int) {
		t.Helper()
		s := r.session("s")
		if _, err := s.Lookup(t.Context(), tokens(seed, chunks*chunkTokens)).Tokens(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.end(s)
	}
	r.keep(1, tokens(1, 3*chunkTokens))
	look(1, 3) // 3 of 3
	look(2, 5) // 0 of 5
	r.wait(29 * time.Second)
	look(1, 3) // 3 of 3
	said("")
	r.wait(time.Second)
	look(2, 1) // 0 of 1
	said("lookup hit rate (over 4 lookup(s)): prefix=50.0%")
	r.wait(time.Hour)
	said("")
	look(2, 1)
	said("lookup hit rate (over 1 lookup(s)): prefix=0.0%")
	look(1, 3)
	r.wait(30 * time.Second)
	look(3, 0) // asks for nothing
	said("lookup hit rate (over 2 lookup(s)): prefix=100.0%")
	r.wait(30 * time.Second)
	look(3, 0)
	said("lookup hit rate (over 1 lookup(s)): prefix=0.0%")
}
