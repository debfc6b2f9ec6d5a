package top_test

import (
	"io"
	"strings"
	"testing"
	"unicode"

	"github.com/lmcache-go/lmcache/internal/top"
)

// endless is a page that never ends.
type endless struct{ line string }

func (e endless) Read(p []byte) (int, error) {
	n := copy(p, e.line)
	for n+len(e.line) <= len(p) {
		n += copy(p[n:], e.line)
	}
	return n, nil
}

func TestParseBounds(t *testing.T) {
	counted := &counter{r: endless{strings.Repeat("#\n", 64)}}
	if _, err := top.Parse(counted, "text/plain", start); err == nil || !strings.Contains(err.Error(), "more than 64 MiB") {
		t.Errorf("an endless page: %v", err)
	}
	if counted.n > top.MaxPage+1<<20 {
		t.Errorf("%d bytes were read", counted.n)
	}
}

type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func TestParseErrors(t *testing.T) {
	for page, want := range map[string]string{
		"<html><body>hello</body></html>\n": "not a page of metrics",
		"":                                  "a page without metrics",
		"# only a comment\n":                "a page without metrics",
		"lmcache_mp_x{a=\"\n":               "not a page of metrics",
	} {
		if _, err := top.Parse(strings.NewReader(page), "", start); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", page, err, want)
		}
	}
}

// Whatever a page says, a frame can be made and shown, and nothing but printable text and
// line breaks reaches the terminal.
func FuzzPage(f *testing.F) {
	f.Add("lmcache_mp_lookups_total{cache_salt=\"\x1b[2J\",model_name=\"\\n\"} 1e400\n", 80, 24, false)
	f.Add("# TYPE lmcache_mp_operation_duration_seconds histogram\nlmcache_mp_operation_duration_seconds_bucket{le=\"NaN\"} -5\n", 20, 3, false)
	f.Add(pageOf(start, "-7"), 200, 60, false)
	f.Add("lmcache_mp_lookup_requested_tokens_total{cache_salt=\"客户\u202e\"} NaN\nlmcache_mp_l1_usage_ratio -Inf\nlmcache_mp_l1_eviction_watermark NaN\n", 120, 40, false)
	f.Add("\x26\x0a\x0clmcache_mp_x\x18\x01\x22\x14\x0a\x07\x0a\x01a\x12\x02\x1b[\x12\x09\x09\x00\x00\x00\x00\x00\x00\xf0\x3f", 80, 24, true)
	f.Fuzz(func(t *testing.T, page string, width, height int, delimited bool) {
		contentType := ""
		if delimited {
			contentType = protobuf
		}
		before, err := top.Parse(strings.NewReader(page), contentType, start)
		if err != nil {
			return // no page
		}
		after, err := top.Parse(strings.NewReader(page), contentType, start.Add(interval))
		if err != nil {
			t.Fatal(err)
		}
		fr := top.Build(before, after, top.Options{})
		v := top.View{Width: width%300 + 1, Height: max(height%100, 0)}
		for _, c := range top.Render(fr, v) {
			if c != '\n' && !unicode.IsPrint(c) {
				t.Fatalf("%q is on the screen", c)
			}
		}
	})
}
