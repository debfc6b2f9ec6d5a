package export

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/lmcache-go/lmcache/observe"
)

// fileKind is what the log calls such a destination.
const fileKind = "span output"

// newSpanFile returns an exporter that appends to the file at path, or writes to
// stdout (nil: the process's). It writes whole lines, a batch at a time.
func newSpanFile(path string, stdout io.Writer, log *slog.Logger) (*spanDelivery, error) {
	if path == observe.SpanStdout {
		if stdout == nil {
			stdout = os.Stdout
		}
		return &spanDelivery{SpanExporter: &spanFile{w: stdout}, delivery: newDelivery("spans", path, log), kind: fileKind}, nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("export: span output: %w", err)
	}
	return &spanDelivery{SpanExporter: &spanFile{w: f, close: f.Close}, delivery: newDelivery("spans", path, log), kind: fileKind}, nil
}

// spanFile writes one line per span. The batch processor calls it from one
// goroutine at a time.
type spanFile struct {
	w     io.Writer
	close func() error // nil: not ours
	buf   bytes.Buffer
}

// ExportSpans writes one batch.
func (f *spanFile) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	f.buf.Reset()
	enc := json.NewEncoder(&f.buf)
	enc.SetEscapeHTML(false)
	for _, s := range spans {
		if err := enc.Encode(newTracesData(s)); err != nil {
			return fmt.Errorf("encode: %w", err)
		}
	}
	_, err := f.w.Write(f.buf.Bytes())
	return err
}

// Shutdown closes the file.
func (f *spanFile) Shutdown(context.Context) error {
	if f.close == nil {
		return nil
	}
	return f.close()
}
