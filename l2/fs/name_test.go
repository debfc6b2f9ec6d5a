package fs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

func mustKey(tb testing.TB, text string) kv.Key {
	tb.Helper()
	k, err := kv.ParseKey(text)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// The names that others have to find: those of format v1 by the specification, those
// of format raw as LMCache's file adapters spell them.
func TestNameVectors(t *testing.T) {
	for _, c := range []struct{ key, v1, raw string }{
		{"meta/llama@01000100@0@00ff10", "86/meta%2Fllama@01000100@0@00ff10.kv1", "meta-SEP-llama@0x01000100@0@00ff10.data"},
		{"meta/llama@01000100@0@00ff10@t1", "44/meta%2Fllama@01000100@0@00ff10@t1.kv1", "meta-SEP-llama@0x01000100@0@00ff10@t1.data"},
		{"a.b_c-d@ff03ff03@1f@0a@A%2F ü", "", "a.b_c-d@0xff03ff03@1f@0a@A%2F ü.data"},
	} {
		k := mustKey(t, c.key)
		dir, name, err := v1Name(k)
		if err != nil {
			t.Fatal(err)
		}
		if c.v1 != "" && dir+"/"+name != c.v1 {
			t.Errorf("%s: v1 %s/%s, want %s", c.key, dir, name, c.v1)
		}
		if got, hashed, err := parseV1(dir, name); got != k || hashed || err != nil {
			t.Errorf("%s: read back as %v, %v, %v", c.key, got, hashed, err)
		}
		raw, err := rawName(k)
		if err != nil || raw != c.raw {
			t.Errorf("%s: raw %s, %v, want %s", c.key, raw, err, c.raw)
		}
		if got, err := parseRaw(raw); got != k || err != nil {
			t.Errorf("%s: read back as %v, %v", c.key, got, err)
		}
	}
	_, name, _ := v1Name(mustKey(t, "m%@00000001@0@00@a ü"))
	if want := "m%25@00000001@0@00@a%20%C3%BC.kv1"; name != want {
		t.Errorf("escaped: %s, want %s", name, want)
	}
}

// A name that would be too long is a hash, and the folder that of its name.
func TestLongNames(t *testing.T) {
	long := mustKey(t, strings.Repeat("m", 251-len("@01000100@0@00"))+"@01000100@0@00")
	_, name, err := v1Name(long)
	if err != nil || len(name) != 255 || strings.HasPrefix(name, hashedPrefix) {
		t.Errorf("the longest name that fits: %d bytes, %v: %s", len(name), err, name)
	}
	long.Model += "m"
	canonical, err := long.AppendCanonical(nil)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(canonical)
	dir, name, err := v1Name(long)
	if want := "h-" + hex.EncodeToString(sum[:]) + ".kv1"; err != nil || name != want {
		t.Errorf("%s, %v, want %s", name, err, want)
	}
	if _, hashed, err := parseV1(dir, name); !hashed || err != nil {
		t.Errorf("parse: hashed %v, %v", hashed, err)
	}
	for _, foreign := range []string{"zz", "", "AA"} {
		if _, _, err := parseV1(foreign, name); !errors.Is(err, kv.ErrNotKey) {
			t.Errorf("in folder %q: %v", foreign, err)
		}
	}
	long.Model = strings.Repeat("/", 60) // escaped under v1, five bytes each under raw
	if _, err := rawName(long); !errors.Is(err, l2.ErrTooLarge) {
		t.Errorf("raw: %v, want that it is too long", err)
	}
	if _, err := rawName(mustKey(t, "a-SEP-b@01000100@0@00")); err == nil {
		t.Error("raw: the name of a model with -SEP- cannot be read back")
	}
}

func TestForeignNames(t *testing.T) {
	const stem = "meta%2Fllama@01000100@0@00ff10"
	for _, c := range []struct{ dir, name string }{
		{"86", stem},
		{"86", stem + ".data"},
		{"86", stem + ".kv1.tmp"},
		{"87", stem + ".kv1"},
		{"", stem + ".kv1"},
		{"86", "meta%2fllama@01000100@0@00ff10.kv1"},
		{"86", "meta/llama@01000100@0@00ff10.kv1"},
		{"86", "meta%2Fllama@01000100@00@00ff10.kv1"},
		{"86", "meta%2Fllama@01000100@0@00FF10.kv1"},
		{"86", "meta%2Fllama@01000100@0@00ff10@.kv1"},
		{"86", "%"},
		{"86", "%4"},
		{"86", ".kv1"},
		{"86", ""},
	} {
		if k, _, err := parseV1(c.dir, c.name); !errors.Is(err, kv.ErrNotKey) {
			t.Errorf("v1: %s/%s is %v, %v", c.dir, c.name, k, err)
		}
	}
	for _, name := range []string{
		"", ".data", "meta@01000100@0@00ff10.data", "meta@0x1000100@0@00ff10.data", "me/ta@0x01000100@0@00ff10.data",
		"meta@0x01000100@0@00ff10", "meta@0x01000100@00ff10.data", "meta@0x01000100@0@00ff10@a@b.data",
		"meta@0x01000100@cafe1@00ff10.data", "meta@0X01000100@0@00ff10.data", "meta@0x01000100@0@00FF10.data",
	} {
		if k, err := parseRaw(name); !errors.Is(err, kv.ErrNotKey) {
			t.Errorf("raw: %s is %v, %v", name, k, err)
		}
	}
	for name, want := range map[string]bool{
		".lmcache-go-12-00000000000000ff.tmp": true, ".lmcache-go-12-ff.tmp": false, ".lmcache-go-12-00000000000000ff.tmp.kv1": false,
		"x.tmp": false, ".lmcache-go--1-00000000000000ff.tmp": false, ".lmcache-go-012-00000000000000ff.tmp": false, "": false,
	} {
		if isTemp(name) != want {
			t.Errorf("%q is a temporary file: %v, want %v", name, !want, want)
		}
	}
}

// Two models never share a raw name, whose file says nothing about its model.
func TestRawNamesAreOnes(t *testing.T) {
	parts := []string{"-SEP-", "-SEP", "SEP-", "/", "-", "a"}
	names := map[string]string{}
	for _, a := range parts {
		for _, b := range parts {
			for _, c := range parts {
				for _, d := range parts {
					k := mustKey(t, "m@01000100@0@00")
					k.Model = a + b + c + d
					name, err := rawName(k)
					if err != nil {
						continue
					}
					if other, taken := names[name]; taken && other != k.Model {
						t.Errorf("models %s and %s are both %s", other, k.Model, name)
					}
					names[name] = k.Model
				}
			}
		}
	}
	if len(names) < 100 {
		t.Errorf("%d names were compared", len(names))
	}
}

// Every name is that of one key, and what a name is read as has that name.
func FuzzNames(f *testing.F) {
	f.Add("meta%2Fllama@01000100@0@00ff10.kv1", "meta/llama", "t1")
	f.Add("meta-SEP-llama@0x01000100@0@00ff10.data", "-SEP-", "%")
	f.Add("", "a-SEP/b", "")
	f.Add("%@%%2G@", strings.Repeat("ü", 100), "")
	f.Fuzz(func(t *testing.T, name, model, salt string) {
		for i := range fanOut {
			dir := fmt.Sprintf("%02x", i)
			if k, hashed, err := parseV1(dir, name); err == nil && !hashed {
				if d, n, err := v1Name(k); d != dir || n != name || err != nil {
					t.Errorf("v1: %s is %v, whose name is %s/%s", name, k, d, n)
				}
			}
		}
		if k, err := parseRaw(name); err == nil {
			if n, err := rawName(k); n != name || err != nil {
				t.Errorf("raw: %s is %v, whose name is %s", name, k, n)
			}
		}
		k := mustKey(t, "m@01000100@0@00ff10")
		k.Model, k.Salt = model, salt
		if k.Validate() != nil {
			return
		}
		dir, n, err := v1Name(k)
		if err != nil || len(n) > maxName || strings.Contains(n, "/") {
			t.Fatalf("%+v: %q, %v", k, n, err)
		}
		if back, hashed, err := parseV1(dir, n); err != nil || !hashed && back != k {
			t.Errorf("%+v is read back as %+v, %v", k, back, err)
		}
		if n, err := rawName(k); err == nil {
			if back, err := parseRaw(n); err != nil || back != k {
				t.Errorf("raw: %+v is read back as %+v, %v", k, back, err)
			}
		}
	})
}
