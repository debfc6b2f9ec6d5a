package kv_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/storage/kv"
)

func TestKeyValidate(t *testing.T) {
	good := exampleKey(t, "t1")
	for _, c := range []struct {
		name string
		edit func(*kv.Key)
		want []string // parts of the error; none: valid
	}{
		{"example", func(*kv.Key) {}, nil},
		{"any rank and group", func(k *kv.Key) { k.Rank, k.Group = 1<<32-1, 1<<16-1 }, nil},
		{"empty model and salt", func(k *kv.Key) { k.Model, k.Salt = "", "" }, nil},
		{"no hash", func(k *kv.Key) { k.Hash = kv.Hash{} }, []string{"chunk_hash is missing"}},
		{"model with slash, backslash", func(k *kv.Key) { k.Model = `a/b\c` }, nil},
		{"model of 512 bytes", func(k *kv.Key) { k.Model = strings.Repeat("é", 256) }, nil},
		{"model of 513 bytes", func(k *kv.Key) { k.Model = strings.Repeat("m", 513) }, []string{"model_name has 513 bytes, the limit is 512"}},
		{"model with @", func(k *kv.Key) { k.Model = "a@b" }, []string{`model_name contains "@"`}},
		{"model with NUL", func(k *kv.Key) { k.Model = "a\x00b" }, []string{"model_name contains NUL"}},
		{"model not UTF-8", func(k *kv.Key) { k.Model = "a\xff" }, []string{"model_name is not valid UTF-8"}},
		{"salt of 128 characters, 256 bytes", func(k *kv.Key) { k.Salt = strings.Repeat("é", 128) }, nil},
		{"salt of 129 characters", func(k *kv.Key) { k.Salt = strings.Repeat("s", 129) }, []string{"cache_salt has 129 characters, the limit is 128"}},
		{"salt of 258 bytes", func(k *kv.Key) { k.Salt = strings.Repeat("€", 86) }, []string{"cache_salt has 258 bytes, the limit is 256"}},
		{"salt with @", func(k *kv.Key) { k.Salt = "@" }, []string{`cache_salt contains "@"`}},
		{"salt with slash", func(k *kv.Key) { k.Salt = "a/" }, []string{`cache_salt contains "/"`}},
		{"salt with backslash", func(k *kv.Key) { k.Salt = `\a` }, []string{`cache_salt contains "\\"`}},
		{"salt with NUL", func(k *kv.Key) { k.Salt = "\x00" }, []string{"cache_salt contains NUL"}},
		{"salt not UTF-8", func(k *kv.Key) { k.Salt = "\xc3" }, []string{"cache_salt is not valid UTF-8"}},
		{
			"everything at once", func(k *kv.Key) { *k = kv.Key{Model: "@\x00", Salt: "@" + strings.Repeat("/", 256)} },
			[]string{
				"chunk_hash", `model_name contains "@"`, "model_name contains NUL", "257 bytes", "257 characters",
				`cache_salt contains "@"`, `cache_salt contains "/"`,
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := good
			c.edit(&k)
			err := k.Validate()
			if len(c.want) == 0 {
				fatal(t, err)
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if got := strings.Count(err.Error(), "kv: "); got != len(c.want) {
				t.Errorf("error %q has %d problems, not %d", err, got, len(c.want))
			}
		})
	}
	if n := testing.AllocsPerRun(100, func() { _ = good.Validate() }); n != 0 {
		t.Errorf("validating a good key allocates %v times", n)
	}
}

func TestKeyFormsOfTheVectors(t *testing.T) {
	for _, c := range []struct{ salt, text, canonical string }{
		{"", "meta/llama@01000100@0@00ff10", "010a006d6574612f6c6c616d6100010001000000000300ff10"},
		{"t1", "meta/llama@01000100@0@00ff10@t1", "010a006d6574612f6c6c616d61000100010000020074310300ff10"},
	} {
		k := exampleKey(t, c.salt)
		if got := k.String(); got != c.text {
			t.Errorf("text form %q, want %q", got, c.text)
		}
		got, err := kv.ParseKey(c.text)
		fatal(t, err)
		if got != k {
			t.Errorf("ParseKey(%q) = %+v", c.text, got)
		}
		b, err := k.AppendCanonical([]byte("dst"))
		fatal(t, err)
		if string(b[:3]) != "dst" || hex.EncodeToString(b[3:]) != c.canonical {
			t.Errorf("canonical form %x, want %s", b[3:], c.canonical)
		}
		back, err := kv.ParseCanonical(b[3:])
		fatal(t, err)
		if back != k {
			t.Errorf("ParseCanonical = %+v", back)
		}
	}
}

func TestParseKeyTakesOnlyItsOwn(t *testing.T) {
	hash32 := strings.Repeat("ab", 32)
	for _, c := range []struct {
		text string
		want string // the text form of the result; empty: not a key
	}{
		{"m@00000000@0@00", "m@00000000@0@00"},
		{"m@FFFFFFFF@FFFF@AB", "m@ffffffff@ffff@ab"},
		{"m@01000100@00a@" + hash32, "m@01000100@a@" + hash32},
		{"@01000100@0@00", "@01000100@0@00"},
		{"m n/é@01000100@1@00@s t", "m n/é@01000100@1@00@s t"},
		{"", ""},
		{"@@@", ""},
		{"m@01000100@0", ""},
		{"m@01000100@0@00@t@u", ""},
		{"@v1@meta/llama@01000100@0@00ff10", ""},
		{"@v1@meta/llama@01000100@0@00ff10@t1", ""},
		{"m@01000100@00@tenant", ""}, // from before object groups: hash, then salt
		{"m@1000100@0@00", ""},
		{"m@001000100@0@00", ""},
		{"m@0x010001@0@00", ""},
		{"m@+1000100@0@00", ""},
		{"m@0100_100@0@00", ""},
		{"m@0100010g@0@00", ""},
		{"m@01000100@@00", ""},
		{"m@01000100@00000@00", ""},
		{"m@01000100@-1@00", ""},
		{"m@01000100@0x1@00", ""},
		{"m@01000100@0@", ""},
		{"m@01000100@0@0", ""},
		{"m@01000100@0@0x", ""},
		{"m@01000100@0@" + hash32 + "00", ""},
		{"m@01000100@0@00@", ""},
		{"m@01000100@0@00@a/b", ""},
		{`m@01000100@0@00@a\b`, ""},
		{"m@01000100@0@00@\x00", ""},
		{"m\x00@01000100@0@00", ""},
		{"m\xff@01000100@0@00", ""},
		{"m@01000100@0@00@" + strings.Repeat("s", 129), ""},
		{strings.Repeat("m", 513) + "@01000100@0@00", ""},
	} {
		k, err := kv.ParseKey(c.text)
		switch {
		case c.want == "" && (!errors.Is(err, kv.ErrNotKey) || k != kv.Key{}):
			t.Errorf("ParseKey(%q) = %v, %v", c.text, k, err)
		case c.want != "" && (err != nil || k.String() != c.want):
			t.Errorf("ParseKey(%q) = %v, %v, want %s", c.text, k, err, c.want)
		}
	}
}

func TestKeyJSON(t *testing.T) {
	k := exampleKey(t, "t1")
	k.Group = 3
	b, err := json.Marshal(k)
	fatal(t, err)
	const want = `{"chunk_hash_hex":"00ff10","model_name":"meta/llama","kv_rank":16777472,"object_group_id":3,"cache_salt":"t1"}`
	if string(b) != want {
		t.Errorf("JSON is %s, want %s", b, want)
	}
	var got kv.Key
	fatal(t, json.Unmarshal(b, &got))
	if got != k {
		t.Errorf("read back: %+v", got)
	}
	got = kv.Key{}
	fatal(t, json.Unmarshal([]byte(`{"kv_rank":16777472,"model_name":"meta/llama","chunk_hash_hex":"00FF10","more":[1]}`), &got))
	if diff := cmp.Diff(exampleKey(t, ""), got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

func TestKeyJSONRefusals(t *testing.T) {
	for _, c := range []struct {
		json string
		want []string
	}{
		{`{}`, []string{"chunk_hash_hex is missing", "model_name is missing", "kv_rank is missing"}},
		{`{"chunk_hash_hex":"0","model_name":"m@","kv_rank":1,"cache_salt":"/"}`, []string{"hex digits", `model_name contains "@"`, `cache_salt contains "/"`}},
		{`{"chunk_hash_hex":"00","model_name":"m","kv_rank":4294967296}`, []string{"kv_rank"}},
		{`{"chunk_hash_hex":"00","model_name":"m","kv_rank":-1}`, []string{"kv_rank"}},
		{`{"chunk_hash_hex":"00","model_name":"m","kv_rank":1,"object_group_id":65536}`, []string{"object_group_id"}},
		{`{"chunk_hash_hex":0}`, []string{"chunk_hash_hex"}},
		{`[]`, []string{"key object"}},
	} {
		k := exampleKey(t, "kept")
		err := json.Unmarshal([]byte(c.json), &k)
		if err == nil || k != exampleKey(t, "kept") {
			t.Errorf("%s: key %v, error %v", c.json, k, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not say %q", c.json, err, want)
			}
		}
	}
	k := exampleKey(t, "kept")
	if err := json.Unmarshal([]byte("null"), &k); err != nil || k != exampleKey(t, "kept") {
		t.Errorf("null: key %v, error %v", k, err)
	}
}

func TestCanonicalRefusals(t *testing.T) {
	k := exampleKey(t, "t1")
	b, err := k.AppendCanonical(nil)
	fatal(t, err)
	for n := range b {
		if got, err := kv.ParseCanonical(b[:n]); err == nil {
			t.Errorf("the first %d bytes parse as %v", n, got)
		}
	}
	edit := func(at int, v byte) []byte {
		c := append([]byte(nil), b...)
		c[at] = v
		return c
	}
	for name, bad := range map[string][]byte{
		"a byte too many":  append(append([]byte(nil), b...), 0),
		"version 0":        edit(0, 0),
		"version 2":        edit(0, 2),
		"a longer model":   edit(1, 11),
		"a huge model":     edit(2, 0xff),
		"@ in the model":   edit(3, '@'),
		"/ in the salt":    edit(21, '/'),
		"no hash":          append(edit(23, 0)[:24:24], nil...),
		"a hash of 33":     append(edit(23, 33)[:24:24], make([]byte, 33)...),
		"over every limit": append(edit(0, 1), make([]byte, kv.MaxCanonicalLen)...),
	} {
		if got, err := kv.ParseCanonical(bad); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got, err := (kv.Key{}).AppendCanonical([]byte{7}); err == nil || len(got) != 1 || got[0] != 7 {
		t.Errorf("an invalid key gives %x, %v", got, err)
	}

	longest := kv.Key{
		Hash:  kv.Hash32([32]byte{1}),
		Model: strings.Repeat("m", kv.MaxModelBytes),
		Salt:  strings.Repeat("é", kv.MaxSaltRunes),
		Rank:  1<<32 - 1,
		Group: 1<<16 - 1,
	}
	b, err = longest.AppendCanonical(nil)
	fatal(t, err)
	if len(b) != kv.MaxCanonicalLen {
		t.Errorf("the longest form has %d bytes, MaxCanonicalLen is %d", len(b), kv.MaxCanonicalLen)
	}
	if got, err := kv.ParseCanonical(b); err != nil || got != longest {
		t.Errorf("the longest form: %v", err)
	}
}
