package httpserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/l2/mem"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// tiered is a real engine with a folder and a store in memory behind it, in which a
// prompt of n chunks of a tenant lies.
func tiered(t *testing.T, dir, salt string, n int) *lmcache.Engine {
	t.Helper()
	files, err := fs.Open(t.Context(), fs.Options{BasePath: dir, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	memory, err := mem.Open(mem.Options{Capacity: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	const chunk = 16
	e, err := lmcache.Open(t.Context(), lmcache.Options{
		ChunkTokens: chunk, L1: l1.Options{Bytes: 1 << 20, Policy: "IsolatedLRU"},
		Tiers: []storage.Tier{
			{Adapter: files, Settings: l2.Settings{Type: "fs", Capacity: 1 << 30}},
			{Name: "fast", Adapter: memory, Settings: l2.Settings{
				Type: "mem", Capacity: 1 << 20, Eviction: &l2.Eviction{Policy: l2.PolicyIsolatedLRU, Watermark: 0.8, Ratio: 0.2, DefaultQuota: 1 << 20},
			}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	w, err := e.AttachHost(lmcache.HostOptions{Model: "m", Geometry: &lmcache.HostGeometry{Layers: 2, Hidden: 8, DType: kv.Float16}})
	if err != nil {
		t.Fatal(err)
	}
	session := e.Session(lmcache.Request{ID: "r", Model: "m", Salt: salt})
	prompt := make([]int32, n*chunk)
	for i := range prompt {
		prompt[i] = int32(i)
	}
	lease, err := w.PrepareStore(t.Context(), session, prompt, 0, len(prompt))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(lease.Commit(), session.Close(), e.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	return e
}

type listing struct {
	Adapter string `json:"adapter"`
	Shared  *bool  `json:"shared"`
	Entries []struct {
		Key  json.RawMessage `json:"key"`
		Size int64           `json:"size_bytes"`
	} `json:"entries"`
	Next *string `json:"next_page_token"`
}

// list reads all pages.
func list(t *testing.T, s *Server, path string, q url.Values) (keys []string, pages int) {
	t.Helper()
	for {
		res, body := send(t, s, "GET", path+"?"+q.Encode(), "", nil)
		var l listing
		if err := json.Unmarshal([]byte(body), &l); err != nil || res.StatusCode != http.StatusOK || l.Shared == nil || *l.Shared || l.Adapter == "" || l.Entries == nil {
			t.Fatalf("%s?%s: %d %v: %s", path, q.Encode(), res.StatusCode, err, body)
		}
		for _, e := range l.Entries {
			if e.Size < 1024 {
				t.Errorf("an object of %d bytes", e.Size)
			}
			keys = append(keys, string(e.Key))
		}
		pages++
		if l.Next == nil {
			return keys, pages
		}
		q.Set("page_token", *l.Next)
	}
}

// What tiers hold is listed page by page and removed by key, in one tier or all, with or
// without L1.
func TestREQ_W39_Tiers(t *testing.T) {
	e := tiered(t, t.TempDir(), "t1", 5)
	s := open(t, Options{Engine: e, Cache: e, TierConfigs: []map[string]any{{"type": "fs", "secret": "***"}}})
	keys, pages := list(t, s, "/cache/objects", url.Values{"page_size": {"2"}})
	if len(keys) != 5 || pages < 3 {
		t.Fatalf("%d keys on %d pages", len(keys), pages)
	}
	var first kv.Key
	if err := json.Unmarshal([]byte(keys[0]), &first); err != nil || first.Model != "m" || first.Salt != "t1" {
		t.Fatalf("%v: %s", err, keys[0])
	}
	for _, c := range []struct {
		query url.Values
		n     int
	}{
		{url.Values{"adapter": {"mem"}}, 5},
		{url.Values{"adapter": {"fast"}}, 5},
		{url.Values{"adapter": {"mem#1"}, "model_name": {"m"}}, 5},
		{url.Values{"adapter": {"fs"}, "model_name": {"other"}}, 0},
	} {
		for _, path := range []string{"/cache/objects", "/l2/keys"} {
			if got, _ := list(t, s, path, c.query); len(got) != c.n {
				t.Errorf("%v: %d keys, want %d", c.query, len(got), c.n)
			}
		}
	}
	for query, want := range map[string]string{
		"adapter=s3":                        `404 {"detail":"there is no L2 adapter \"s3\""}`,
		"adapter=fs%231":                    `404 {"detail":"there is no L2 adapter \"fs#1\""}`,
		"adapter=mem%23x":                   `404 {"detail":"there is no L2 adapter \"mem#x\""}`,
		"page_token=..%2F..%2Fetc%2Fpasswd": `400 {"detail":"page_token: must be the next_page_token of an answer about this adapter"}`,
	} {
		res, body := send(t, s, "GET", "/cache/objects?"+query, "", nil)
		if got := res.Status[:3] + " " + body; got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	_, body := do(t, s, "GET", "/config/adapters", nil)
	if want := `{"adapters":[{"index":0,"type_name":"fs","tier":"l2","primary":true,"reconfigurable":false},{"index":1,"type_name":"mem","tier":"l2","primary":false,"reconfigurable":false}]}`; string(body) != want {
		t.Errorf("%s, want %s", body, want)
	}
	if _, body := do(t, s, "GET", "/quota/t1", nil); !strings.Contains(string(body), `"exists":false`) || strings.Contains(string(body), `"current_usage_gb":0.0,`) {
		t.Errorf("usage of a tenant: %s", body)
	}
	for _, c := range []struct {
		name, method, path, body string
		answer                   string
		files, memory, l1        int
	}{
		{"one of one tier", "DELETE", "/cache/objects", `{"keys":[` + keys[0] + `],"adapter":"fs"}`, `{"deleted":1,"skipped":0,"ok":true}`, 4, 5, 5},
		{"again", "DELETE", "/cache/objects", `{"keys":[` + keys[0] + `],"adapter":"fs"}`, `{"deleted":0,"skipped":0,"ok":true}`, 4, 5, 5},
		{"one of all tiers", "DELETE", "/cache/objects", `{"keys":[` + keys[1] + `]}`, `{"deleted":2,"skipped":0,"ok":true}`, 3, 4, 5},
		{"one of L1", "DELETE", "/cache/objects", `{"keys":[` + keys[1] + `],"tier":"l1"}`, `{"deleted":1,"skipped":0,"ok":true}`, 3, 4, 4},
		{"one of everything", "DELETE", "/cache/objects", `{"keys":[` + keys[2] + `],"tier":"all"}`, `{"deleted":3,"skipped":0,"ok":true}`, 2, 3, 3},
		{"none", "DELETE", "/cache/objects", `{"keys":[]}`, `{"deleted":0,"skipped":0,"ok":true}`, 2, 3, 3},
		{"the old way", "POST", "/l2/keys:evict", `{"keys":[` + keys[3] + `,` + keys[4] + `]}`, `{"requested":2,"adapter":"fs","ok":true}`, 0, 3, 3},
		{"the old way, elsewhere", "POST", "/l2/keys:evict", `{"keys":[` + keys[3] + `],"adapter":"mem"}`, `{"requested":1,"adapter":"mem","ok":true}`, 0, 2, 3},
		{"nowhere", "DELETE", "/cache/objects", `{"keys":[],"tier":"all","adapter":"s3"}`, `{"detail":"there is no L2 adapter \"s3\""}`, 0, 2, 3},
		{"clear", "POST", "/cache/clear", ``, `{"status":"ok","cleared":{"tier":"l1"}}`, 0, 2, 0},
	} {
		if _, got := send(t, s, c.method, c.path, c.body, nil); got != c.answer {
			t.Errorf("%s: %s, want %s", c.name, got, c.answer)
		}
		st := e.Stats().Storage
		if got, want := []int64{st.Tiers[0].Objects, st.Tiers[1].Objects, st.L1.Objects}, []int64{int64(c.files), int64(c.memory), int64(c.l1)}; !cmp.Equal(got, want) {
			t.Errorf("%s: objects in fs, mem, L1: %v, want %v", c.name, got, want)
		}
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"GET /cache/objects", "DELETE /cache/objects", "POST /l2/keys:evict"} {
		method, path, _ := strings.Cut(c, " ")
		if res, body := send(t, s, method, path, `{"keys":[]}`, nil); res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s of a closed engine: %d %s", c, res.StatusCode, body)
		}
	}
}

// A prompt that L1 has lost is loaded ahead of time, and its copy is in L1 then.
func TestREQ_W39_Prefetches(t *testing.T) {
	e := tiered(t, t.TempDir(), "t1", 5)
	s := open(t, Options{Engine: e, Cache: e})
	if _, err := e.Clear(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	var tokens strings.Builder
	for i := range 5*16 + 3 {
		fmt.Fprintf(&tokens, "%d,", i)
	}
	body := `{"model_name":"m","world_size":1,"cache_salt":"t1","token_ids":[` + strings.TrimSuffix(tokens.String(), ",") + `]}`
	res, text := send(t, s, "POST", "/cache/prefetches", body, nil)
	var job struct {
		ID     string `json:"request_id"`
		Chunks int
		Status string
		Found  int `json:"found_keys"`
		Total  int `json:"total_keys"`
	}
	if err := json.Unmarshal([]byte(text), &job); err != nil || res.StatusCode != http.StatusAccepted || job.Chunks != 5 || job.Status != "submitted" {
		t.Fatalf("%d %v: %s", res.StatusCode, err, text)
	}
	for path := "/cache/prefetches/" + job.ID; job.Status != "completed"; {
		if res, text = send(t, s, "GET", path, "", nil); res.StatusCode != http.StatusOK || json.Unmarshal([]byte(text), &job) != nil {
			t.Fatalf("%d %s", res.StatusCode, text)
		}
	}
	if job.Found != 5 || job.Total != 5 || e.Stats().Storage.L1.Objects != 5 {
		t.Errorf("%+v, %d objects in L1", job, e.Stats().Storage.L1.Objects)
	}
}

// A tier that fails is told, and the others have done their part.
func TestDeleteFromFailingTier(t *testing.T) {
	e := &fakeEngine{}
	e.set(func() lmcache.Stats {
		return lmcache.Stats{Storage: storage.Stats{Tiers: []storage.TierStats{{Name: "a", Type: "fs"}, {Index: 1, Name: "b", Type: "s3"}}}}
	})
	cache := &fakeCache{codes: []l1.Code{l1.Success}, tiers: []storage.TierResult{
		{Name: "a", Deleted: 1, Skipped: 2}, {Name: "b", Err: errors.New("no route")}, {Name: "c", Err: errors.New("gone")},
	}}
	s := open(t, Options{Engine: e, Cache: cache})
	for body, want := range map[string]string{
		`{"keys":[` + goodKey + `]}`:              `{"deleted":1,"skipped":2,"ok":false,"error":"b: no route; c: gone"}`,
		`{"keys":[` + goodKey + `],"tier":"all"}`: `{"deleted":2,"skipped":2,"ok":false,"error":"b: no route; c: gone"}`,
	} {
		if res, got := send(t, s, "DELETE", "/cache/objects", body, nil); res.StatusCode != http.StatusOK || got != want {
			t.Errorf("%s: %d %s, want %s", body, res.StatusCode, got, want)
		}
	}
	_, got := send(t, s, "POST", "/l2/keys:evict", `{"keys":[]}`, nil)
	if want := `{"requested":0,"adapter":"fs","ok":false,"error":"b: no route; c: gone"}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	cache.err = errors.ErrUnsupported
	if res, got := send(t, s, "GET", "/cache/objects", "", nil); res.StatusCode != http.StatusServiceUnavailable || got != `{"detail":"unsupported operation"}` {
		t.Errorf("no listing: %d %s", res.StatusCode, got)
	}
}

// storage.md, status: tiers and controllers show what they are made of, under all names
// that tools read, and no secret.
func TestStatusOfTiers(t *testing.T) {
	dir := t.TempDir()
	e := tiered(t, dir, "t1", 3)
	s := open(t, Options{Engine: e, Cache: e, TierConfigs: []map[string]any{{"type": "fs", "password": "***"}}})
	_, body := do(t, s, "GET", "/status", nil)
	var got struct {
		Healthy bool `json:"is_healthy"`
		Manager struct {
			Healthy  bool                      `json:"is_healthy"`
			Num      int                       `json:"num_l2_adapters"`
			Store    map[string]any            `json:"store_controller"`
			Stores   map[string]map[string]any `json:"store_controllers"`
			Prefetch map[string]any            `json:"prefetch_controller"`
			Eviction struct {
				Healthy  bool             `json:"is_healthy"`
				Adapters []map[string]any `json:"adapters"`
			} `json:"l2_eviction_controller"`
			Adapters []map[string]any `json:"l2_adapters"`
		} `json:"storage_manager"`
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	m := got.Manager
	if !got.Healthy || !m.Healthy || m.Num != 2 || len(m.Adapters) != 2 || len(m.Eviction.Adapters) != 2 || !m.Eviction.Healthy {
		t.Fatalf("%+v", m)
	}
	if diff := cmp.Diff(m.Store, m.Stores["_default"]); diff != "" {
		t.Errorf("store controllers (-one +named):\n%s", diff)
	}
	expect := func(where string, in map[string]any, want map[string]any) {
		t.Helper()
		for name, value := range want {
			if diff := cmp.Diff(value, in[name]); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", where, name, diff)
			}
		}
	}
	expect("store", m.Store, map[string]any{"is_healthy": true, "thread_alive": true, "num_l2_adapters": 2.0, "pending_keys_count": 0.0, "dropped_total": 0.0})
	expect("prefetch", m.Prefetch, map[string]any{"is_healthy": true, "thread_alive": true, "max_in_flight": 8.0, "num_l2_adapters": 2.0})
	files, memory := m.Adapters[0], m.Adapters[1]
	expect("fs", files, map[string]any{
		"is_healthy": true, "type": "fs", "adapter_index": 0.0, "base_path": dir, "stored_object_count": 3.0, "object_count": 3.0,
		"config": map[string]any{"type": "fs", "password": "***"}, "format": "v1", "direct_io": "off", "breaker_state": "closed", "unbounded": false,
		"max_capacity_bytes": float64(1 << 30), "capacity_bytes": float64(1 << 30), "failures_by_reason": map[string]any{}, "corrupt_total": 0.0,
	})
	if files["used_bytes"] != files["current_size_bytes"] || files["used_bytes"].(float64) < 3*1024 || files["bytes_written_total"].(float64) < 3*1024 {
		t.Errorf("fs: %v", files)
	}
	expect("mem", memory, map[string]any{"type": "mem", "name": "fast", "format": nil, "direct_io": nil, "config": map[string]any{}, "stored_object_count": 3.0})
	if _, ok := memory["base_path"]; ok {
		t.Error("a store in memory has a path")
	}
	expect("eviction of mem", m.Eviction.Adapters[1], map[string]any{
		"adapter_index": 1.0, "policy": "IsolatedLRU", "trigger_watermark": 0.8, "eviction_ratio": 0.2, "num_cache_salts": 1.0, "capacity_bytes": float64(1 << 20),
	})
}

// A tier that is out of order makes the storage manager unhealthy in the status, and
// takes nobody's requests away; so does a controller that does not get on.
func TestStatusOfFailingTier(t *testing.T) {
	now := time.Now()
	for name, change := range map[string]func(*storage.Stats){
		"tier":     func(s *storage.Stats) { s.Tiers[0].Healthy = false },
		"stores":   func(s *storage.Stats) { s.Stores.Stalled = 11 * time.Second },
		"fetching": func(s *storage.Stats) { s.Fetches.Stalled = 11 * time.Second },
		"none":     func(s *storage.Stats) { s.Stores.Stalled, s.Fetches.Stalled = 10*time.Second, 10*time.Second },
	} {
		s := stats()
		s.Storage.Tiers = []storage.TierStats{{Type: "fs", Healthy: true, Breaker: storage.BreakerClosed}}
		change(&s.Storage)
		st := newStatus(s, now)
		if got := st.StorageManager.IsHealthy; got != (name == "none") {
			t.Errorf("%s: the storage manager is healthy: %v", name, got)
		}
		if !st.IsHealthy {
			t.Errorf("%s: the server is not healthy", name)
		}
		if alive := st.StorageManager.StoreController.ThreadAlive; alive != (name != "stores") {
			t.Errorf("%s: store controller alive: %v", name, alive)
		}
	}
}
