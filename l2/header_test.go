package l2_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

func key(t testing.TB, text string) kv.Key {
	t.Helper()
	k, err := kv.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func layout(t testing.TB) kv.Layout {
	t.Helper()
	l, err := kv.NewLayout([][]int64{{2, 32, 256, 1024}}, []kv.DType{kv.BFloat16})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func header(t testing.TB, payload []byte) l2.Header {
	return l2.Header{
		Key: key(t, "meta/llama@01000100@0@00ff10@t1"), Fingerprint: layout(t).Fingerprint(),
		Checksum: l2.CRC32C, Sum: l2.CRC32C.Sum(payload), Payload: int64(len(payload)), Created: time.Unix(0, 0x0102030405060708),
	}
}

func put(t testing.TB, f l2.Format, h l2.Header) []byte {
	t.Helper()
	head := make([]byte, f.HeadLen(h.Key, h.Serde))
	if err := h.Put(head); err != nil {
		t.Fatal(err)
	}
	return head
}

// The bytes are written out by hand from the table of the format; the last four are
// CRC-32C of what is before them, and 0xe3069283 is CRC-32C of "123456789".
func TestHeaderBytes(t *testing.T) {
	head := put(t, l2.Format{}, header(t, []byte("123456789")))
	want := hex.EncodeToString([]byte("LMCKVO1\n")) +
		"80000000" + "0100" + "0100" + // length 128, version 1, CRC-32C
		"0900000000000000" + "839206e300000000" + "0807060504030201" +
		"c6e9254d30b9fc9736d04df5661b1df2" + "00000000" + "1b000000" +
		"010a006d6574612f6c6c616d6100010001000002007431" + "0300ff10" + "00"
	got := hex.EncodeToString(head)
	if !strings.HasPrefix(got, want) || len(head) != 128 {
		t.Fatalf("header of %d bytes:\n%s, want it to begin with\n%s", len(head), got, want)
	}
	if rest := head[len(want)/2 : 124]; !bytes.Equal(rest, make([]byte, len(rest))) {
		t.Errorf("padding %x", rest)
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	payload := []byte("some bytes of attention state")
	for _, f := range []l2.Format{{}, {HeadAlign: 4096, PadAlign: 4096}} {
		for _, serde := range []string{"", "zstd", strings.Repeat("s", l2.MaxSerdeName)} {
			for _, c := range []l2.Checksum{l2.XXH3, l2.CRC32C, l2.NoChecksum} {
				h := header(t, payload)
				h.Serde, h.Checksum, h.Sum = serde, c, c.Sum(payload)
				head := put(t, f, h)
				got, err := l2.ParseHeader(head)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(h, got, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); d != "" {
					t.Errorf("serde %q, %v: header changed (-want +got)\n%s", serde, c, d)
				}
				want := l2.Want{Key: h.Key, Fingerprint: h.Fingerprint, Serde: serde, Size: int64(len(payload))}
				if err := got.Verify(want, payload); err != nil {
					t.Errorf("serde %q, %v: %v", serde, c, err)
				}
			}
		}
	}
}

// A bit that is wrong anywhere gives a miss: in the header by its own checksum, in
// the payload by the one in the header.
func TestEveryBitIsVerified(t *testing.T) {
	payload := make([]byte, 64<<10)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range payload {
		payload[i] = byte(rng.Uint32())
	}
	for _, c := range []l2.Checksum{l2.XXH3, l2.CRC32C} {
		h := header(t, payload)
		h.Checksum, h.Sum = c, c.Sum(payload)
		head := put(t, l2.Format{}, h)
		want := l2.Want{Key: h.Key, Fingerprint: h.Fingerprint, Size: int64(len(payload))}
		check := func() error {
			got, err := l2.ParseHeader(head)
			if err != nil {
				return err
			}
			return got.Verify(want, payload)
		}
		if err := check(); err != nil {
			t.Fatal(err)
		}
		for i := range len(head) * 8 {
			head[i/8] ^= 1 << (i % 8)
			if err := check(); !errors.Is(err, l2.ErrCorrupt) {
				t.Errorf("bit %d of the header flipped: %v", i, err)
			}
			head[i/8] ^= 1 << (i % 8)
		}
		for range 1000 {
			i := rng.IntN(len(payload) * 8)
			payload[i/8] ^= 1 << (i % 8)
			if err := check(); !errors.Is(err, l2.ErrCorrupt) {
				t.Errorf("bit %d of the payload flipped: %v", i, err)
			}
			payload[i/8] ^= 1 << (i % 8)
		}
	}
}

func TestVerifyNamesWhatDiffers(t *testing.T) {
	payload := []byte("payload")
	h := header(t, payload)
	good := l2.Want{Key: h.Key, Fingerprint: h.Fingerprint, Size: int64(len(payload))}
	other := func(change func(*l2.Want)) l2.Want {
		w := good
		change(&w)
		return w
	}
	for name, tc := range map[string]struct {
		want    l2.Want
		payload []byte
		cause   error
	}{
		"another key":     {other(func(w *l2.Want) { w.Key.Salt = "t2" }), payload, l2.ErrCorrupt},
		"another layout":  {other(func(w *l2.Want) { w.Fingerprint[3]++ }), payload, l2.ErrLayout},
		"another serde":   {other(func(w *l2.Want) { w.Serde = "zstd" }), payload, l2.ErrLayout},
		"another size":    {other(func(w *l2.Want) { w.Size++ }), payload, l2.ErrCorrupt},
		"a short payload": {good, payload[:3], l2.ErrCorrupt},
		"other bytes":     {good, []byte("pAyload"), l2.ErrCorrupt},
	} {
		if err := h.Verify(tc.want, tc.payload); !errors.Is(err, tc.cause) {
			t.Errorf("%s: %v, want %v", name, err, tc.cause)
		}
	}
}

func TestHeaderRefuses(t *testing.T) {
	h := header(t, nil)
	if err := h.Put(make([]byte, 64)); err == nil {
		t.Error("a header fits 64 bytes")
	}
	h.Serde = strings.Repeat("s", l2.MaxSerdeName+1)
	if err := h.Put(make([]byte, 4096)); err == nil {
		t.Error("a name of 256 bytes was taken")
	}
	h = l2.Header{}
	if err := h.Put(make([]byte, 4096)); err == nil {
		t.Error("a header without a key was written")
	}
	head := put(t, l2.Format{}, header(t, nil))
	for n := range len(head) {
		if _, err := l2.ParseHeader(head[:n]); !errors.Is(err, l2.ErrCorrupt) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add(put(f, l2.Format{}, header(f, []byte("x"))))
	f.Add(put(f, l2.Format{HeadAlign: 4096}, header(f, nil)))
	f.Add([]byte("LMCKVO1\n\x40\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := l2.ParseHeader(b)
		if err != nil {
			if !errors.Is(err, l2.ErrCorrupt) {
				t.Errorf("%v does not say that the object is corrupt", err)
			}
			return
		}
		if err := h.Key.Validate(); err != nil {
			t.Error(err)
		}
		again := make([]byte, len(b))
		if err := h.Put(again); err != nil {
			t.Error(err)
		}
	})
}

func TestRemoteNames(t *testing.T) {
	const text = "meta/llama@01000100@0@00ff10@t1"
	k := key(t, text)
	v1, raw := l2.Format{}, l2.Format{Raw: true}
	if got := v1.RemoteName(k); got != "@v1@"+text {
		t.Errorf("v1: %s", got)
	}
	if got := raw.RemoteName(k); got != text {
		t.Errorf("raw: %s", got)
	}
	for _, f := range []l2.Format{v1, raw} {
		got, err := f.ParseRemoteName(f.RemoteName(k))
		if err != nil || got != k {
			t.Errorf("%+v: %v, %v", f, got, err)
		}
		for _, other := range []string{"meta/llama@01000100@0@00FF10@t1", "meta/llama@01000100@00@00ff10@t1"} {
			name := strings.TrimSuffix(f.RemoteName(k), text) + other
			if got, err := f.ParseRemoteName(name); !errors.Is(err, kv.ErrNotKey) {
				t.Errorf("%+v: %s, which is not the name of a key, is that of %v, %v", f, name, got, err)
			}
		}
		if !strings.HasPrefix(f.RemoteName(k), f.ModelPrefix(k.Model)) {
			t.Errorf("%+v: %s is not the prefix of its names", f, f.ModelPrefix(k.Model))
		}
	}
	if _, err := v1.ParseRemoteName(text); !errors.Is(err, kv.ErrNotKey) {
		t.Errorf("a raw name in format v1: %v", err)
	}
	if _, err := raw.ParseRemoteName("@v1@" + text); !errors.Is(err, kv.ErrNotKey) {
		t.Errorf("a name of v1 in format raw: %v", err)
	}
}

func TestStoredSize(t *testing.T) {
	files := l2.Format{HeadAlign: 4096, PadAlign: 4096}
	k := key(t, "m@01000100@0@00ff10")
	if got := files.StoredSize(files.HeadLen(k, ""), 5000); got != 4096+8192 {
		t.Errorf("file: %d", got)
	}
	if got := (l2.Format{Raw: true}).StoredSize(0, 5000); got != 5000 {
		t.Errorf("raw: %d", got)
	}
	if got := (l2.Format{}).StoredSize(128, 5000); got != 5128 {
		t.Errorf("v1: %d", got)
	}
}
