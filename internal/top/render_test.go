package top_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rivo/uniseg"

	"github.com/lmcache-go/lmcache/internal/top"
)

var update = flag.Bool("update", false, "write the golden frames anew")

// live is a view of somebody at a terminal.
func live(width, height int) top.View {
	return top.View{Width: width, Height: height, Keys: true, Interval: time.Second}
}

// Frames as they are shown, in several sizes and forms.
func TestFrames(t *testing.T) {
	full := frame(t)
	full.Hits.Trend = []top.Number{0.1, 0.3, none, 0.9, 1, 0.62}
	full.Hits.Hit10s, full.Hits.Hit1m = 0.62, 0.5
	healthy := frame(t)
	healthy.Warnings, healthy.L2, healthy.Slow = nil, nil, nil
	with := func(v top.View, change func(*top.View)) top.View {
		change(&v)
		return v
	}
	for _, c := range []struct {
		name string
		f    *top.Frame
		v    top.View
	}{
		{"80x24", full, live(80, 24)},
		{"120x40", full, live(120, 40)},
		{"200x60", full, live(200, 60)},
		{"80x24_healthy", healthy, live(80, 24)},
		{"40x10", full, live(40, 10)},
		{"plain", full, top.View{Width: 100}},
		{"ascii", full, top.View{Width: 100, ASCII: true}},
		{"color", full, with(live(100, 40), func(v *top.View) { v.Color = true })},
		{"tenants", full, with(live(80, 12), func(v *top.View) { v.Zoom, v.Sort = 4, top.ByHits })},
		{"nothing", healthy, with(live(80, 5), func(v *top.View) { v.Zoom = 6 })},
		{"help", full, with(live(100, 20), func(v *top.View) { v.Help, v.Paused = true, true })},
		{"waiting", nil, live(80, 4)},
		{"away", full, with(live(80, 24), func(v *top.View) { v.Away, v.Problem = 72*time.Second, "connection refused" })},
		{"away_at_first", nil, with(live(80, 4), func(v *top.View) { v.Away, v.Problem = 3*time.Second, "connection refused" })},
		{"lmcache", top.Build(file(t, "lmcache.txt", start), file(t, "lmcache.txt", start.Add(interval)), top.Options{URL: "http://other:8000/metrics"}), top.View{Width: 100}},
	} {
		got := top.Render(c.f, c.v)
		golden := "testdata/" + c.name + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// In every size a frame has exactly the lines of the screen, and none is longer.
func TestEverySize(t *testing.T) {
	f := frame(t)
	f.Tenants = append(f.Tenants, top.Tenant{Salt: strings.Repeat("客户", 40)}, top.Tenant{Salt: "e\u0301galite\u0301"})
	for _, width := range []int{20, 33, 58, 80, 109, 110, 179, 180, 260} {
		for _, height := range []int{1, 2, 3, 9, 17, 24, 33, 70} {
			for zoom := range 10 {
				v := live(width, height)
				v.Zoom, v.Color = zoom, true
				lines := strings.Split(top.Render(f, v), "\n")
				if len(lines) != height {
					t.Fatalf("%d x %d, panel %d: %d lines", width, height, zoom, len(lines))
				}
				for _, l := range lines {
					if n := uniseg.StringWidth(escapes.ReplaceAllString(l, "")); n > width {
						t.Fatalf("%d x %d, panel %d: %d columns: %q", width, height, zoom, n, l)
					}
				}
			}
		}
	}
}

// Without colours there is no escape, and in ASCII nothing else.
func TestPlainText(t *testing.T) {
	f := frame(t)
	for _, width := range []int{80, 120, 200} {
		if got := top.Render(f, top.View{Width: width}); strings.Contains(got, "\x1b") {
			t.Errorf("escapes at %d columns", width)
		}
		for _, c := range top.Render(f, top.View{Width: width, ASCII: true}) {
			if c > 126 {
				t.Errorf("%q in ASCII at %d columns", c, width)
			}
		}
	}
}

// Everything that a frame knows is on a screen that is large enough.
func TestAllIsShown(t *testing.T) {
	got := top.Render(frame(t), live(120, 60))
	for _, want := range []string{
		"session_sweep", "llama", "qwen", "red", "blue", "absent", "evicted", "under_chunk_size", "fs", "#2", "s3 #1", "cuda:0", "prefetch jobs 3",
		"store ok", "over 60s", "store failed", "1s to 10s", "l1.read.finished", "mp.request.receipt (isolated)", "80.0%", "watermark 90.0%",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not shown:\n%s", want, got)
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	var page strings.Builder
	for _, name := range []string{"lookups", "lookup_requested_tokens", "lookup_hit_tokens", "lookup_hit_l1_tokens", "lookup_hit_l2_tokens"} {
		fmt.Fprintf(&page, "# TYPE lmcache_mp_%s_total counter\n", name)
		for i := range 200 {
			fmt.Fprintf(&page, "lmcache_mp_%s_total{cache_salt=\"tenant-%d\",model_name=\"m\"} %d\n", name, i, i)
		}
	}
	for b.Loop() {
		before, err := top.Parse(strings.NewReader(page.String()), "", start)
		if err != nil {
			b.Fatal(err)
		}
		after, err := top.Parse(strings.NewReader(page.String()), "", start.Add(interval))
		if err != nil {
			b.Fatal(err)
		}
		top.Render(top.Build(before, after, top.Options{}), live(120, 40))
	}
}
