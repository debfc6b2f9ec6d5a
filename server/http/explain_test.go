package httpserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/internal/servertest"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// What only looks needs no administrator, unless everything does; the form is judged
// behind that.
func TestExplainNeedsNoAdministrator(t *testing.T) {
	for _, c := range []struct {
		name           string
		token, authAll bool
		origin         string
		want           int
	}{
		{"without a token", false, false, "", http.StatusOK},
		{"with a token", true, false, "", http.StatusOK},
		{"with a token for everything", true, true, "", http.StatusUnauthorized},
		{"of a page of another site", false, false, "http://evil.example", http.StatusForbidden},
	} {
		s := &Server{o: Options{Engine: &fakeEngine{}, Cache: &fakeCache{}, AuthAll: c.authAll}.withDefaults()}
		s.guard.bound = netip.MustParseAddr("10.1.2.3")
		if c.token {
			s.token.set(secret)
		}
		r, w := recorded("POST", "/cache/explain", []byte(`{"model_name":"m","world_size":1,"token_ids":[]}`))
		r.Host = "10.1.2.3"
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if s.handler().ServeHTTP(w, r); w.Code != c.want {
			t.Errorf("%s: %d %s, want %d", c.name, w.Code, w.Body, c.want)
		}
	}
}

// A prompt is partly in L1, partly in files and in memory, and partly nowhere; asking
// changes nothing.
func TestExplainTiers(t *testing.T) {
	e := tiered(t, t.TempDir(), "t1", 5)
	s := open(t, Options{Engine: e, Cache: e})
	tokens, err := json.Marshal(prompt(5*16 + 3))
	if err != nil {
		t.Fatal(err)
	}
	explain := func(salt string) (folded string) {
		t.Helper()
		body := `{"model_name":"m","world_size":1,"cache_salt":"` + salt + `","token_ids":` + string(tokens) + `}`
		res, text := send(t, s, "POST", "/cache/explain", body, nil)
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", res.StatusCode, text)
		}
		for part := range strings.SplitSeq(text, `"tier":`) {
			if value, _, ok := strings.Cut(part, "}"); ok && strings.HasPrefix(value, `"`) {
				folded += value + " "
			}
		}
		_, end, _ := strings.Cut(text, "],")
		return folded + end
	}
	if got, want := explain("t1"), strings.Repeat(`"l1","reason":"" `, 5)+`"prefix_chunks":5,"prefix_tokens":80}`; got != want {
		t.Errorf("at first: %s", got)
	}
	x, err := e.Explain(t.Context(), lmcache.ExplainRequest{Model: "m", Salt: "t1", Tokens: prompt(5 * 16)})
	if err != nil {
		t.Fatal(err)
	}
	keys := make([]kv.Key, 5)
	for i := range keys {
		keys[i] = kv.Key{Hash: x.Chunks[i].Hash, Model: "m", Rank: 0x01000100, Salt: "t1"}
	}
	if _, err := e.Delete(t.Context(), keys[1:], false); err != nil {
		t.Fatal(err)
	}
	for tier, from := range map[int][]kv.Key{0: keys[2:4], 1: {keys[1], keys[3]}} { // 1 in files, 2 in memory, 3 nowhere, 4 in both
		if _, err := e.DeleteL2(t.Context(), from, tier); err != nil {
			t.Fatal(err)
		}
	}
	stats := func() (s lmcache.Stats) {
		servertest.Eventually(t, func() error { // what began with the tiers is over
			s = e.Stats()
			for _, t := range s.Storage.Tiers {
				if t.InflightCalls > 0 || !t.ScanComplete {
					return fmt.Errorf("tier %s has %d calls under way, scan complete: %v", t.Name, t.InflightCalls, t.ScanComplete)
				}
			}
			return nil
		})
		s.Loops, s.Storage.Loops = nil, nil
		return s
	}
	before := stats()
	for range 20 {
		if got, want := explain("t1"), `"l1","reason":"" "l2","reason":"" "l2","reason":"" "none","reason":"l2_miss" "l2","reason":"after_gap" "prefix_chunks":3,"prefix_tokens":48}`; got != want {
			t.Fatalf("got %s\nwant %s", got, want)
		}
		if got, want := explain("t2"), strings.Repeat(`"none","reason":"l2_miss" `, 5)+`"prefix_chunks":0,"prefix_tokens":0}`; got != want {
			t.Fatalf("another tenant: %s", got)
		}
	}
	if diff := cmp.Diff(before, stats()); diff != "" {
		t.Errorf("stats (-before +after):\n%s", diff)
	}
}

func prompt(n int) []int32 {
	p := make([]int32, n)
	for i := range p {
		p[i] = int32(i)
	}
	return p
}
