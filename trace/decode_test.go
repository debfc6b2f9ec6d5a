package trace_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/tinylib/msgp/msgp"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

// m is a map that is encoded in the order of its entries: key, value, key, value.
type m []any

// tagged wraps a payload.
func tagged(tag string, v any) m { return m{"__t__", tag, "v", v} }

// pack encodes plain Go values.
func pack(t testing.TB, b []byte, v any) []byte {
	t.Helper()
	switch v := v.(type) {
	case m:
		b = msgp.AppendMapHeader(b, uint32(len(v)/2))
		for _, e := range v {
			b = pack(t, b, e)
		}
		return b
	case []any:
		b = msgp.AppendArrayHeader(b, uint32(len(v)))
		for _, e := range v {
			b = pack(t, b, e)
		}
		return b
	case rawValue:
		return append(b, v...)
	}
	b, err := msgp.AppendIntf(b, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rawValue is bytes that are put in as they are.
type rawValue []byte

// framed puts the length in front of a body.
func framed(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func header(t testing.TB, changes ...any) []byte {
	t.Helper()
	h := m{
		"type", "header", "magic", []byte("LMCT"), "format_version", 1, "level", "storage", "trace_schema_version", 1,
		"t_mono_start", 10.5, "t_wall_start", 1700000000.25, "sm_config_json", "", "sm_config_digest", "",
	}
	return framed(pack(t, nil, changed(h, changes...)))
}

// changed replaces or adds entries; a nil value removes one.
func changed(in m, changes ...any) m {
	out := append(m(nil), in...)
	for i := 0; i < len(changes); i += 2 {
		at := -1
		for j := 0; j < len(out); j += 2 {
			if out[j] == changes[i] {
				at = j
			}
		}
		switch {
		case changes[i+1] == nil:
			out = append(out[:at], out[at+2:]...)
		case at < 0:
			out = append(out, changes[i], changes[i+1])
		default:
			out[at+1] = changes[i+1]
		}
	}
	return out
}

func record(t testing.TB, call string, args any, changes ...any) []byte {
	t.Helper()
	r := m{"type", "record", "t_mono", 0.25, "t_wall", 1700000000.5, "qualname", trace.Qualname(call), "args", args}
	return framed(pack(t, nil, changed(r, changes...)))
}

func keyValue(hash byte, more ...any) m {
	return tagged("ObjectKey", append(m{"chunk_hash", []byte{hash}, "model_name", "m", "kv_rank", 0}, more...))
}

func layoutValue() m {
	return tagged("MemoryLayoutDesc", m{"shapes", []any{[]any{2, 300}}, "dtypes", []any{"torch.bfloat16"}})
}

func key(t testing.TB, hash byte) kv.Key {
	t.Helper()
	h, err := kv.HashOf([]byte{hash})
	if err != nil {
		t.Fatal(err)
	}
	return kv.Key{Hash: h, Model: "m"}
}

func layout(t testing.TB) kv.Layout {
	t.Helper()
	l, err := kv.NewLayout([][]int64{{2, 300}}, []kv.DType{kv.BFloat16})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestREQ_T6_AllNamesOfParameters decodes every form of every call to the same one.
func TestREQ_T6_AllNamesOfParameters(t *testing.T) {
	a, b := key(t, 1), key(t, 2)
	grouped := func(keys ...any) m {
		return tagged("GroupedObjectKeys", m{"keys", keys, "object_group_id", 0, "layout_desc", layoutValue(), "sliding_window_size", -1})
	}
	spec := func(readers int, policy, lock string, rows ...any) m {
		return m{"spec", tagged("PrefetchTaskSpec", m{
			"key_groups", rows, "num_kv_readers", readers, "fetching_policy", policy, "lock_mode", tagged("PrefetchLockMode", lock),
		})}
	}
	keys := []any{keyValue(1), keyValue(2)}
	prefetch := storage.Call{Name: storage.CallSubmitPrefetch, Keys: []kv.Key{a, b}, Layout: layout(t), Readers: 3, RequestID: "r", SkipL2: true}
	full := prefetch
	full.Policy, full.Warm, full.SkipL2 = storage.Sparse, true, false
	finish := storage.Call{Name: storage.CallFinishRead, Keys: []kv.Key{a}, Readers: 2}
	one := finish
	one.Readers = 1
	reserve := storage.Call{Name: storage.CallReserveWrite, Keys: []kv.Key{a, b}, Layout: layout(t)}
	update := reserve
	update.Mode = storage.Update

	for name, c := range map[string]struct {
		call string
		args m
		want storage.Call
	}{
		"prefetch, documented": {storage.CallSubmitPrefetch, m{"keys", keys, "layout_desc", layoutValue(), "extra_count", 2, "external_request_id", "r", "skip_l2", true}, prefetch},
		"prefetch, shares":     {storage.CallSubmitPrefetch, m{"keys", keys, "layout_desc", layoutValue(), "shares", 2, "external_request_id", "r", "skip_l2", true}, prefetch},
		"prefetch, readers":    {storage.CallSubmitPrefetch, m{"num_kv_readers", 3, "keys", keys, "layout_desc", layoutValue(), "external_request_id", "r", "skip_l2", true}, prefetch},
		"prefetch, spec":       {storage.CallSubmitPrefetch, append(spec(3, "prefix", "LOCK", grouped(keys...)), "external_request_id", "r", "skip_l2", true), prefetch},
		"prefetch, tuple":      {storage.CallSubmitPrefetch, append(spec(3, "prefix", "LOCK", grouped(keys...)), "external_request_id", "r", "skip_l2", true, "unknown", tagged("tuple", []any{1, m{}})), prefetch},
		"prefetch, full":       {storage.CallSubmitPrefetch, append(spec(3, "full", "NO_LOCK", grouped(keys...)), "external_request_id", "r"), full},
		"prefetch, request spec": {storage.CallSubmitPrefetch, m{"spec", tagged("PrefetchRequestSpec", m{
			"keys", tagged("tuple", keys), "extra_count", 2, "policy", tagged("TrimPolicy", "PREFIX"), "attn_desc", tagged("AttnWindowDesc", []any{-1}),
			"group_layout_descs",
			m{"0", layoutValue()},
			"mode", tagged("PrefetchMode", "LOCK"), "generation", 7,
		}), "external_request_id", "r", "skip_l2", true}, prefetch},
		"prefetch, policy":          {storage.CallSubmitPrefetch, m{"keys", keys, "layout_desc", layoutValue(), "extra_count", 2, "external_request_id", "r", "policy", "SPARSE", "lock_mode", "NO_LOCK"}, full},
		"finish read, documented":   {storage.CallFinishRead, m{"keys", []any{keyValue(1)}, "extra_count", 1}, finish},
		"finish read, 0.5.6":        {storage.CallFinishRead, m{"keys", []any{keyValue(1, "object_group_id", 0)}, "read_locks", 2}, finish},
		"finish read, defaults":     {storage.CallFinishRead, m{"keys", []any{keyValue(1, "cache_salt", "")}}, one},
		"reserve, documented":       {storage.CallReserveWrite, m{"keys", keys, "layout_desc", layoutValue(), "mode", "new"}, reserve},
		"reserve, 0.5.6":            {storage.CallReserveWrite, m{"layout_desc", layoutValue(), "keys", keys}, reserve},
		"reserve, update":           {storage.CallReserveWrite, m{"layout_desc", layoutValue(), "keys", keys, "mode", "update"}, update},
		"reserve, torch.Size":       {storage.CallReserveWrite, m{"keys", keys, "layout_desc", tagged("MemoryLayoutDesc", m{"dtypes", []any{tagged("torch.dtype", "torch.bfloat16")}, "shapes", []any{tagged("torch.Size", []any{2, 300})}})}, reserve},
		"reserve, payload first":    {storage.CallReserveWrite, m{"keys", []any{m{"v", keyValue(1)[3], "__t__", "ObjectKey"}, keyValue(2)}, "layout_desc", layoutValue()}, reserve},
		"reserve, further fields":   {storage.CallReserveWrite, m{"keys", []any{keyValue(1, "later", m{"x", nil}), keyValue(2)}, "layout_desc", layoutValue(), 7, "no text"}, reserve},
		"finish write":              {storage.CallFinishWrite, m{"keys", keys}, storage.Call{Name: storage.CallFinishWrite, Keys: []kv.Key{a, b}}},
		"renew":                     {storage.CallRenew, m{"later", 1}, storage.Call{Name: storage.CallRenew}},
		"clear":                     {storage.CallClear, m{"force", true}, storage.Call{Name: storage.CallClear, Force: true}},
		"quota":                     {storage.CallQuota, m{"cache_salt", "s", "bytes", int64(1 << 40)}, storage.Call{Name: storage.CallQuota, Salt: "s", Bytes: 1 << 40}},
		"quota deleted":             {storage.CallQuota, m{"cache_salt", "s", "bytes", rawValue{0xc0}}, storage.Call{Name: storage.CallQuota, Salt: "s", Bytes: storage.NoQuota}},
		"delete":                    {storage.CallDelete, m{"keys", keys, "force", true}, storage.Call{Name: storage.CallDelete, Keys: []kv.Key{a, b}, Force: true}},
		"delete of tiers":           {storage.CallDelete, m{"keys", keys, "adapter", -1}, storage.Call{Name: storage.CallDelete, Keys: []kv.Key{a, b}, Outer: true, Tier: storage.AllTiers}},
		"delete of one tier":        {storage.CallDelete, m{"adapter", 3, "keys", keys}, storage.Call{Name: storage.CallDelete, Keys: []kv.Key{a, b}, Outer: true, Tier: 3}},
		"touch":                     {storage.CallTouch, m{"keys", keys}, storage.Call{Name: storage.CallTouch, Keys: []kv.Key{a, b}}},
		"enter":                     {storage.CallReadEnter, m{"keys", tagged("set", keys)}, storage.Call{Name: storage.CallReadEnter, Keys: []kv.Key{a, b}}},
		"exit, with no keys at all": {storage.CallReadExit, m{"keys", []any{}}, storage.Call{Name: storage.CallReadExit}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, schema := range []int{1, 2} {
				stream := append(header(t, "trace_schema_version", schema), record(t, c.call, c.args)...)
				_, calls, _ := read(t, stream)
				want := trace.Call{Call: c.want}
				want.N, want.Owner = storage.NoCall, storage.NoCall
				if diff := cmp.Diff(want, calls[0], cmpCalls, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

// Rows of several groups are kept.
func TestRowsOfGroups(t *testing.T) {
	row := func(group, window int) m {
		return tagged("GroupedObjectKeys", m{
			"keys",
			[]any{keyValue(1, "object_group_id", group), keyValue(2, "object_group_id", group)},
			"object_group_id", group,
			"layout_desc", layoutValue(), "sliding_window_size", window,
		})
	}
	args := m{"spec", tagged("PrefetchTaskSpec", m{
		"key_groups", []any{row(0, -1), row(3, 2)}, "num_kv_readers", 1, "fetching_policy", "prefix", "lock_mode", tagged("PrefetchLockMode", "LOCK"),
	}), "external_request_id", "", "skip_l2", false}
	in := record(t, storage.CallSubmitPrefetch, args)
	_, calls, records := read(t, append(header(t), in...))
	if c := calls[0]; len(c.Rows) != 2 || len(c.Keys) != 4 || c.Rows[1].Group != 3 || c.Rows[1].Window != 2 || c.Keys[2].Group != 3 {
		t.Fatalf("got %+v", c)
	}
	_ = records
	// Encoded again, in the form that has rows, with the group in every key.
	out, err := trace.NewEncoder(trace.Plain, trace.Args056).AppendCall(nil, 0.25, 1700000000.5, &calls[0])
	if err != nil {
		t.Fatal(err)
	}
	_, again, _ := read(t, append(header(t), out...))
	if diff := cmp.Diff(calls, again, cmpCalls); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestArgumentsThatDoNotDecode: the record stays, its call has an error that names
// the place.
func TestArgumentsThatDoNotDecode(t *testing.T) {
	for _, c := range []struct {
		call string
		args m
		want string
	}{
		{storage.CallFinishWrite, m{}, "args: keys: it is missing"},
		{storage.CallFinishWrite, m{"keys", 7}, "args: keys: msgp"},
		{storage.CallFinishWrite, m{"keys", []any{keyValue(1), tagged("Nonsense", 1)}}, "args: keys: [1]: trace.codecs: unknown tag 'Nonsense'"},
		{storage.CallFinishWrite, m{"keys", []any{keyValue(1), 5}}, "args: keys: [1]: must be a ObjectKey, got tag ''"},
		{storage.CallFinishWrite, m{"keys", []any{keyValue(1)}, "more", []any{tagged("Nonsense", 1)}}, "args: more: trace.codecs: unknown tag 'Nonsense'"},
		{storage.CallFinishWrite, m{"keys", []any{tagged("ObjectKey", m{"chunk_hash", "text", "model_name", "m", "kv_rank", 0})}}, "args: keys: [0]: chunk_hash: msgp"},
		{storage.CallFinishWrite, m{"keys", []any{tagged("ObjectKey", m{"chunk_hash", []byte{}, "model_name", "m", "kv_rank", 0})}}, "args: keys: [0]: chunk_hash: kv: a chunk hash has 1 to 32 bytes, not 0"},
		{storage.CallFinishWrite, m{"keys", []any{tagged("ObjectKey", m{"chunk_hash", []byte{1}, "model_name", "m"})}}, "args: keys: [0]: kv_rank: it is missing"},
		{storage.CallFinishWrite, m{"keys", []any{keyValue(1, "object_group_id", 65536)}}, "args: keys: [0]: object_group_id: must be between 0 and 65535, got 65536"},
		{storage.CallFinishWrite, m{"keys", []any{keyValue(1, "cache_salt", "a/b")}}, "args: keys: [0]: kv: cache_salt contains"},
		{storage.CallFinishRead, m{"keys", []any{keyValue(1)}, "extra_count", -1}, "args: extra_count: must be between 0 and"},
		{storage.CallFinishRead, m{"keys", []any{keyValue(1)}, "read_locks", 0}, "args: read_locks: must be between 1 and"},
		{storage.CallReserveWrite, m{"keys", []any{keyValue(1)}}, "args: layout_desc: it is missing"},
		{storage.CallReserveWrite, m{"keys", []any{keyValue(1)}, "layout_desc", layoutValue(), "mode", "none"}, `args: mode: must be new, update or all, got "none"`},
		{storage.CallReserveWrite, m{"keys", []any{keyValue(1)}, "layout_desc", tagged("MemoryLayoutDesc", m{"shapes", []any{[]any{2}}, "dtypes", []any{"torch.quux"}})}, `args: layout_desc: kv: layout: tensor 0: unknown element type "torch.quux"`},
		{storage.CallSubmitPrefetch, m{"keys", []any{keyValue(1)}, "layout_desc", layoutValue(), "policy", "SOME"}, `args: policy: must be prefix or full, got "SOME"`},
		{storage.CallSubmitPrefetch, m{"spec", 7}, "args: spec: must be a PrefetchTaskSpec, got tag ''"},
	} {
		_, records, err := trace.Read(bytes.NewReader(append(header(t), record(t, c.call, c.args)...)))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for r, err := range records {
			n++
			if err != nil {
				t.Fatalf("%s: %v", c.want, err)
			}
			if _, err := r.Call(); err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d records", c.want, n)
		}
	}
}

// TestREQ_T9_Headers: what is wrong with a header, in the words of the format.
func TestREQ_T9_Headers(t *testing.T) {
	for _, c := range []struct {
		stream []byte
		want   string
	}{
		{nil, "unexpected EOF reading frame length"},
		{[]byte{0, 0}, "truncated frame length prefix at offset 0"},
		{header(t)[:50], "truncated frame body at offset 0 (got 46 of 155)"},
		{[]byte("some text that is no trace"), "it is not a recording: it would begin with a header of 1936682341 bytes, the limit is 67108864"},
		{header(t, "magic", []byte("LMCX\x00")), `bad magic (got b'LMCX\x00', expected b'LMCT')`},
		{header(t, "magic", "LMCT"), "bad magic (got 'LMCT', expected b'LMCT')"},
		{header(t, "magic", nil), "bad magic (got None, expected b'LMCT')"},
		{header(t, "format_version", 2), "unsupported format_version 2 (this build expects 1)"},
		{header(t, "trace_schema_version", 3), "unsupported trace_schema_version 3 (this build supports 1 to 2)"},
		{header(t, "trace_schema_version", 0), "unsupported trace_schema_version 0 (this build supports 1 to 2)"},
		{header(t, "trace_schema_version", nil), "header: trace_schema_version: it is missing"},
		{header(t, "level", nil), "header: level: it is missing"},
		{header(t, "t_mono_start", "soon"), "header: t_mono_start: msgp"},
		{header(t, "type", "record"), `header: type: must be header, got "record"`},
		{framed([]byte{0xc1}), "header: byte 0xc1 begins no value"},
		{framed([]byte{0x80, 0}), "header: 1 bytes behind its end"},
	} {
		_, _, err := trace.Read(bytes.NewReader(c.stream))
		if want := "trace file '-': " + c.want; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	for name, c := range map[string]struct {
		stream []byte
		check  func(trace.Header) bool
	}{
		"ints for floats": {header(t, "t_mono_start", 3, "t_wall_start", 4), func(h trace.Header) bool { return h.MonoStart == 3 && h.WallStart == 4 }},
		"unknown keys":    {header(t, "more", m{"a", []any{1}}, 7, 8), func(h trace.Header) bool { return h.Level == "storage" }},
		"draft":           {header(t, "trace_schema_version", nil, "lmcache_version", "0.4"), func(h trace.Header) bool { return h.Draft == "0.4" && h.SchemaVersion == 0 }},
		"meta": {header(t, "level", "gpu", "level_meta", m{"b", 2, "a", "x", "c", []any{1, "y"}}), func(h trace.Header) bool {
			return h.Level == "gpu" && cmp.Equal(h.Meta, map[string]string{"a": "x", "b": "2", "c": `[1,"y"]`})
		}},
	} {
		h, _, err := trace.Read(bytes.NewReader(c.stream))
		if err != nil || !c.check(h) {
			t.Errorf("%s: %v %+v", name, err, h)
		}
	}
}

// nested is n lists in each other.
func nested(n int) rawValue { return append(bytes.Repeat([]byte{0x91}, n), 0xc0) }

// TestREQ_T9_Records: malformed records are skipped with their reason, and the
// next one is read.
func TestREQ_T9_Records(t *testing.T) {
	good := record(t, storage.CallClear, m{"force", false})
	for _, c := range []struct {
		frame []byte
		want  string
	}{
		{framed(nil), "msgp: too few bytes left to read object"},
		{framed([]byte{0x01}), "msgp: attempted to decode type"},
		{framed([]byte{0xc1}), "msgp: unrecognized"},
		{record(t, "x", m{}, "t_mono", math.NaN()), "t_mono: it is not a finite number"},
		{record(t, "x", m{}, "t_mono", math.Inf(1)), "t_mono: it is not a finite number"},
		{record(t, "x", m{}, "t_mono", "soon"), "t_mono: msgp"},
		{record(t, "x", m{}, "t_wall", nil), "t_wall: it is missing"},
		{record(t, "x", m{}, "type", "header"), `type: must be record, got "header"`},
		{record(t, "x", []any{}), "args: msgp"},
		{record(t, "x", m{"a", nested(31)}), "args: it is nested deeper than 32"},
		{record(t, "x", m{"a", rawValue{0xdd, 0xff, 0xff, 0xff, 0xff}}), "args: a list is longer than the frame could hold"},
		{record(t, "x", m{"a", rawValue{0xdf, 0x7f, 0xff, 0xff, 0xff}}), "args: a list is longer than the frame could hold"},
		{record(t, "x", m{"a", rawValue{0xc6, 0x7f, 0xff, 0xff, 0xff}}), "args: it ends early"},
		{record(t, "x", m{"a", rawValue{0xc1}}), "args: byte 0xc1 begins no value"},
		{framed(append(good[4:len(good):len(good)], 0)), "1 bytes behind its end"},
	} {
		stream := bytes.Join([][]byte{header(t), good, c.frame, good}, nil)
		_, records, err := trace.Read(bytes.NewReader(stream))
		if err != nil {
			t.Fatal(err)
		}
		n, warnings := 0, 0
		for _, err := range records {
			if err == nil {
				n++
				continue
			}
			warnings++
			want := fmt.Sprintf("TraceReader: skipping malformed record at offset %d: %s", len(header(t))+len(good), c.want)
			if !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		}
		if n != 2 || warnings != 1 {
			t.Errorf("%s: %d records and %d warnings, want 2 and 1", c.want, n, warnings)
		}
	}
	// As deep as can be, and time that goes back, are as good as any.
	stream := bytes.Join([][]byte{
		header(t), record(t, "x", m{"a", nested(30)}), record(t, "x", m{}, "t_mono", -5.0), record(t, "x", m{}, "t_mono", 7),
	}, nil)
	_, records, err := trace.Read(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	var times []float64
	for r, err := range records {
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, r.Mono)
		if _, err := r.Call(); err != trace.ErrUnknownCall { //nolint:errorlint // it is returned as it is
			t.Errorf("got %v, want %v", err, trace.ErrUnknownCall)
		}
	}
	if !cmp.Equal(times, []float64{0.25, -5, 7}) {
		t.Errorf("times %v", times)
	}
}

// TestREQ_T7_TruncationAtEveryByte: behind the header, a file that is cut anywhere
// is a prefix of its records and at most one warning.
func TestREQ_T7_TruncationAtEveryByte(t *testing.T) {
	head := header(t)
	var frames [][]byte
	for i := range 3 {
		frames = append(frames, record(t, storage.CallFinishWrite, m{"keys", []any{keyValue(byte(i + 1))}}))
	}
	frames = append(frames, record(t, storage.CallClear, m{"force", true, "pad", strings.Repeat("x", 300<<10)})) // longer than the buffer
	stream := bytes.Join(append([][]byte{head}, frames...), nil)
	cuts := []int{}
	for n := len(head); n <= len(stream); n++ {
		if at := len(head) + len(frames[0])*3 + 600; n > at && n < len(stream)-600 && n%4099 != 0 {
			continue // the middle of the long one
		}
		cuts = append(cuts, n)
	}
	for _, n := range cuts {
		_, records, err := trace.Read(bytes.NewReader(stream[:n]))
		if err != nil {
			t.Fatal(err)
		}
		whole, at := 0, len(head)
		for _, f := range frames {
			if at+len(f) > n {
				break
			}
			at += len(f)
			whole++
		}
		want := ""
		switch left := n - at; {
		case left == 0:
		case left < 4:
			want = fmt.Sprintf("TraceReader: truncated frame length prefix at offset %d", at)
		default:
			want = fmt.Sprintf("TraceReader: truncated frame body at offset %d (got %d of %d)", at, left-4, len(frames[whole])-4)
		}
		got, warnings := 0, ""
		for r, err := range records {
			if err != nil {
				warnings += err.Error()
				continue
			}
			got++
			if c, err := r.Call(); err != nil || got <= 3 && c.Keys[0] != key(t, byte(got)) {
				t.Fatalf("cut at %d: record %d is %+v (%v)", n, got, c, err)
			}
		}
		if got != whole || warnings != want {
			t.Fatalf("cut at %d: %d records and %q, want %d and %q", n, got, warnings, whole, want)
		}
	}
}

// TestREQ_T9_Lengths: a length that cannot be is a damaged tail.
func TestREQ_T9_Lengths(t *testing.T) {
	good := record(t, storage.CallClear, m{"force", false})
	stream := bytes.Join([][]byte{header(t), good, {0x04, 0, 0, 1}, good}, nil)
	_, records, err := trace.Read(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, err := range records {
		if err == nil {
			got = append(got, "record")
			continue
		}
		got = append(got, err.Error())
	}
	want := []string{"record", fmt.Sprintf("TraceReader: frame at offset %d claims 67108865 bytes, the limit is 67108864", len(header(t))+len(good))}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestREQ_T5_KeysSurvive: random keys come back as they were, in every form.
func TestREQ_T5_KeysSurvive(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 5))
	models := []string{"", "m", "modèle/大", strings.Repeat("x", kv.MaxModelBytes)}
	salts := []string{"", "s", "mieter-ü", strings.Repeat("é", kv.MaxSaltRunes)}
	for range 200 {
		keys := make([]kv.Key, rng.IntN(40))
		for i := range keys {
			hash := make([]byte, 1+rng.IntN(kv.MaxHashLen))
			for j := range hash {
				hash[j] = byte(rng.Uint32())
			}
			h, err := kv.HashOf(hash)
			if err != nil {
				t.Fatal(err)
			}
			keys[i] = kv.Key{Hash: h, Model: models[rng.IntN(4)], Salt: salts[rng.IntN(4)], Rank: rng.Uint32() >> rng.IntN(32), Group: uint16(rng.Uint32() >> (16 + rng.IntN(17)))}
		}
		call := trace.Call{Call: storage.Call{
			Name: storage.CallFinishRead, Keys: keys, Readers: 1 + rng.IntN(300), N: rng.Int64N(1 << 40), Owner: rng.Int64N(1000) - 1, Unused: rng.IntN(3) == 0,
		}}
		call.Aborted = !call.Unused && rng.IntN(2) == 0
		call.More = call.Unused && rng.IntN(2) == 0
		if !call.Unused {
			call.Scope = rng.Int64N(1 << 40)
		}
		for _, args := range []trace.Args{trace.ArgsDocumented, trace.Args056} {
			b, err := trace.NewEncoder(trace.Extended, args).AppendCall(nil, 1, 2, &call)
			if err != nil {
				t.Fatal(err)
			}
			_, calls, records := read(t, append(header(t), b...))
			if diff := cmp.Diff(call, calls[0], cmpCalls, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			if n := records[0].Number(); n != call.N {
				t.Fatalf("number %d, want %d", n, call.N)
			}
		}
	}
}

// Options, modes and outcomes of the extended format come back.
func TestExtendedRecords(t *testing.T) {
	l := layout(t)
	keys := []kv.Key{key(t, 1), key(t, 2), key(t, 3)}
	bits := func(n int, set ...int) storage.Bitmap {
		b := storage.NewBitmap(n)
		for _, i := range set {
			b.Set(i)
		}
		return b
	}
	prefetch := storage.Call{
		Name: storage.CallSubmitPrefetch, N: 300, Owner: storage.NoCall, Keys: keys, Layout: l, Readers: 1, SkipL2: true, Warm: true,
		Policy: storage.Sparse, Deadline: 1500 * time.Millisecond, RequestID: "r",
	}
	reserve := storage.Call{Name: storage.CallReserveWrite, N: 0, Owner: storage.NoCall, Keys: keys, Layout: l, Mode: storage.All}
	renew := storage.Call{Name: storage.CallRenew, N: 9, Owner: 3, Scope: 4}
	outer := storage.Call{Name: storage.CallDelete, N: 7, Owner: storage.NoCall, Keys: keys, Outer: true, Tier: storage.AllTiers}
	done := []storage.CallDone{
		{Name: storage.CallReserveWrite, N: 1, Took: 7, OK: bits(10, 0, 9), OutOfMemory: bits(10, 1), Bad: 8},
		{Name: storage.CallReserveWrite, N: 1, Took: 8, OK: bits(10, 9), Aborted: true},
		{Name: storage.CallReserveWrite, N: 1, Took: 8, OK: bits(10, 9), Aborted: true, Expired: true},
		{Name: storage.CallFinishWrite, N: 2, Took: 9, OK: bits(3, 0), Bad: 2},
		{Name: storage.CallSubmitPrefetch, N: 3, OK: bits(3, 0, 1), L1Hits: 2, Bad: 1},
		{Name: storage.CallSubmitPrefetch, N: 3, Took: time.Second, L1Hits: 2, Hits: 3, L2Hits: 1, Resolved: true},
		{Name: storage.CallReadEnter, N: 4, OK: bits(2), Bad: 2, Missing: 1},
		{Name: storage.CallReadEnter, N: 5, OK: bits(1, 0)},
		{Name: storage.CallTouch, N: 6, Took: -1},
		{Name: storage.CallRenew, N: 7},
		{Name: storage.CallRenew, N: 8, Bad: 1},
	}
	want := []trace.Outcome{
		{N: 1, Took: 7, OK: []byte{1, 2}, OutOfMemory: []byte{2, 0}, Busy: []byte{0xfc, 1}},
		{N: 1, Took: 8, Aborted: []byte{0, 2}},
		{N: 1, Took: 8, Aborted: []byte{0, 2}, Expired: true},
		{N: 2, Took: 9, OK: []byte{1}, Bad: 2},
		{N: 3, L1: 2},
		{N: 3, Took: time.Second, Resolved: true, Hits: 3, L2: 1, Wait: time.Second},
		{N: 4, Missing: 1, Locked: 1},
		{N: 5, Entered: true},
		{N: 6},
		{N: 7, Entered: true},
		{N: 8},
	}
	for _, args := range []trace.Args{trace.ArgsDocumented, trace.Args056} {
		e := trace.NewEncoder(trace.Extended, args)
		stream := trace.AppendHeader(nil, &trace.Header{Level: "storage", FormatVersion: 1, SchemaVersion: 1, Extended: true, Writer: "lmcache-go/test", Part: 3})
		for _, step := range []func() (err error){
			func() (err error) { stream, err = e.AppendCallWith(stream, 0, 0, &prefetch, done...); return err },
			func() (err error) { stream, err = e.AppendCallWith(stream, 0, 0, &reserve); return err },
			func() (err error) { stream, err = e.AppendCallWith(stream, 0, 0, &outer); return err },
			func() (err error) { stream, err = e.AppendCallWith(stream, 0, 0, &renew); return err },
			func() (err error) {
				stream, err = e.AppendGap(stream, 1, 2, &trace.Gap{Count: 300, ByCall: map[string]int64{"b": 299, "a": 1}})
				return err
			},
			func() (err error) {
				stream, err = e.AppendEnd(stream, 1, 2, trace.End{Records: 2, Dropped: 300})
				return err
			},
		} {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		h, records, err := trace.Read(bytes.NewReader(stream))
		if err != nil || h.Writer != "lmcache-go/test" || h.Part != 3 || !h.Extended {
			t.Fatalf("%v %+v", err, h)
		}
		i := 0
		for r, err := range records {
			if err != nil {
				t.Fatal(err)
			}
			switch i++; i {
			case 1, 2, 3, 4:
				c, err := r.Call()
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]storage.Call{prefetch, reserve, outer, renew}[i-1], c.Call, cmpCalls); diff != "" {
					t.Errorf("call %d (-want +got):\n%s", i, diff)
				}
				o, err := r.Outcomes()
				if err != nil {
					t.Fatal(err)
				}
				if i == 1 {
					if diff := cmp.Diff(want, o); diff != "" {
						t.Errorf("outcomes (-want +got):\n%s", diff)
					}
				} else if len(o) > 0 {
					t.Errorf("outcomes of nobody: %v", o)
				}
			case 5:
				g, ok, err := r.Gap()
				if err != nil || !ok || !r.Own() || g.Count != 300 || !cmp.Equal(g.ByCall, map[string]int64{"a": 1, "b": 299}) {
					t.Errorf("gap %+v %v %v", g, ok, err)
				}
			case 6:
				end, ok, err := r.End()
				if err != nil || !ok || end != (trace.End{Records: 2, Dropped: 300}) {
					t.Errorf("end %+v %v %v", end, ok, err)
				}
			}
		}
		if i != 6 {
			t.Errorf("%d records, want 6", i)
		}
	}
}
