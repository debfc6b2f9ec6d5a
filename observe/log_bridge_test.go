package observe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/lmcache-go/lmcache"
)

// records is a processor that keeps what it gets.
type records struct {
	mu   sync.Mutex
	list []sdklog.Record
}

func (*records) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }
func (*records) Shutdown(context.Context) error                         { return nil }
func (*records) ForceFlush(context.Context) error                       { return nil }
func (p *records) OnEmit(_ context.Context, r *sdklog.Record) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, r.Clone())
	return nil
}

// spelled is a record as "severity message key=value …".
func spelled(r *sdklog.Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s", r.Severity(), r.Body().AsString())
	r.WalkAttributes(func(kv attribute.KeyValue) bool {
		fmt.Fprintf(&b, " %s=%s", kv.Key, kv.Value.String())
		return true
	})
	return b.String()
}

func newBridge(t *testing.T, o LogBridgeOptions) (*slog.Logger, *records) {
	t.Helper()
	p := &records{}
	h, err := NewLogBridge(sdklog.NewLoggerProvider(sdklog.WithProcessor(p)), o)
	if err != nil {
		t.Fatal(err)
	}
	return slog.New(h), p
}

// Records arrive with their time, severity, text and values, whatever those are.
func TestLogBridge(t *testing.T) {
	log, p := newBridge(t, LogBridgeOptions{})
	log.Debug("not at INFO")
	log.Info("Stored 4096 tokens in 0.012 seconds", "session", "s", "tokens", 4096, "seconds", 0.012)
	log.Warn("what a\xffhost says", "id\xff", "x\xfe", slog.Group("g", "k", "\xff"), "error", fmt.Errorf("open \xff: %w", fs.ErrNotExist))
	log.Log(t.Context(), slog.LevelError+4, "out of memory")
	log.With("session", "w").With("n", 1).Info("of a logger")
	log.With("session_id", "w").WithGroup("g").Info("in a group", "owner", "o")
	log.Info("of nobody", "owner", "")
	want := []string{
		"INFO Stored 4096 tokens in 0.012 seconds session=s tokens=4096 seconds=0.012 session_id=s",
		"WARN what a\uFFFDhost says id\uFFFD=x\uFFFD g={\"k\":\"\uFFFD\"} error=open \uFFFD: file does not exist",
		"FATAL out of memory",
		"INFO of a logger session=w n=1 session_id=w",
		`INFO in a group session_id=w g={"owner":"o","session_id":"o"}`,
		"INFO of nobody owner=",
	}
	var got []string
	for i := range p.list {
		got = append(got, spelled(&p.list[i]))
		if p.list[i].Timestamp().IsZero() || p.list[i].TraceID().IsValid() || p.list[i].InstrumentationScope().Name != "lmcache" {
			t.Errorf("%s: at %v, trace %v, scope %q", got[i], p.list[i].Timestamp(), p.list[i].TraceID(), p.list[i].InstrumentationScope().Name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// The level decides, also when it changes, and beside another handler.
func TestLogBridgeLevel(t *testing.T) {
	var level slog.LevelVar
	log, p := newBridge(t, LogBridgeOptions{Level: &level})
	var other journal
	other.level.Set(slog.LevelDebug)
	both := slog.New(slog.NewMultiHandler(&other, log.Handler()))
	for _, l := range []slog.Level{slog.LevelInfo, slog.LevelDebug, slog.LevelError} {
		level.Set(l)
		both.Debug("debug")
		both.Warn("warn")
		both.Error("error")
	}
	var got []string
	for i := range p.list {
		got = append(got, p.list[i].Body().AsString())
	}
	if want := "warn error debug warn error error"; strings.Join(got, " ") != want || len(other.records()) != 9 {
		t.Errorf("bridged %v, want %s; %d records beside it, want 9", got, want, len(other.records()))
	}
}

// A record of a session has the trace of the session's root, before that of its
// context; also after the root has ended.
func TestLogBridgeSessions(t *testing.T) {
	registry := NewSpanRegistry()
	log, p := newBridge(t, LogBridgeOptions{Registry: registry})
	s, err := NewSpanSubscriber(sdktrace.NewTracerProvider(), SpanOptions{Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	host := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	ctx := trace.ContextWithSpanContext(t.Context(), host)
	log.InfoContext(ctx, "before", "session", "s")
	s.requestStarted("s", "", epoch)
	root := registry.Root("s")
	log.InfoContext(ctx, "open", "session", "s")
	log.Info("by another name", "external_request_id", "s")
	log.With("session", "s").Info("of a logger")
	log.InfoContext(ctx, "of another", "session", "t")
	s.requestEnded("s", epoch.Add(time.Second))
	log.Info("ended", "owner", "s")
	log.Info("of no session")
	for i, want := range []trace.SpanContext{host, root, root, root, host, root, {}} {
		r := &p.list[i]
		if r.TraceID() != want.TraceID() || r.SpanID() != want.SpanID() {
			t.Errorf("%s: trace %v, span %v, want %v, %v", r.Body().AsString(), r.TraceID(), r.SpanID(), want.TraceID(), want.SpanID())
		}
	}
	if !root.IsValid() {
		t.Error("no root")
	}
}

func TestLogBridgeRefused(t *testing.T) {
	if _, err := NewLogBridge(nil, LogBridgeOptions{}); !errors.Is(err, errNoLoggerProvider) {
		t.Errorf("%v", err)
	}
	if err := (Options{OTLPLogs: true}).Validate(); err == nil || !strings.Contains(err.Error(), "OTLP logs need") {
		t.Errorf("%v", err)
	}
	if err := (Options{OTLPLogs: true, Disable: true}).Validate(); err != nil { // switched off altogether
		t.Errorf("%v", err)
	}
}

// The registry may be asked from anywhere while spans come and go.
func TestSpanRegistryConcurrent(t *testing.T) {
	registry := NewSpanRegistry()
	s, err := NewSpanSubscriber(sdktrace.NewTracerProvider(), SpanOptions{Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					registry.Root("1")
					registry.SpanContext("1", "store")
				}
			}
		})
	}
	for i := range 2000 {
		id := fmt.Sprint(i % 3)
		s.requestStarted(id, "", epoch)
		s.start(id, childKey{kind: spanStore}, epoch, nil)
		s.storeEnded(lmcache.StoreEnded{SessionID: id, Success: true}, epoch)
		s.requestEnded(id, epoch)
	}
	close(stop)
	wg.Wait()
	if n := len(registry.mu.open); n != 0 || registry.mu.ended.len() != 3 {
		t.Errorf("%d sessions open, %d ended", n, registry.mu.ended.len())
	}
}

// BenchmarkLogBridge is what one record costs its writer, up to a processor that does
// nothing: of a session with a trace, and below the level.
func BenchmarkLogBridge(b *testing.B) {
	registry := NewSpanRegistry()
	s, err := NewSpanSubscriber(sdktrace.NewTracerProvider(), SpanOptions{Registry: registry})
	if err != nil {
		b.Fatal(err)
	}
	s.requestStarted("s", "", epoch)
	h, err := NewLogBridge(sdklog.NewLoggerProvider(sdklog.WithProcessor(nothing{})), LogBridgeOptions{Registry: registry})
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(h)
	for _, c := range []struct {
		name  string
		level slog.Level
	}{{"info", slog.LevelInfo}, {"debug", slog.LevelDebug}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				log.LogAttrs(b.Context(), c.level, "Stored 4096 tokens in 0.012 seconds", slog.String("session", "s"), slog.Int("tokens", 4096))
			}
		})
	}
}

// nothing is a processor that drops records.
type nothing struct{}

func (nothing) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }
func (nothing) Shutdown(context.Context) error                         { return nil }
func (nothing) ForceFlush(context.Context) error                       { return nil }
func (nothing) OnEmit(context.Context, *sdklog.Record) error           { return nil }
