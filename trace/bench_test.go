package trace_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

// benchCall is a call over 16 keys as a server makes it.
func benchCall(tb testing.TB) storage.Call {
	tb.Helper()
	l, err := kv.NewLayout([][]int64{{2, 32, 256, 1024}}, []kv.DType{kv.BFloat16})
	if err != nil {
		tb.Fatal(err)
	}
	keys := make([]kv.Key, 16)
	for i := range keys {
		keys[i] = kv.Key{Hash: kv.Hash32(sha256.Sum256([]byte{byte(i)})), Model: "meta-llama/Llama-3.1-8B-Instruct", Rank: 0x01000100}
	}
	return storage.Call{Name: storage.CallReserveWrite, Keys: keys, Layout: l, N: 12345, Owner: storage.NoCall}
}

// BenchmarkEncode is what the recorder does for one call over 16 keys and the
// outcome before it, without the file.
func BenchmarkEncode(b *testing.B) {
	c := benchCall(b)
	done := storage.CallDone{Name: storage.CallReserveWrite, N: 12344, Took: 1234, OK: storage.NewBitmap(16), OutOfMemory: storage.NewBitmap(16)}
	for name, f := range map[string]struct {
		format trace.Format
		args   trace.Args
	}{"extended": {trace.Extended, trace.ArgsDocumented}, "plain-0.5.6": {trace.Plain, trace.Args056}} {
		b.Run(name, func(b *testing.B) {
			e := trace.NewEncoder(f.format, f.args)
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if buf, err = e.AppendCallReuse(buf[:0], 1, 2, &c, &done); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	c := benchCall(t)
	done := storage.CallDone{Name: storage.CallReserveWrite, OK: storage.NewBitmap(16), OutOfMemory: storage.NewBitmap(16)}
	e := trace.NewEncoder(trace.Extended, trace.ArgsDocumented)
	var buf []byte
	encode := func() {
		var err error
		if buf, err = e.AppendCallReuse(buf[:0], 1, 2, &c, &done); err != nil {
			t.Fatal(err)
		}
	}
	encode()
	if n := testing.AllocsPerRun(100, encode); n != 0 {
		t.Errorf("%v allocations per record", n)
	}
}

// benchStream is the header and about a mebibyte of records, which may follow each
// other as often as is wanted.
func benchStream(tb testing.TB) (head, block []byte, records int) {
	tb.Helper()
	head = trace.AppendHeader(nil, &trace.Header{Level: "storage", FormatVersion: 1, SchemaVersion: 1, Extended: true})
	c := benchCall(tb)
	e := trace.NewEncoder(trace.Extended, trace.ArgsDocumented)
	done := storage.CallDone{Name: storage.CallReserveWrite, N: 12344, Took: 1234, OK: storage.NewBitmap(16), OutOfMemory: storage.NewBitmap(16)}
	for i := 0; len(block) < 1<<20; i++ {
		for j := range c.Keys {
			var h [32]byte
			binary.BigEndian.PutUint64(h[:], uint64(i*16+j))
			c.Keys[j].Hash = kv.Hash32(h)
		}
		var err error
		if block, err = e.AppendCallWith(block, float64(i), float64(i), &c, done); err != nil {
			tb.Fatal(err)
		}
		records++
	}
	return head, block, records
}

// endless repeats a block, n times in all, behind a head.
type endless struct {
	head, block []byte
	n           int
	left        []byte
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.left) == 0 {
		switch {
		case e.head != nil:
			e.left, e.head = e.head, nil
		case e.n > 0:
			e.left = e.block
			e.n--
		default:
			return 0, io.EOF
		}
	}
	n := copy(p, e.left)
	e.left = e.left[n:]
	return n, nil
}

// BenchmarkRead reads records of 16 keys: their frames, and all of their content.
func BenchmarkRead(b *testing.B) {
	head, block, want := benchStream(b)
	for _, calls := range []bool{false, true} {
		name := "frames"
		if calls {
			name = "calls"
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(block)))
			b.ReportAllocs()
			n := 0
			_, records, err := trace.Read(&endless{head: head, block: block, n: b.N})
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for r, err := range records {
				if err == nil && calls {
					_, err = r.Call()
				}
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			if n != want*b.N {
				b.Fatalf("%d records, want %d", n, want*b.N)
			}
		})
	}
}

// BenchmarkSoakRead_REQ_T10 reads b.N mebibytes in constant memory; make
// soak-trace reads 10 GB.
func BenchmarkSoakRead_REQ_T10(b *testing.B) {
	head, block, want := benchStream(b)
	_, records, err := trace.Read(&endless{head: head, block: block, n: b.N})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(block)))
	b.ResetTimer()
	begin := time.Now()
	n, most := 0, uint64(0)
	var m runtime.MemStats
	for r, err := range records {
		if err == nil {
			_, err = r.Call()
		}
		if err != nil {
			b.Fatal(err)
		}
		if n++; n%1_000_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
	}
	if n != want*b.N {
		b.Fatalf("%d records, want %d", n, want*b.N)
	}
	if most > 32<<20 {
		b.Errorf("the heap grew to %d bytes", most)
	}
	b.Logf("%d records, %d MiB in %v, heap at most %d bytes", n, b.N*len(block)>>20, time.Since(begin).Round(time.Millisecond), most)
}

// TestReadingIsConstantInMemory reads 64 MiB; the same heap must do for all of it.
func TestREQ_T10_ReadingIsConstantInMemory(t *testing.T) {
	head, block, _ := benchStream(t)
	_, records, err := trace.Read(&endless{head: head, block: block, n: 64})
	if err != nil {
		t.Fatal(err)
	}
	var m runtime.MemStats
	n, first := 0, uint64(0)
	for r, err := range records {
		if err == nil {
			_, err = r.Call()
		}
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%8000 != 0 {
			continue
		}
		runtime.GC()
		runtime.ReadMemStats(&m)
		if first == 0 {
			first = m.HeapAlloc
		} else if m.HeapAlloc > first+4<<20 {
			t.Fatalf("after %d records the heap has %d bytes, at first %d", n, m.HeapAlloc, first)
		}
	}
}

// FuzzRead: whatever the bytes are, reading ends, in bounded memory and without a panic.
func FuzzRead(f *testing.F) {
	head, block, _ := benchStream(f)
	f.Add(append(head, block[:4000]...))
	f.Add(append(header(f), record(f, storage.CallClear, m{"force", true})...))
	f.Add(unhex(f, goldenHeader+goldenRecord+golden056))
	f.Fuzz(func(t *testing.T, in []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		readAll(in)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > uint64(64<<20+8*len(in)) {
			t.Errorf("%d bytes allocated for %d", got, len(in))
		}
	})
}

// FuzzRecord is FuzzRead behind a good header, with the length put right.
func FuzzRecord(f *testing.F) {
	for _, frame := range trace.Frames(append(unhex(f, goldenRecord+golden056), record(f, storage.CallClear, m{"force", true})...)) {
		f.Add(frame[4:])
	}
	c := benchCall(f)
	for _, args := range []trace.Args{trace.ArgsDocumented, trace.Args056} {
		for _, name := range []string{storage.CallReserveWrite, storage.CallSubmitPrefetch, storage.CallFinishRead} {
			c.Name, c.Readers = name, 2
			b, err := trace.NewEncoder(trace.Extended, args).AppendCallWith(nil, 1, 2, &c, storage.CallDone{Name: name, OK: storage.NewBitmap(3)})
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b[4:])
		}
	}
	head := unhex(f, goldenHeader)
	f.Fuzz(func(_ *testing.T, body []byte) {
		readAll(append(bytes.Clone(head), framed(body)...))
	})
}

// readAll reads everything there is of a stream, errors or not.
func readAll(in []byte) {
	_, records, err := trace.Read(bytes.NewReader(in))
	if err != nil {
		return
	}
	for r, err := range records {
		if err != nil {
			continue
		}
		_, _ = r.Call()
		_, _ = r.Outcomes()
		_, _, _ = r.Gap()
		_, _, _ = r.End()
		r.Number()
	}
}
