package top_test

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lmcache-go/lmcache/internal/top"
)

// start is the time of the first scrape of tests.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const interval = 10 * time.Second

// scrape parses a page.
func scrape(t *testing.T, page string, at time.Time) *top.Scrape {
	t.Helper()
	s, err := top.Parse(strings.NewReader(page), "text/plain", at)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// file parses a page in testdata.
func file(t *testing.T, name string, at time.Time) *top.Scrape {
	t.Helper()
	page, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return scrape(t, string(page), at)
}

// frame is that of the two pages in testdata, ten seconds apart.
func frame(t *testing.T) *top.Frame {
	t.Helper()
	return top.Build(file(t, "before.txt", start), file(t, "after.txt", start.Add(interval)), top.Options{URL: top.DefaultURL})
}

var none = top.Number(math.NaN())

// numbers compares frames: what is not known equals itself, and the last digits of a
// division do not count.
var numbers = cmp.Options{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b top.Number) bool {
	return a == b || !a.Known() && !b.Known() || math.Abs(float64(a-b)) < 1e-9
})}
