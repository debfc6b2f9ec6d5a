package observe

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/eventbus"
)

// REQ-O27: with limit 3 and ten salts, at most 4 values; the sum is that without a guard.
func TestLabelGuard(t *testing.T) {
	sum := func(limit int) (total, other float64, values int, overflow float64) {
		rec, bus := newRecorder(), eventbus.New(eventbus.Options{Manual: true})
		start(t, bus, rec, Options{LabelLimit: limit})
		for i := range 100 {
			publish(bus, lmcache.LookupEnded{Model: "m", Salt: fmt.Sprintf("salt-%d", i%10), RequestedTokens: i})
		}
		bus.Drain(epoch)
		points := rec.scrape(t)
		for series, v := range points {
			if strings.HasPrefix(series, nameRequestedTokens+"{") {
				total, values = total+v, values+1
				if strings.Contains(series, `cache_salt="__other__"`) {
					other = v
				}
			}
		}
		return total, other, values, points[nameOverflow+`{label="cache_salt"}`]
	}
	free, _, all, none := sum(200)
	if all != 10 || none != 0 {
		t.Fatalf("unguarded: %d values, overflow %v", all, none)
	}
	total, other, values, overflow := sum(3)
	if total != free || values != 4 || overflow == 0 || other == 0 {
		t.Errorf("total %v (want %v), %d values, __other__ %v, overflow %v", total, free, values, other, overflow)
	}
}

func TestLabelsAdmission(t *testing.T) {
	rec := newRecorder()
	l, err := NewLabels(rec, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ label, value, want string }{
		{keySalt, "a", "a"},
		{keySalt, "", ""},
		{keySalt, "b", "__other__"},
		{keySalt, "a", "a"},
		{keySalt, "b", "__other__"},
		{keyModel, "b", "b"},   // labels are counted apart
		{"device", "x1", "x1"}, // and only those from outside
		{"device", "x2", "x2"},
		{"device", "x3", "x3"},
	} {
		if got := l.fold(c.label, c.value); got != c.want {
			t.Errorf("fold(%s, %q) = %q, want %q", c.label, c.value, got, c.want)
		}
	}
	if n := rec.points[nameOverflow+`{label="cache_salt"}`]; n != 2 {
		t.Errorf("overflow %v, want 2", n)
	}
	if got := new(Labels).fold(keySalt, "x"); got != "x" {
		t.Errorf("zero guard folds to %q", got)
	}
	if _, err := NewLabels(rec, -1); err == nil || !strings.Contains(err.Error(), "-1") {
		t.Errorf("limit -1: %v", err)
	}
	if _, err := NewLabels(nil, 0); !errors.Is(err, errNoProvider) {
		t.Errorf("without a provider: %v", err)
	}
}

// Several goroutines share a guard; never more values than the limit pass.
func TestLabelsConcurrent(t *testing.T) {
	l, err := NewLabels(newRecorder(), 5)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	passed := make(map[string]bool)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				v := l.fold(keySalt, fmt.Sprint((i+g)%20))
				mu.Lock()
				passed[v] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(passed) != 6 || !passed["__other__"] {
		t.Errorf("%d values passed: %v", len(passed), passed)
	}
}

// Text that is not UTF-8 becomes such, and does not lose the metric.
func TestHostileValues(t *testing.T) {
	rec, bus := newRecorder(), eventbus.New(eventbus.Options{Manual: true})
	start(t, bus, rec, Options{})
	publish(bus, lmcache.LookupEnded{Model: "m", Salt: "a\xff\"\n{b}"})
	bus.Drain(epoch)
	if got := rec.points[nameLookups+`{cache_salt="a`+"\uFFFD"+`\"\n{b}",model_name="m"}`]; got != 1 {
		t.Errorf("series missing: %v", nonZero(rec.points))
	}
}
