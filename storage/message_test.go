package storage_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/storage"
)

// REQ-O51: a read that fails is an error in the log, word for word, which names the
// first of the keys.
func TestREQ_O51_FailedReadMessage(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, 8, func(o *storage.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	w.put("a")
	p := w.prefetch("ab", storage.PrefetchOptions{Policy: storage.Sparse, Owner: "s"})
	defer p.Release()
	log.Reset()
	if _, err := p.Read(t.Context(), storage.Select{Hi: 2}); err == nil {
		t.Fatal("b was read")
	}
	want := `level=ERROR msg="Failed to read prefetched object ` + key("b").String() + ` from L1 storage: KEY_NOT_EXIST" detail=absent owner=s failed=1` + "\n"
	if _, got, _ := strings.Cut(log.String(), " "); got != want {
		t.Errorf("logged %q, want %q", got, want)
	}
}
