package mooncake_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache/internal/mooncake"
)

// collect reads all requests and the error that ended them.
func collect(r io.Reader, blockTokens int) (list []mooncake.Request, err error) {
	for request, err := range mooncake.Read(r, blockTokens) {
		if err != nil {
			return list, err
		}
		list = append(list, request)
	}
	return list, nil
}

func zipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const good = `{"timestamp": 0, "input_length": 1100, "output_length": 52, "hash_ids": [0, 14, 15]}

  {"model": {"name": [1, "x]"]}, "hash_ids" :[ 18446744073709551615 ] , "input_length": 512, "timestamp": 27000, "priority": null}` + "\r\n" +
	`{"timestamp": 27001, "input_length": 0, "output_length": 0, "hash_ids": [ ]}`

func TestRead(t *testing.T) {
	want := []mooncake.Request{
		{InputLength: 1100, OutputLength: 52, HashIDs: []uint64{0, 14, 15}},
		{Timestamp: 27 * time.Second, InputLength: 512, HashIDs: []uint64{1<<64 - 1}},
		{Timestamp: 27001 * time.Millisecond, HashIDs: []uint64{}},
	}
	for name, r := range map[string]io.Reader{
		"plain":            strings.NewReader(good),
		"final newline":    strings.NewReader(good + "\n\n \n"),
		"gzip":             strings.NewReader(zipped(t, good)),
		"gzip of two":      strings.NewReader(zipped(t, good[:90]) + zipped(t, good[90:])),
		"byte by byte":     iotest.OneByteReader(strings.NewReader(good)),
		"error at the end": iotest.DataErrReader(strings.NewReader(good)),
	} {
		got, err := collect(r, 512)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, empty := range []string{"", "\n", " \r\n\t\n", zipped(t, "")} {
		if got, err := collect(strings.NewReader(empty), 512); err != nil || len(got) > 0 {
			t.Errorf("%q: %v, %v", empty, got, err)
		}
	}
}

// TestReadRejects: the line and the reason of each defect.
func TestReadRejects(t *testing.T) {
	for _, tc := range []struct{ line, want string }{
		{`{"timestamp": -1, "input_length": 5, "output_length": 1, "hash_ids": [1]}`, `timestamp: must not be negative, got -1`},
		{`{"timestamp": 1.5, "input_length": 5, "hash_ids": [1]}`, `timestamp: must be an integer, got number 1.5`},
		{`{"timestamp": 9223372036855, "input_length": 5, "hash_ids": [1]}`, `timestamp: must be at most 9223372036854, got 9223372036855`},
		{`{"timestamp": 1, "input_length": 1e2, "hash_ids": [1]}`, `input_length: must be an integer, got number 1e2`},
		{`{"timestamp": 1, "input_length": "5", "hash_ids": [1]}`, `input_length: must be an integer, got string`},
		{`{"timestamp": 1, "input_length": -5, "hash_ids": []}`, `input_length: must not be negative, got -5`},
		{`{"timestamp": 1, "input_length": 16777217, "hash_ids": []}`, `input_length: must be at most 16777216, got 16777217`},
		{`{"timestamp": 1, "input_length": 5, "output_length": -2, "hash_ids": [1]}`, `output_length: must not be negative, got -2`},
		{`{"timestamp": 1, "input_length": 513, "hash_ids": [1]}`, `hash_ids: 513 tokens in blocks of 512 need 2, got 1`},
		{`{"timestamp": 1, "input_length": 512, "hash_ids": [1, 2]}`, `hash_ids: 512 tokens in blocks of 512 need 1, got 2`},
		{`{"timestamp": 1, "input_length": 512, "hash_ids": [-4]}`, `hash_ids: entry 1: must not be negative, got -4`},
		{`{"timestamp": 1, "input_length": 512, "hash_ids": [7, 2.5]}`, `hash_ids: entry 2: must be an integer, got 2.5`},
		{`{"timestamp": 1, "input_length": 512, "hash_ids": [null]}`, `hash_ids: entry 1: must be an integer, got null`},
		{`{"timestamp": 1, "input_length": 512, "hash_ids": ["7"]}`, `hash_ids: entry 1: must be an integer, got "7"`},
		{`{"timestamp": 1, "input_length": 512, "hash_ids": [[7]]}`, `hash_ids: entry 1: must be an integer, got [7`},
		{`{"timestamp": 1, "input_length": 512, "hash_ids": [{}]}`, `hash_ids: entry 1: must be an integer, got {}`},
		{`{"timestamp": 1, "input_length": 512, "hash_ids": [18446744073709551616]}`, `hash_ids: entry 1: must be below 2^64, got 18446744073709551616`},
		{`{"timestamp": 1, "input_length": 512, "hash_ids": {"a": 1}}`, `hash_ids: must be a list of integers`},
		{`{"timestamp": 1, "input_length": 512, "hash_ids": 7}`, `hash_ids: must be a list of integers`},
		{`{"timestamp": 1, "input_length": 512, "hash_ids": null}`, `hash_ids: missing`},
		{`{"timestamp": null, "input_length": -1}`, `timestamp: missing; input_length: must not be negative, got -1; hash_ids: missing`},
		{`[1, 2]`, `must be a JSON object, got array`},
		{`17`, `must be a JSON object, got number`},
		{`{"timestamp": 1, "input_le`, `not JSON: unexpected end of JSON input at byte 26`},
		{`hello`, `not JSON: invalid character 'h' looking for beginning of value at byte 1`},
		{`{} {}`, `not JSON: invalid character '{' after top-level value at byte 4`},
		{`{"x": "` + strings.Repeat("a", mooncake.MaxLine), `longer than 16777216 bytes`},
	} {
		got, err := collect(strings.NewReader(good+"\n"+tc.line+"\n"+good), 512)
		var bad *mooncake.LineError
		if !errors.As(err, &bad) {
			t.Errorf("%.80s: error %v", tc.line, err)
			continue
		}
		if bad.Line != 5 || bad.Err.Error() != tc.want || err.Error() != "line 5: "+tc.want {
			t.Errorf("%.80s:\n got %v\nwant line 5: %s", tc.line, err, tc.want)
		}
		if len(got) != 3 {
			t.Errorf("%.80s: %d requests before it, want 3", tc.line, len(got))
		}
	}
}

// TestReadLongLine: a line of exactly the limit is fine.
func TestReadLongLine(t *testing.T) {
	line := `{"timestamp": 3, "input_length": 1, "hash_ids": [1], "x": "`
	line += strings.Repeat("a", mooncake.MaxLine-len(line)-2) + `"}`
	got, err := collect(strings.NewReader(line+"\n"+good), 512)
	if err != nil || len(got) != 4 {
		t.Errorf("%d requests, %v", len(got), err)
	}
}

func TestReadFailures(t *testing.T) {
	broken := errors.New("broken pipe")
	whole := zipped(t, good)
	for _, tc := range []struct {
		name string
		r    io.Reader
		line int
		want string
	}{
		{"reader", io.MultiReader(strings.NewReader(good+"\n"), iotest.ErrReader(broken)), 5, "broken pipe"},
		{"reader within a line", io.MultiReader(strings.NewReader(good[:100]), iotest.ErrReader(broken)), 3, "line 3: broken pipe"},
		{"reader at once", iotest.ErrReader(broken), 1, "broken pipe"},
		{"gzip header", strings.NewReader(whole[:5]), 1, "unexpected EOF"},
		{"gzip cut", strings.NewReader(whole[:len(whole)-5]), 4, "unexpected EOF"},
		{"gzip checksum", strings.NewReader(whole[:len(whole)-8] + "12345678"), 4, "gzip: invalid checksum"},
	} {
		_, err := collect(tc.r, 512)
		var bad *mooncake.LineError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.want)
			continue
		}
		if bad.Line != tc.line {
			t.Errorf("%s: %v, want line %d", tc.name, err, tc.line)
		}
	}
	if _, err := collect(strings.NewReader(good), 0); err == nil || !strings.Contains(err.Error(), "at least 1, got 0") {
		t.Errorf("blocks of 0 tokens: %v", err)
	}
}

// TestReadStops: a consumer that has enough gets no more, and no more is read.
func TestReadStops(t *testing.T) {
	r := io.MultiReader(strings.NewReader(good+"\n"), iotest.ErrReader(errors.New("read too far")))
	n := 0
	for _, err := range mooncake.Read(r, 512) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d requests", n)
	}
}

// full is the whole conversation trace.
func full(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/conversation.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestReadConversation has the sums of the public trace.
func TestReadConversation(t *testing.T) {
	list, err := collect(bytes.NewReader(full(t)), 512)
	if err != nil {
		t.Fatal(err)
	}
	chunks, last := 0, time.Duration(0)
	for _, r := range list {
		chunks += r.InputLength / 512
		if r.Timestamp < last {
			t.Errorf("time goes back from %v to %v", last, r.Timestamp)
		}
		last = r.Timestamp
	}
	if len(list) != 12_031 || chunks != 276_491 || last != 3_536_999*time.Millisecond {
		t.Errorf("%d requests, %d full chunks, ends at %v", len(list), chunks, last)
	}
}

func BenchmarkRead(b *testing.B) {
	z, err := gzip.NewReader(bytes.NewReader(full(b)))
	if err != nil {
		b.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		b.Fatal(err)
	}
	for name, data := range map[string][]byte{"plain": text, "gzip": full(b)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				for _, err := range mooncake.Read(bytes.NewReader(data), 512) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
