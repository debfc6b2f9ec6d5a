package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/internal/cli"
	"github.com/lmcache-go/lmcache/internal/cli/flags"
	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/trace"
)

// formats are all forms of a recording.
var formats = map[string][]string{
	"extended":       {"--trace-format", "extended"},
	"extended 0.5.6": {"--trace-format", "extended", "--trace-args", "0.5.6"},
	"plain":          {"--trace-format", "plain"},
	"plain 0.5.6":    {"--trace-format", "plain", "--trace-args", "0.5.6"},
}

// holds looks for texts in a file: there are all of the first, and none of the others.
func holds(t *testing.T, path string, has []string, not ...[]byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range has {
		if !bytes.Contains(data, []byte(text)) {
			t.Errorf("%s: %q is not found: the search proves nothing", path, text)
		}
	}
	for _, b := range not {
		if at := bytes.Index(data, b); at >= 0 {
			t.Errorf("%s: %q is at offset %d", path, b, at)
		}
	}
}

// TestREQ_T20_NoSecrets: neither the passwords of adapters nor the token of the
// administration are in a recording.
func TestREQ_T20_NoSecrets(t *testing.T) {
	leak.Check(t)
	secrets := [][]byte{
		[]byte("marked-resp-password"), []byte("marked-s3-id"), []byte("marked-s3-key"), []byte("marked-admin-token"),
	}
	dir := t.TempDir()
	tokens := filepath.Join(dir, "tokens")
	if err := os.WriteFile(tokens, []byte("marked-admin-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	tiers := []string{
		"--l2-adapter", `{"type": "resp", "host": "127.0.0.1", "port": 1, "username": "u", "password": "marked-resp-password", "start_probe": false}`,
		"--l2-adapter", `{"type": "s3", "s3_endpoint": "127.0.0.1:1", "s3_region": "r", "s3_path_style": true, "s3_bucket": "bucket", "disable_tls": true,
			"aws_access_key_id": "marked-s3-id", "aws_secret_access_key": "marked-s3-key", "start_probe": false}`,
	}
	for name, form := range formats {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".lct")
		s := serve(t, append(append([]string{"--admin-token-file", tokens, "--trace-level", "storage", "--trace-output", path}, tiers...), form...)...)
		if code, stderr := s.stop(&cli.InterruptedError{Signal: syscall.SIGTERM}); code != cli.ExitOK {
			t.Fatalf("%s: exit code %d:\n%s", name, code, stderr)
		}
		holds(t, path, []string{`"type": "resp"`, `"type": "s3"`}, secrets...)
	}
}

// TestREQ_T20_NoContent: neither the bytes of the KV cache nor tokens are in a recording
// of requests that store, look up and retrieve.
func TestREQ_T20_NoContent(t *testing.T) {
	leak.Check(t)
	const token = 0x5ec7e7a // and the ones behind it
	content := []byte("KV-CACHE-CONTENT")
	for name, form := range formats {
		path := filepath.Join(t.TempDir(), "run.lct")
		f := flags.Trace{TraceLevel: "storage", TraceOutput: path, TraceFormat: form[1], TraceQueue: 1 << 16, TraceOverflow: "wait"}
		if len(form) > 2 {
			f.TraceArgs = form[3]
		}
		bus := eventbus.New(eventbus.Options{})
		rec, err := trace.Open(bus, traceOptions(&f, storageConfig(32, l1.Options{Bytes: 1 << 20}, nil), slog.New(slog.DiscardHandler)))
		if err != nil {
			t.Fatal(err)
		}
		serveMarked(t, bus, content, token)
		if err := rec.Close(); err != nil {
			t.Fatal(err)
		}
		if err := bus.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		not := [][]byte{content, content[1:9]}
		for n := uint32(token); n < token+100; n++ {
			not = append(not, binary.LittleEndian.AppendUint32(nil, n), binary.BigEndian.AppendUint32(nil, n), strconv.AppendUint(nil, uint64(n), 10), strconv.AppendUint(nil, uint64(n), 16))
		}
		has := []string{"marked-model", "reserve_write", "finish_read_prefetched", "submit_prefetch_task"}
		if name != "plain" {
			has = append(has, "marked-tenant")
		}
		t.Log(name)
		holds(t, path, has, not...)
	}
}

// serveMarked has an engine serve two requests of the same prompt, whose tokens and KV
// bytes are marked.
func serveMarked(t *testing.T, bus *eventbus.Bus, content []byte, token uint32) {
	t.Helper()
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dev := fake.New(fake.Options{})
	defer func() { check(dev.Close()) }()
	paged, err := dev.NewPaged(gpu.Shape{Layers: 2, Blocks: 64, BlockTokens: 16, Heads: 2, HeadSize: 4, DType: "float16"})
	check(err)
	for block := range gpu.BlockID(64) {
		for layer := range 2 {
			for plane := range 2 {
				mem := dev.Block(paged, 0, layer, plane, block)
				for len(mem) > 0 {
					mem = mem[copy(mem, content):]
				}
			}
		}
	}
	eng, err := lmcache.Open(ctx, lmcache.Options{Bus: bus, ChunkTokens: 32, L1: l1.Options{Bytes: 1 << 20}})
	check(err)
	defer func() { check(eng.Close(context.WithoutCancel(ctx))) }()
	w, err := eng.Attach(lmcache.WorkerOptions{Model: "marked-model", Backend: dev, Cache: paged})
	check(err)
	prompt := make([]int32, 100)
	for i := range prompt {
		prompt[i] = int32(token) + int32(i)
	}
	blocks := [][]gpu.BlockID{{0, 1, 2, 3, 4, 5, 6}}
	for i, want := range []int{0, 96} {
		s := eng.Session(lmcache.Request{ID: "request-" + strconv.Itoa(i), Model: "marked-model", Salt: "marked-tenant"})
		in, err := w.Retrieve(ctx, s.Lookup(ctx, prompt), blocks, nil)
		check(err)
		check(in.Wait(ctx))
		if in.Tokens() != want {
			t.Errorf("request %d: %d tokens are found, want %d", i, in.Tokens(), want)
		}
		out, err := w.Store(ctx, s, prompt, blocks, nil)
		check(err)
		check(out.Wait(ctx))
		s.Close()
	}
}
