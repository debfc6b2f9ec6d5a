package zstd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	ref "github.com/klauspost/compress/zstd"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

func layout(tb testing.TB, shapes [][]int64, dtypes ...kv.DType) kv.Layout {
	tb.Helper()
	l, err := kv.NewLayout(shapes, dtypes)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func serde(tb testing.TB, o Options) *Serde {
	tb.Helper()
	s, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// The planes of a small object, written out by hand, are what the frame holds.
func TestFrame(t *testing.T) {
	l := layout(t, [][]int64{{5}, {2}, {3}}, kv.BFloat16, "float32", "uint8")
	src := []byte{
		0x01, 0x11, 0x02, 0x12, 0x03, 0x13, 0x04, 0x14, 0x05, 0x15,
		0x21, 0x31, 0x41, 0x51, 0x22, 0x32, 0x42, 0x52,
		0x61, 0x62, 0x63,
	}
	want := []byte{
		0x01, 0x02, 0x03, 0x04, 0x05, 0x11, 0x12, 0x13, 0x14, 0x15,
		0x21, 0x22, 0x31, 0x32, 0x41, 0x42, 0x51, 0x52,
		0x61, 0x62, 0x63,
	}
	s := serde(t, Options{})
	dst := make([]byte, s.Bound(l))
	n, err := s.Serialize(dst, src, l, kv.Key{})
	if err != nil {
		t.Fatal(err)
	}
	var h ref.Header
	if err := h.Decode(dst[:n]); err != nil || !h.HasFCS || h.FrameContentSize != uint64(len(src)) {
		t.Errorf("header %+v, %v", h, err)
	}
	dec, err := ref.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	got, err := dec.DecodeAll(dst[:n], nil)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the frame holds %x (%v), want %x", got, err, want)
	}
	back := make([]byte, len(src))
	if err := s.Deserialize(back, dst[:n], l, kv.Key{}); err != nil || !bytes.Equal(back, src) {
		t.Errorf("back: %x (%v)", back, err)
	}
}

// normal is a layout of 2 MiB and values as attention states have them: of one
// magnitude and without a pattern.
func normal(tb testing.TB) (kv.Layout, []byte) {
	tb.Helper()
	l := layout(tb, [][]int64{{2, 32, 16, 1024}}, kv.BFloat16)
	rng := rand.New(rand.NewPCG(1, 2))
	src := make([]byte, l.Size())
	for i := 0; i < len(src); i += 2 {
		v := math.Float32bits(float32(rng.NormFloat64())) >> 16
		src[i], src[i+1] = byte(v), byte(v>>8)
	}
	return l, src
}

func noise(n int64) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(b)
	return b
}

// Everything comes back at every level, from layouts of every width; what cannot
// shrink stays within the bound.
func TestRoundTrip(t *testing.T) {
	leak.Check(t)
	big, values := normal(t)
	for _, level := range []int{1, 3, 9, 19} {
		s := serde(t, Options{Level: level, Workers: 2})
		for _, c := range []struct {
			l   kv.Layout
			src []byte
		}{
			{big, values},
			{big, noise(big.Size())},
			{big, make([]byte, big.Size())},
			{layout(t, [][]int64{{1}}, "uint8"), noise(1)},
			{layout(t, [][]int64{{7}}, kv.BFloat16), noise(14)},
			{layout(t, [][]int64{{1001}, {3, 5}, {70000}, {9}}, "float64", "int32", "float8_e4m3fn", "bool"), noise(8008 + 60 + 70000 + 9)},
			{layout(t, [][]int64{{300000}}, "uint8"), noise(300000)},
		} {
			if level > 3 && c.l.Equal(big) && c.src[0] == 0 {
				continue
			}
			dst := make([]byte, s.Bound(c.l))
			n, err := s.Serialize(dst, c.src, c.l, kv.Key{})
			if err != nil {
				t.Fatalf("level %d, %v: %v", level, c.l, err)
			}
			back := noise(c.l.Size())
			if err := s.Deserialize(back, dst[:n], c.l, kv.Key{}); err != nil || !bytes.Equal(back, c.src) {
				t.Errorf("level %d, %v: it has not come back (%v)", level, c.l, err)
			}
		}
	}
}

// Planes are why it shrinks at all.
func TestPlanesPay(t *testing.T) {
	l, src := normal(t)
	s := serde(t, Options{})
	dst := make([]byte, s.Bound(l))
	n, err := s.Serialize(dst, src, l, kv.Key{})
	if err != nil {
		t.Fatal(err)
	}
	plain := len(s.enc.EncodeAll(src, nil))
	t.Logf("%d bytes: %d with planes, %d without", len(src), n, plain)
	if float64(n) > 0.85*float64(len(src)) || n >= plain {
		t.Errorf("%d bytes became %d with planes and %d without", len(src), n, plain)
	}
}

func TestSizesMustFit(t *testing.T) {
	l := layout(t, [][]int64{{100}}, kv.BFloat16)
	s := serde(t, Options{})
	dst, back := make([]byte, s.Bound(l)), make([]byte, 200)
	for name, err := range map[string]error{
		"a short source":          second(s.Serialize(dst, back[:199], l, kv.Key{})),
		"a short destination":     s.Deserialize(back[:199], dst, l, kv.Key{}),
		"nothing":                 s.Deserialize(back, nil, l, kv.Key{}),
		"no room for the result":  second(s.Serialize(dst[:10], noise(200), l, kv.Key{})),
		"a frame of another size": s.Deserialize(back, s.enc.EncodeAll(noise(199), nil), l, kv.Key{}),
		"two frames":              s.Deserialize(back, append(s.enc.EncodeAll(noise(200), nil), s.enc.EncodeAll(noise(200), nil)...), l, kv.Key{}),
		"a cut frame":             s.Deserialize(back, s.enc.EncodeAll(noise(200), nil)[:150], l, kv.Key{}),
	} {
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	for _, o := range []Options{{Level: 20}, {Level: -1}, {Workers: -1}, {Workers: 1000}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

func second(_ int, err error) error { return err }

// Many at once share the scratch that there is.
func TestScratchIsBounded(t *testing.T) {
	s := serde(t, Options{Workers: 2})
	l := layout(t, [][]int64{{5000}}, "int32")
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			src := noise(l.Size())
			src[0] = byte(i)
			dst, back := make([]byte, s.Bound(l)), make([]byte, l.Size())
			for range 20 {
				n, err := s.Serialize(dst, src, l, kv.Key{})
				if err == nil {
					err = s.Deserialize(back, dst[:n], l, kv.Key{})
				}
				if err != nil || !bytes.Equal(back, src) {
					t.Errorf("worker %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	if len(s.slot) != 2 {
		t.Errorf("%d of 2 scratch buffers are back", len(s.slot))
	}
	for range 2 {
		if b := <-s.slot; int64(cap(b)) > l.Size()+4096 {
			t.Errorf("scratch of %d bytes for objects of %d", cap(b), l.Size())
		}
	}
	if got := s.Stats(); got.Objects != 320 || got.In != 320*l.Size() || got.Out <= 0 {
		t.Errorf("%+v", got)
	}
}

// It says once that it does not pay, and nothing when it does.
func TestNote(t *testing.T) {
	l := layout(t, [][]int64{{2000}}, kv.BFloat16)
	for _, c := range []struct {
		src  []byte
		want int
	}{{noise(l.Size()), 1}, {make([]byte, l.Size()), 0}} {
		var out bytes.Buffer
		s := serde(t, Options{Logger: slog.New(slog.NewTextHandler(&out, nil))})
		dst := make([]byte, s.Bound(l))
		for i := range 200 {
			if _, err := s.Serialize(dst, c.src, l, kv.Key{}); err != nil {
				t.Fatal(err)
			}
			if i < noteAfter-1 && out.Len() > 0 {
				t.Fatalf("after %d objects: %s", i+1, out.String())
			}
		}
		if got := strings.Count(out.String(), "leave the serde out"); got != c.want {
			t.Errorf("%d notes, want %d:\n%s", got, c.want, out.String())
		}
	}
}

func TestKind(t *testing.T) {
	r := l2.NewRegistry()
	if err := errors.Join(r.RegisterSerde(Kind()), r.Register(l2.Kind{Names: []string{"none"}, Parse: func(*l2.Fields, *l2.Settings) l2.OpenFunc { return nil }})); err != nil {
		t.Fatal(err)
	}
	all, err := r.Parse([]string{`{"type":"none","serde":{"type":"zstd","level":19,"max_workers":3}}`}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := all[0].Serde.(*Serde); !ok || s.Name() != "zstd" || cap(s.slot) != 3 || all[0].SerdeWorkers != 3 {
		t.Errorf("serde %+v", all[0].Serde)
	}
	if _, err := r.Parse([]string{`{"type":"none","serde":{"type":"zstd","level":20}}`}, nil); err == nil || !strings.Contains(err.Error(), "serde.level: must be between 1 and 19, got 20") {
		t.Errorf("error %v", err)
	}
}

// Objects of one block that hardly shrink come back. Their frames are longer before
// they are finished than when they are.
func TestHardlyCompressible(t *testing.T) {
	s := serde(t, Options{})
	rng := rand.New(rand.NewPCG(3, 4))
	for size := range int64(400) {
		l := layout(t, [][]int64{{size + 1}}, kv.BFloat16)
		for range 20 {
			src := make([]byte, l.Size())
			repeated := rng.IntN(len(src))
			for i := range src {
				if src[i] = byte(rng.Uint32()); i < repeated {
					src[i] = byte(rng.IntN(2))
				}
			}
			dst, back := make([]byte, s.Bound(l)), make([]byte, len(src))
			n, err := s.Serialize(dst, src, l, kv.Key{})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Deserialize(back, dst[:n], l, kv.Key{}); err != nil || !bytes.Equal(back, src) {
				t.Fatalf("%d bytes as %d: %v\n%x", len(src), n, err, src)
			}
		}
	}
}

// What a store gives back may be anything: it is an error or the object, and nothing
// is written beyond the destination.
func FuzzDeserialize(f *testing.F) {
	l := layout(f, [][]int64{{50}, {3}}, kv.BFloat16, "float32")
	s := serde(f, Options{})
	dst := make([]byte, s.Bound(l))
	for _, src := range [][]byte{noise(l.Size()), make([]byte, l.Size()), bytes.Repeat([]byte{1, 2, 3, 4}, int(l.Size())/4)} {
		n, err := s.Serialize(dst, src, l, kv.Key{})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(dst[:n]))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		slab := bytes.Repeat([]byte{0xa5}, int(l.Size())+128)
		back := slab[64 : 64+l.Size() : len(slab)]
		err := s.Deserialize(back, src, l, kv.Key{})
		if !bytes.Equal(slab[:64], slab[64+l.Size():]) || slab[0] != 0xa5 || !bytes.Equal(slab[:63], slab[1:64]) {
			t.Error("it wrote beyond the destination")
		}
		if err != nil {
			return
		}
		again := make([]byte, s.Bound(l))
		n, err := s.Serialize(again, back, l, kv.Key{})
		if err != nil {
			t.Fatal(err)
		}
		other := make([]byte, l.Size())
		if err := s.Deserialize(other, again[:n], l, kv.Key{}); err != nil || !bytes.Equal(other, back) {
			t.Errorf("not the same after another turn: %v", err)
		}
	})
}

// One object of 2 MiB, beside a copy of as many bytes.
func BenchmarkSerde(b *testing.B) {
	l, src := normal(b)
	s := serde(b, Options{})
	dst, back := make([]byte, s.Bound(l)), make([]byte, l.Size())
	n, err := s.Serialize(dst, src, l, kv.Key{})
	if err != nil {
		b.Fatal(err)
	}
	bench := func(name string, f func() error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(l.Size())
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/float64(l.Size()), "ratio")
		})
	}
	bench("Serialize", func() error { return second(s.Serialize(dst, src, l, kv.Key{})) })
	bench("Deserialize", func() error { return s.Deserialize(back, dst[:n], l, kv.Key{}) })
	bench("Split", func() error { split(back, src, l.Tensors()); return nil })
	bench("Copy", func() error { copy(back, src); return nil })
}

// An object may be larger than the windows that decoders take by default. The frame
// here is no more than the header of one: without room for the object the decoder
// gets as far as asking for room.
func TestObjectAboveDefaultWindow(t *testing.T) {
	const size = ref.MaxWindowSize + 1
	header := binary.LittleEndian.AppendUint32([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0}, size) // 0xa0: one segment, its size in 4 bytes
	s := serde(t, Options{})
	if _, err := s.dec.DecodeAll(header, nil); !errors.Is(err, ref.ErrDecoderSizeExceeded) {
		t.Errorf("the header of an object of %d bytes: %v, want %v", size, err, ref.ErrDecoderSizeExceeded)
	}
}
