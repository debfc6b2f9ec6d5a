package kv_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/storage/kv"
)

func TestHashOfTakes1To32Bytes(t *testing.T) {
	for n := range 40 {
		b := bytes.Repeat([]byte{0xa5}, n)
		h, err := kv.HashOf(b)
		if ok := n >= 1 && n <= 32; ok != (err == nil) {
			t.Fatalf("HashOf(%d bytes): %v", n, err)
		} else if !ok {
			if h != (kv.Hash{}) || !h.IsZero() {
				t.Errorf("HashOf(%d bytes) is not the zero Hash", n)
			}
			continue
		}
		if h.Len() != n || h.IsZero() || !bytes.Equal(h.Append(nil), b) {
			t.Errorf("HashOf(%d bytes) has %d: %x", n, h.Len(), h.Append(nil))
		}
		a, m := h.Array()
		if m != n || !bytes.Equal(a[:n], b) || strings.Trim(string(a[n:]), "\x00") != "" {
			t.Errorf("Array of %d bytes: %x, %d", n, a, m)
		}
		b[0] = 0
		if h.Append(nil)[0] != 0xa5 {
			t.Error("the hash changes with the slice it was made of")
		}
	}
}

func TestHashLengthIsPartOfTheIdentity(t *testing.T) {
	short, long := hashOf(t, "ab"), hashOf(t, "ab00")
	if short == long || short.Equal(long) || !short.Equal(hashOf(t, "ab")) {
		t.Error("hashes that differ by trailing zeros must differ, equal ones be equal")
	}
	if got := kv.Hash32([32]byte{1}); got != hashOf(t, "01"+strings.Repeat("00", 31)) {
		t.Errorf("Hash32 = %v", got)
	}
}

func TestHashText(t *testing.T) {
	good := []string{"00", "00ff10", "00FF1a", strings.Repeat("0f", 32)}
	bad := []string{"", "0", "000", "0g", "+1", " 010", "0x01", strings.Repeat("0f", 33)}
	for i, text := range slices.Concat(good, bad) {
		ok := i < len(good)
		h, err := kv.ParseHash(text)
		if ok != (err == nil) {
			t.Errorf("ParseHash(%q): %v", text, err)
		}
		if !ok && h != (kv.Hash{}) {
			t.Errorf("ParseHash(%q) fails with %v", text, h)
		}
		if ok && h.String() != strings.ToLower(text) {
			t.Errorf("ParseHash(%q) = %v", text, h)
		}
	}

	in := map[kv.Hash]kv.Hash{hashOf(t, "0a"): hashOf(t, "0b")}
	b, err := json.Marshal(in)
	fatal(t, err)
	if string(b) != `{"0a":"0b"}` {
		t.Errorf("JSON is %s", b)
	}
	var out map[kv.Hash]kv.Hash
	fatal(t, json.Unmarshal(b, &out))
	if len(out) != 1 || out[hashOf(t, "0a")] != hashOf(t, "0b") {
		t.Errorf("read back: %v", out)
	}
	kept := hashOf(t, "0c")
	if err := kept.UnmarshalText([]byte("xyz")); err == nil || kept != hashOf(t, "0c") {
		t.Errorf("a bad text gives %v and leaves %v", err, kept)
	}
	if err := kept.UnmarshalText(nil); err != nil || !kept.IsZero() {
		t.Errorf("the empty text gives %v, %v", kept, err)
	}
}

func TestHashLead(t *testing.T) {
	for text, want := range map[string]uint64{
		"0102030405060708090a": 0x0102030405060708,
		"ff":                   0xff00000000000000,
	} {
		h, err := kv.ParseHash(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.Lead(); got != want {
			t.Errorf("Lead of %s is %x, want %x", text, got, want)
		}
	}
}
