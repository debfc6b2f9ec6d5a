package trace_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

// The golden vectors of docs/trace-format.md.
const (
	goldenHeader = "0000009b89a474797065a6686561646572a56d61676963c4044c4d4354ae666f726d61745f76657273696f6e01a56c6576656ca773746f72616765b474726163655f736368656d615f76657273696f6e01ac745f6d6f6e6f5f7374617274cb4025000000000000ac745f77616c6c5f7374617274cb41d954fc40100000ae736d5f636f6e6669675f6a736f6ea0b0736d5f636f6e6669675f646967657374a0"
	goldenRecord = "000000bf85a474797065a67265636f7264a6745f6d6f6e6fcb3fd0000000000000a6745f77616c6ccb41d954fc40200000a87175616c6e616d65d9426c6d63616368652e76312e64697374726962757465642e73746f726167655f6d616e616765722e53746f726167654d616e616765722e66696e6973685f7772697465a46172677381a46b6579739182a55f5f745f5fa94f626a6563744b6579a17683aa6368756e6b5f68617368c4020102aa6d6f64656c5f6e616d65a16da76b765f72616e6b00"
	golden056    = "000000d085a474797065a67265636f7264a6745f6d6f6e6fcb3fd0000000000000a6745f77616c6ccb41d954fc40200000a87175616c6e616d65d9426c6d63616368652e76312e64697374726962757465642e73746f726167655f6d616e616765722e53746f726167654d616e616765722e66696e6973685f7772697465a46172677381a46b6579739182a55f5f745f5fa94f626a6563744b6579a17684aa6368756e6b5f68617368c4020102aa6d6f64656c5f6e616d65a16da76b765f72616e6b00af6f626a6563745f67726f75705f696400"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// cmpCalls compares calls; layouts by their text.
var cmpCalls = cmp.Options{
	cmp.Comparer(func(a, b kv.Layout) bool { return a.Equal(b) }),
}

// read is everything of a stream that must be without damage.
func read(t testing.TB, stream []byte) (trace.Header, []trace.Call, []trace.Record) {
	t.Helper()
	h, records, err := trace.Read(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	var calls []trace.Call
	var all []trace.Record
	for r, err := range records {
		if err != nil {
			t.Fatal(err)
		}
		c, err := r.Call()
		if err != nil {
			t.Fatalf("%s: %v", r.Name, err)
		}
		calls, all = append(calls, c), append(all, r)
	}
	return h, calls, all
}

func TestREQ_T1_GoldenVectors(t *testing.T) {
	doc, err := os.ReadFile("../docs/trace-format.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, vector := range []string{goldenHeader, goldenRecord, golden056} {
		if !bytes.Contains(doc, []byte("\n"+vector+"\n")) {
			t.Errorf("docs/trace-format.md does not have the vector %s", vector)
		}
	}
	hash, err := kv.HashOf([]byte{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	header := trace.Header{Level: "storage", FormatVersion: 1, SchemaVersion: 1, MonoStart: 10.5, WallStart: 1700000000.25}
	call := trace.Call{Call: storage.Call{Name: storage.CallFinishWrite, Keys: []kv.Key{{Hash: hash, Model: "m"}}, N: storage.NoCall, Owner: storage.NoCall}}

	if got := hex.EncodeToString(trace.AppendHeader(nil, &header)); got != goldenHeader {
		t.Errorf("header:\n%s\nwant\n%s", got, goldenHeader)
	}
	for _, c := range []struct {
		args trace.Args
		want string
	}{{trace.ArgsDocumented, goldenRecord}, {trace.Args056, golden056}} {
		got, err := trace.NewEncoder(trace.Plain, c.args).AppendCall(nil, 0.25, 1700000000.5, &call)
		if err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(got) != c.want {
			t.Errorf("record:\n%x\nwant\n%s", got, c.want)
		}
	}

	h, calls, records := read(t, unhex(t, goldenHeader+goldenRecord+golden056))
	if diff := cmp.Diff(header, h); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	for i, c := range calls {
		if diff := cmp.Diff(call, c, cmpCalls); diff != "" {
			t.Errorf("call %d (-want +got):\n%s", i, diff)
		}
		if r := records[i]; r.Mono != 0.25 || r.Wall != 1700000000.5 || r.Name != storage.NamePrefix+"finish_write" {
			t.Errorf("record %d: %v %v %s", i, r.Mono, r.Wall, r.Name)
		}
	}
	if len(calls) != 2 {
		t.Errorf("%d records, want 2", len(calls))
	}
}

// What LMCache 0.5.6 recorded is decoded completely and encoded again as it was.
func TestFileOfLMCache(t *testing.T) {
	stream, err := os.ReadFile("testdata/upstream-small.lct")
	if err != nil {
		t.Fatal(err)
	}
	h, calls, records := read(t, stream)
	frames := trace.Frames(stream)
	if len(frames) != 1+len(calls) || len(calls) != 190 {
		t.Fatalf("%d frames, %d calls", len(frames), len(calls))
	}
	if got := trace.AppendHeader(nil, &h); !bytes.Equal(got, frames[0]) {
		t.Errorf("header:\n%x\nwant\n%x", got, frames[0])
	}
	if trace.Digest(h.Config) != h.Digest {
		t.Errorf("digest %s, of the configuration it is %s", h.Digest, trace.Digest(h.Config))
	}
	e := trace.NewEncoder(trace.Plain, trace.Args056)
	for i := range calls {
		got, err := e.AppendCall(nil, records[i].Mono, records[i].Wall, &calls[i])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, frames[1+i]) {
			t.Errorf("record %d:\n%x\nwant\n%x", i, got, frames[1+i])
		}
	}
}
