package kv_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// FuzzParseKey: whatever parses is valid and comes back from its text, JSON and
// canonical forms; whatever does not is "not ours".
func FuzzParseKey(f *testing.F) {
	for _, s := range []string{
		"meta/llama@01000100@0@00ff10",
		"meta/llama@01000100@0@00ff10@t1",
		"@v1@meta/llama@01000100@0@00ff10",
		"m@FFFFFFFF@00ff@" + strings.Repeat("Ab", 32) + "@é",
		"m@01000100@0@00@a/b",
		"m@01000100@00@tenant",
		"@@@@",
		"",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := kv.ParseKey(s)
		if err != nil {
			if !errors.Is(err, kv.ErrNotKey) || k != (kv.Key{}) {
				t.Fatalf("ParseKey(%q) = %+v, %v", s, k, err)
			}
			return
		}
		fatal(t, k.Validate())
		text := k.String()
		if !strings.EqualFold(text, s) && len(text) == len(s) || len(text) > len(s) {
			t.Fatalf("ParseKey(%q).String() = %q", s, text)
		}
		if back, err := kv.ParseKey(text); err != nil || back != k {
			t.Fatalf("%q comes back as %+v, %v", text, back, err)
		}
		b, err := k.AppendCanonical(nil)
		fatal(t, err)
		if back, err := kv.ParseCanonical(b); err != nil || back != k {
			t.Fatalf("%x comes back as %+v, %v", b, back, err)
		}
		j, err := json.Marshal(k)
		fatal(t, err)
		var back kv.Key
		if err := json.Unmarshal(j, &back); err != nil || back != k {
			t.Fatalf("%s comes back as %+v, %v", j, back, err)
		}
	})
}

// FuzzParseCanonical: the form is one to one. Whatever parses is valid and gives
// the same bytes again.
func FuzzParseCanonical(f *testing.F) {
	for _, salt := range []string{"", "t1"} {
		b, err := exampleKey(f, salt).AppendCanonical(nil)
		fatal(f, err)
		f.Add(b)
		f.Add(b[:len(b)-1])
		f.Add(append(b, 0))
	}
	f.Add([]byte{})
	f.Add([]byte{1, 0xff, 0xff})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := kv.ParseCanonical(b)
		if err != nil {
			if k != (kv.Key{}) {
				t.Fatalf("ParseCanonical(%x) = %+v, %v", b, k, err)
			}
			return
		}
		fatal(t, k.Validate())
		again, err := k.AppendCanonical(nil)
		fatal(t, err)
		if !bytes.Equal(again, b) {
			t.Fatalf("%x gives %x again", b, again)
		}
		if back, err := kv.ParseKey(k.String()); err != nil || back != k {
			t.Fatalf("%q comes back as %+v, %v", k.String(), back, err)
		}
	})
}

// FuzzKeyJSON: no text panics, and whatever is accepted is valid.
func FuzzKeyJSON(f *testing.F) {
	f.Add([]byte(`{"chunk_hash_hex":"00ff10","model_name":"meta/llama","kv_rank":16777472,"object_group_id":3,"cache_salt":"t1"}`))
	f.Add([]byte(`{"chunk_hash_hex":null,"model_name":1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var k kv.Key
		if err := json.Unmarshal(b, &k); err != nil || k == (kv.Key{}) {
			return
		}
		fatal(t, k.Validate())
	})
}
