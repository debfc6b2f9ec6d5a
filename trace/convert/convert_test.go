package convert_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/internal/mooncake"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
	"github.com/lmcache-go/lmcache/trace/convert"
	"github.com/lmcache-go/lmcache/trace/replay"
)

// builtin is a converted slice of the built-in trace.
func builtin(t *testing.T, o convert.Options) ([]byte, convert.Result) {
	t.Helper()
	var b bytes.Buffer
	res, err := convert.FromRequests(&b, mooncake.Builtin(), o)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), res
}

// manager is a storage manager in virtual time with room for so many chunks.
func manager(t *testing.T, chunks int64) *storage.Manager {
	t.Helper()
	m, _, err := storage.OpenVirtual(storage.Options{L1: l1.Options{Bytes: chunks * 512 << 10, NoBytes: true}}, storage.VirtualOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Check(); err != nil {
			t.Error(err)
		}
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

// served is how many chunks the engine's own calls find: find, read, store the rest.
func served(t *testing.T, chunks int64, limit int) (hits, evicted int64) {
	t.Helper()
	ctx := t.Context()
	m := manager(t, chunks)
	hasher, err := kv.NewHasher("", "")
	if err != nil {
		t.Fatal(err)
	}
	layout, err := kv.RawLayout(512 << 10)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for r, err := range mooncake.Read(mooncake.Builtin(), 512) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n > limit {
			break
		}
		hashes := hasher.AppendChain(nil, hasher.Seed(), mooncake.Tokens(nil, r, 512), 512)
		if len(hashes) == 0 {
			continue
		}
		keys, err := kv.Request{Model: "workload", World: 1}.AppendKeys(nil, 0, hashes)
		if err != nil {
			t.Fatal(err)
		}
		p, err := m.SubmitPrefetch(ctx, keys, layout, storage.PrefetchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		res, err := p.Wait(ctx)
		if err != nil {
			t.Fatal(err)
		}
		l, err := p.Read(ctx, storage.Select{Hi: res.Prefix})
		if err != nil {
			t.Fatal(err)
		}
		l.Finish()
		p.Release()
		hits += int64(res.Prefix)
		if res.Prefix == len(keys) {
			continue
		}
		o := storage.WriteOptions{}
		if res.Prefix > 0 {
			o.After = keys[res.Prefix-1]
		}
		w, err := m.ReserveWrite(ctx, keys[res.Prefix:], layout, storage.New, o)
		if err != nil {
			t.Fatal(err)
		}
		w.Finish()
	}
	return hits, m.Stats().L1.EvictedObjects
}

// A replay of the converted calls finds what the engine would have found, in caches of
// every size and in every form that a recording has.
func TestConvertedCallsDoWhatTheEngineDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		o    convert.Options
	}{
		{"lookups", convert.Options{}},
		{"reads", convert.Options{Reads: true}},
		{"plain, reads", convert.Options{Reads: true, Format: trace.Plain}},
		{"plain, 0.5.6", convert.Options{Format: trace.Plain, Args: trace.Args056}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.o.Limit = 200
			recording, _ := builtin(t, c.o)
			for _, chunks := range []int64{50, 300, 1200, 100_000} {
				want, evicted := served(t, chunks, 200)
				if evicted == 0 && chunks < 100_000 || want == 0 {
					t.Fatalf("%d chunks: %d hits, %d evicted: it proves nothing", chunks, want, evicted)
				}
				m := manager(t, chunks)
				_, records, err := trace.Read(bytes.NewReader(recording))
				if err != nil {
					t.Fatal(err)
				}
				got, err := replay.Run(t.Context(), records, replay.Options{Manager: m, Pacing: replay.Fast})
				if err != nil {
					t.Fatal(err)
				}
				if got.Hits != want || m.Stats().L1.EvictedObjects != evicted || got.Failed > 0 || got.Skipped > 0 || got.LeftOpen > 0 {
					t.Errorf("%d chunks: %+v\nwant %d hits and %d evicted, got %d", chunks, got, want, evicted, m.Stats().L1.EvictedObjects)
				}
				if c.o.Reads && got.Reads != want {
					t.Errorf("%d chunks: %d reads, want one per hit, %d", chunks, got.Reads, want)
				}
			}
		})
	}
}

// There and back: the prompts share what they shared, at the same times.
func TestRoundTrip(t *testing.T) {
	recording, res := builtin(t, convert.Options{Limit: 300, ChunkTokens: 256, Reads: true})
	h, records, err := trace.Read(bytes.NewReader(recording))
	if err != nil {
		t.Fatal(err)
	}
	if !h.Extended || h.Level != trace.LevelStorage || h.Digest != "" {
		t.Errorf("header %+v", h)
	}
	var text bytes.Buffer
	back, err := convert.ToRequests(&text, records, 256, func(d *trace.DamageError) { t.Error(d) })
	if err != nil || back.Requests != res.Requests || back.Chunks != res.Chunks || back.Calls != res.Calls || back.Skipped != 0 {
		t.Fatalf("%v: %+v, there %+v", err, back, res)
	}
	ids := map[uint64]uint64{}
	lines := requests(t, text.String(), 256)
	n := 0
	for want, err := range mooncake.Read(mooncake.Builtin(), 512) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n > 300 {
			break
		}
		if want.InputLength < 256 {
			continue
		}
		got := lines[0]
		lines = lines[1:]
		if got.Timestamp != want.Timestamp || got.InputLength != want.InputLength/256*256 {
			t.Fatalf("request %d: %v, %d tokens; want %v, %d", n, got.Timestamp, got.InputLength, want.Timestamp, want.InputLength)
		}
		for i := range got.HashIDs {
			if i%2 == 0 {
				continue // the second half of a block names the whole
			}
			was := want.HashIDs[i/2]
			if id, known := ids[was]; known && id != got.HashIDs[i] {
				t.Fatalf("request %d: block %d was %d and is %d", n, was, id, got.HashIDs[i])
			}
			ids[was] = got.HashIDs[i]
		}
	}
	distinct := map[uint64]bool{}
	for _, id := range ids {
		distinct[id] = true
	}
	if len(distinct) != len(ids) {
		t.Errorf("%d blocks became %d", len(ids), len(distinct))
	}
}

// requests reads JSON lines.
func requests(t *testing.T, text string, blockTokens int) (list []mooncake.Request) {
	t.Helper()
	for r, err := range mooncake.Read(strings.NewReader(text), blockTokens) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

// The bytes of a small conversion, read by the strict reader of the package.
func TestConversionOfOneRequest(t *testing.T) {
	var b bytes.Buffer
	in := `{"timestamp": 1500, "input_length": 5, "output_length": 1, "hash_ids": [7, 8, 9]}` + "\n" +
		`{"timestamp": 1600, "input_length": 1, "hash_ids": [7]}` + "\n"
	res, err := convert.FromRequests(&b, strings.NewReader(in), convert.Options{BlockTokens: 2, ChunkTokens: 2, BytesPerToken: 8, Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	if want := (convert.Result{Requests: 1, Chunks: 2, Calls: 3, Skipped: 1}); res != want {
		t.Errorf("%+v, want %+v", res, want)
	}
	_, records, err := trace.Read(&b)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for rec, err := range records {
		if err != nil {
			t.Fatal(err)
		}
		if e, ok, _ := rec.End(); ok {
			if e != (trace.End{Records: 3}) {
				t.Errorf("end %+v", e)
			}
			continue
		}
		c, err := rec.Call()
		if err != nil || rec.Mono != 1.5 || len(c.Keys) != 2 || c.Keys[0].Model != "m" || c.Keys[0].Rank != 0x01000100 {
			t.Errorf("%v: %+v", err, c)
		}
		got = append(got, c.Name)
		switch c.Name {
		case storage.CallSubmitPrefetch:
			if !c.Warm || c.N != 0 || c.RequestID != "0" || c.Layout.Size() != 16 {
				t.Errorf("lookup %+v", c)
			}
		case storage.CallReserveWrite:
			if c.N != 1 || c.Mode != storage.New {
				t.Errorf("write %+v", c)
			}
		case storage.CallFinishWrite:
			if c.N != 2 || c.Owner != 1 {
				t.Errorf("end of write %+v", c)
			}
		}
	}
	if diff := cmp.Diff([]string{storage.CallSubmitPrefetch, storage.CallReserveWrite, storage.CallFinishWrite}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A recording of LMCache becomes lines, too.
func TestRecordingOfLMCache(t *testing.T) {
	f, err := os.Open("../testdata/upstream-small.lct")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	_, records, err := trace.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	res, err := convert.ToRequests(&text, records, 16, nil)
	if err != nil || res.Calls != 190 || res.Requests == 0 || res.Requests+res.Skipped < 30 {
		t.Fatalf("%v: %+v", err, res)
	}
	if n := int64(len(requests(t, text.String(), 16))); n != res.Requests {
		t.Errorf("%d lines, want %d", n, res.Requests)
	}
}

func TestOptionsReportAllProblems(t *testing.T) {
	err := convert.Options{
		BlockTokens: -1, ChunkTokens: 1 << 20, BytesPerToken: -1, Model: "a\x00", HashAlgorithm: "md5", Limit: -1, Format: trace.Plain,
	}.Validate()
	for _, want := range []string{"BlockTokens: ", "ChunkTokens: ", "BytesPerToken: ", "Model: ", "HashAlgorithm: ", "Limit: ", "Format: "} {
		if err == nil || !strings.Contains(err.Error(), "convert: "+want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	_, err = convert.FromRequests(&bytes.Buffer{}, strings.NewReader("{}\n"), convert.Options{})
	if err == nil || !strings.HasPrefix(err.Error(), "line 1: ") {
		t.Errorf("got %v", err)
	}
}
