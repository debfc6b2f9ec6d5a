package httpserver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// send is do with a body.
func send(t testing.TB, s *Server, method, path, body string, header http.Header) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	tr := &http.Transport{DisableCompression: true}
	defer tr.CloseIdleConnections()
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(answer)
}

// engine is a real one, closed with the test.
func engine(t testing.TB, policy string) *lmcache.Engine {
	t.Helper()
	e, err := lmcache.Open(t.Context(), lmcache.Options{ChunkTokens: 16, L1: l1.Options{Bytes: 1 << 20, Policy: policy}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return e
}

// fakeCache says of keys what it is told to, and keeps what it was asked.
type fakeCache struct {
	codes  []l1.Code
	err    error
	asked  []string
	quotas []storage.Quota
	page   l2.Page
	tiers  []storage.TierResult
	warm   lmcache.WarmStatus
	view   lmcache.Explanation
}

func (c *fakeCache) ask(format string, args ...any) {
	c.asked = append(c.asked, fmt.Sprintf(format, args...))
}

func (c *fakeCache) Clear(_ context.Context, force bool) (int, error) {
	c.ask("clear %v", force)
	return 3, c.err
}

func (c *fakeCache) Delete(_ context.Context, keys []kv.Key, force bool) ([]l1.Code, error) {
	c.ask("delete %v %v", keys, force)
	return c.codes, c.err
}

func (c *fakeCache) SetQuota(salt string, bytes int64) error {
	c.ask("quota %q %d", salt, bytes)
	return c.err
}

func (c *fakeCache) DeleteQuota(salt string) bool {
	c.ask("no quota %q", salt)
	return salt == "u1"
}

func (c *fakeCache) ListL2(_ context.Context, tier int, q l2.ListQuery) (l2.Page, error) {
	c.ask("list %d %+v", tier, q)
	return c.page, c.err
}

func (c *fakeCache) DeleteL2(_ context.Context, keys []kv.Key, tier int) ([]storage.TierResult, error) {
	c.ask("delete l2 %v %d", keys, tier)
	return c.tiers, c.err
}

func (c *fakeCache) Warm(_ context.Context, r lmcache.WarmRequest) (lmcache.WarmStatus, error) {
	c.ask("warm %+v", r)
	return c.warm, c.err
}

func (c *fakeCache) Warming(id string) (lmcache.WarmStatus, bool) { return c.warm, id == c.warm.ID }

func (c *fakeCache) CancelWarming(id string) bool {
	c.ask("cancel %q", id)
	return id == c.warm.ID
}

func (c *fakeCache) Explain(_ context.Context, r lmcache.ExplainRequest) (lmcache.Explanation, error) {
	c.ask("explain %+v", r)
	return c.view, c.err
}

func (c *fakeCache) Quotas() []storage.Quota { return c.quotas }

// hash is a hash by its text.
func hash(text string) kv.Hash {
	h, err := kv.ParseHash(text)
	if err != nil {
		panic(err)
	}
	return h
}

const (
	goodKey = `{"chunk_hash_hex":"00ff10","model_name":"m","kv_rank":16777472}`
	saltKey = `{"chunk_hash_hex":"00ff10","model_name":"m","kv_rank":16777472,"object_group_id":2,"cache_salt":"t1","unknown":[]}`
)

// REQ-W39: the routes that change the cache, with each of their answers.
func TestREQ_W39_CacheRoutes(t *testing.T) {
	stats := func() lmcache.Stats {
		var s lmcache.Stats
		s.Storage.L1.BytesBySalt = map[string]int64{"u1": 1 << 29, "": 1 << 30, "u3": 1}
		return s
	}
	closed := func() lmcache.Stats { return lmcache.Stats{Closed: true} }
	e := &fakeEngine{}
	quotas := []storage.Quota{{Salt: "u1", Bytes: 1 << 31}, {Salt: "", Bytes: 3 << 29}}
	badRequest := func(loc, kind, msg string) string {
		return `{"detail":[{"type":"` + kind + `","loc":[` + loc + `],"msg":"` + msg + `"}]}`
	}
	for _, c := range []struct {
		name, method, path, body string
		cache                    fakeCache
		stats                    func() lmcache.Stats
		status                   int
		answer                   string
		asked                    string
	}{
		{name: "clear", method: "POST", path: "/cache/clear", status: 200, answer: `{"status":"ok","cleared":{"tier":"l1"}}`, asked: "clear false"},
		{name: "clear with a body", method: "POST", path: "/cache/clear", body: `{"tier":"l1","force":true,"more":1}`, status: 200, answer: `{"status":"ok","cleared":{"tier":"l1"}}`, asked: "clear true"},
		{name: "clear l2", method: "POST", path: "/cache/clear", body: `{"tier":"l2"}`, status: 400, answer: `{"detail":"tier l2 cannot be cleared, only l1; DELETE /cache/objects removes objects of l2 by key"}`},
		{name: "clear all", method: "POST", path: "/cache/clear", body: `{"tier":"all"}`, status: 400, answer: `{"detail":"tier all cannot be cleared, only l1; DELETE /cache/objects removes objects of l2 by key"}`},
		{name: "clear l9", method: "POST", path: "/cache/clear", body: `{"tier":"l9"}`, status: 422, answer: badRequest(`"body","tier"`, "literal_error", "must be one of: l1, l2, all")},
		{name: "clear with two mistakes", method: "POST", path: "/cache/clear", body: `{"tier":null,"force":"yes"}`, status: 422, answer: `{"detail":[{"type":"string_type","loc":["body","tier"],"msg":"must be a string"},{"type":"bool_type","loc":["body","force"],"msg":"must be true or false"}]}`},
		{name: "clear a closed engine", method: "POST", path: "/cache/clear", cache: fakeCache{err: lmcache.ErrClosed}, status: 503, answer: `{"detail":"lmcache: closed"}`, asked: "clear false"},
		{name: "clear, the old way", method: "POST", path: "/clear-cache", status: 200, answer: `{"status":"ok"}`, asked: "clear true"},
		{name: "clear, the other old way", method: "POST", path: "/api/clear-cache", cache: fakeCache{err: lmcache.ErrClosed}, status: 503, answer: `{"status":"error","reason":"lmcache: closed"}`, asked: "clear true"},
		{name: "clear by GET", method: "GET", path: "/cache/clear", status: 405, answer: `{"detail":"Method Not Allowed"}`},

		{name: "quotas", method: "GET", path: "/quota", cache: fakeCache{quotas: quotas}, status: 200, answer: `{"users":{"_default":{"limit_gb":1.5,"current_usage_gb":1.0},"u1":{"limit_gb":2.0,"current_usage_gb":0.5}}}`},
		{name: "no quotas", method: "GET", path: "/quota", status: 200, answer: `{"users":{}}`},
		{name: "quotas of a closed engine", method: "GET", path: "/quota", stats: closed, status: 503, answer: `{"error":"the engine is closed"}`},
		{name: "quota", method: "GET", path: "/quota/u1", cache: fakeCache{quotas: quotas}, status: 200, answer: `{"cache_salt":"u1","limit_gb":2.0,"current_usage_gb":0.5,"exists":true}`},
		{name: "quota of the empty salt", method: "GET", path: "/quota/_default", cache: fakeCache{quotas: quotas}, status: 200, answer: `{"cache_salt":"_default","limit_gb":1.5,"current_usage_gb":1.0,"exists":true}`},
		{name: "quota of nobody", method: "GET", path: "/quota/nobody", cache: fakeCache{quotas: quotas}, status: 200, answer: `{"cache_salt":"nobody","limit_gb":0.0,"current_usage_gb":0.0,"exists":false}`},
		{name: "a quota that is missing", method: "GET", path: "/quota/u3", status: 200, answer: `{"cache_salt":"u3","limit_gb":0.0,"current_usage_gb":9.313225746154785e-10,"exists":false}`},
		{name: "quota of a closed engine", method: "GET", path: "/quota/u1", stats: closed, status: 503, answer: `{"error":"the engine is closed"}`},
		{name: "set", method: "PUT", path: "/quota/u1", body: `{"limit_gb":2}`, status: 200, answer: `{"cache_salt":"u1","limit_gb":2.0,"status":"ok"}`, asked: `quota "u1" 2147483648`},
		{name: "set of the empty salt", method: "PUT", path: "/quota/_default", body: `{"limit_gb":0}`, status: 200, answer: `{"cache_salt":"_default","limit_gb":0.0,"status":"ok"}`, asked: `quota "" 0`},
		{name: "a salt with anything", method: "PUT", path: "/quota/a%20b%3F%25%32%35", body: `{"limit_gb":1e-3,"x":1}`, status: 200, answer: `{"cache_salt":"a b?%25","limit_gb":0.001,"status":"ok"}`, asked: `quota "a b?%25" 1073742`},
		{name: "a salt of dots", method: "PUT", path: "/quota/%2E%2E", body: `{"limit_gb":1}`, status: 200, answer: `{"cache_salt":"..","limit_gb":1.0,"status":"ok"}`, asked: `quota ".." 1073741824`},
		{name: "a forbidden salt", method: "PUT", path: "/quota/a%2Fb", body: `{"limit_gb":1}`, status: 400, answer: `{"error":"kv: cache_salt contains \"/\", which is not allowed"}`},
		{name: "a salt that is no text", method: "PUT", path: "/quota/%FF", body: `{"limit_gb":1}`, status: 400, answer: `{"error":"kv: cache_salt is not valid UTF-8"}`},
		{name: "negative", method: "PUT", path: "/quota/u2", body: `{"limit_gb":-1}`, status: 400, answer: `{"error":"limit_gb must not be negative, got -1"}`},
		{name: "missing", method: "PUT", path: "/quota/u2", body: `{}`, status: 400, answer: `{"error":"limit_gb is missing"}`},
		{name: "text", method: "PUT", path: "/quota/u2", body: `{"limit_gb":"2"}`, status: 400, answer: `{"error":"limit_gb must be a finite number"}`},
		{name: "null", method: "PUT", path: "/quota/u2", body: `{"limit_gb":null}`, status: 400, answer: `{"error":"limit_gb must be a finite number"}`},
		{name: "endless", method: "PUT", path: "/quota/u2", body: `{"limit_gb":1e999}`, status: 400, answer: `{"error":"limit_gb must be a finite number"}`},
		{name: "NaN", method: "PUT", path: "/quota/u2", body: `{"limit_gb":NaN}`, status: 400, answer: `{"error":"the body must be a JSON object with limit_gb"}`},
		{name: "too much", method: "PUT", path: "/quota/u2", body: `{"limit_gb":1e10}`, status: 400, answer: `{"error":"limit_gb must be at most 4294967295, got 1e+10"}`},
		{name: "no body", method: "PUT", path: "/quota/u2", status: 400, answer: `{"error":"the body must be a JSON object with limit_gb"}`},
		{name: "set in a closed engine", method: "PUT", path: "/quota/u1", body: `{"limit_gb":2}`, cache: fakeCache{err: lmcache.ErrClosed}, status: 503, answer: `{"error":"the engine is closed"}`, asked: `quota "u1" 2147483648`},
		{name: "too many", method: "PUT", path: "/quota/u1", body: `{"limit_gb":2}`, cache: fakeCache{err: errors.New("no room")}, status: 400, answer: `{"error":"no room"}`, asked: `quota "u1" 2147483648`},
		{name: "remove", method: "DELETE", path: "/quota/u1", status: 200, answer: `{"cache_salt":"u1","status":"removed"}`, asked: `no quota "u1"`},
		{name: "remove what is not there", method: "DELETE", path: "/quota/_default", status: 200, answer: `{"cache_salt":"_default","status":"not_found"}`, asked: `no quota ""`},
		{name: "remove from a closed engine", method: "DELETE", path: "/quota/u1", stats: closed, status: 503, answer: `{"error":"the engine is closed"}`},
		{name: "no salt", method: "GET", path: "/quota/", status: 404, answer: `{"detail":"Not Found"}`},

		{name: "list l1", method: "GET", path: "/cache/objects?tier=l1", status: 400, answer: `{"detail":"objects of l1 cannot be listed, only those of l2"}`},
		{name: "list nothing", method: "GET", path: "/cache/objects?page_size=5000", status: 503, answer: `{"detail":"no L2 adapter is configured"}`},
		{name: "list with mistakes", method: "GET", path: "/cache/objects?tier=x&page_size=0", status: 422, answer: `{"detail":[{"type":"literal_error","loc":["query","tier"],"msg":"must be one of: l1, l2"},{"type":"greater_than_equal","loc":["query","page_size"],"msg":"must be at least 1"}]}`},
		{name: "list too much", method: "GET", path: "/cache/objects?page_size=5001", status: 422, answer: badRequest(`"query","page_size"`, "less_than_equal", "must be at most 5000")},
		{name: "list a word", method: "GET", path: "/cache/objects?page_size=all", status: 422, answer: badRequest(`"query","page_size"`, "int_parsing", "must be a whole number")},
		{name: "list, the old way", method: "GET", path: "/l2/keys", status: 503, answer: `{"detail":"no L2 adapter is configured"}`},

		{name: "delete", method: "DELETE", path: "/cache/objects", body: `{"tier":"l1","keys":[` + goodKey + "," + saltKey + `]}`, cache: fakeCache{codes: []l1.Code{l1.Success, l1.KeyIsLocked, l1.KeyNotExist}}, status: 200, answer: `{"deleted":1,"skipped":1,"ok":true}`, asked: "delete [m@01000100@0@00ff10 m@01000100@2@00ff10@t1] false"},
		{name: "delete by force", method: "DELETE", path: "/cache/objects", body: `{"tier":"l1","force":true,"keys":[],"adapter":null}`, status: 200, answer: `{"deleted":0,"skipped":0,"ok":true}`, asked: "delete [] true"},
		{name: "delete from a closed engine", method: "DELETE", path: "/cache/objects", body: `{"tier":"l1","keys":[]}`, cache: fakeCache{err: lmcache.ErrClosed}, status: 503, answer: `{"detail":"lmcache: closed"}`, asked: "delete [] false"},
		{name: "delete from no tier", method: "DELETE", path: "/cache/objects", body: `{"keys":[` + goodKey + `]}`, status: 503, answer: `{"detail":"no L2 adapter is configured"}`},
		{name: "delete a bad key", method: "DELETE", path: "/cache/objects", body: `{"keys":[` + goodKey + `,{"chunk_hash_hex":"00","model_name":"a@b","kv_rank":1}]}`, status: 400, answer: `{"detail":"keys[1]: kv: model_name contains \"@\", which is not allowed"}`},
		{name: "delete half a key", method: "DELETE", path: "/cache/objects", body: `{"keys":[{"model_name":"m"}]}`, status: 400, answer: `{"detail":"keys[0]: kv: key object: chunk_hash_hex is missing; kv: key object: kv_rank is missing"}`},
		{name: "delete no key", method: "DELETE", path: "/cache/objects", body: `{"keys":[null]}`, status: 400, answer: `{"detail":"keys[0]: must be a key object"}`},
		{name: "delete nothing", method: "DELETE", path: "/cache/objects", body: `{}`, status: 422, answer: badRequest(`"body","keys"`, "missing", "is required")},
		{name: "delete a list", method: "DELETE", path: "/cache/objects", body: `[]`, status: 422, answer: `{"detail":[{"type":"model_attributes_type","loc":["body"],"msg":"must be a JSON object"}]}`},
		{name: "delete half an object", method: "DELETE", path: "/cache/objects", body: `{`, status: 422, answer: `{"detail":[{"type":"json_invalid","loc":["body",1],"msg":"JSON decode error: unexpected end of JSON input"}]}`},
		{name: "delete a word", method: "DELETE", path: "/cache/objects", body: `{"keys":"all","tier":"l3","adapter":1}`, status: 422, answer: `{"detail":[{"type":"literal_error","loc":["body","tier"],"msg":"must be one of: l1, l2, all"},{"type":"list_type","loc":["body","keys"],"msg":"must be a list"},{"type":"string_type","loc":["body","adapter"],"msg":"must be a string"}]}`},
		{name: "delete too much", method: "DELETE", path: "/cache/objects", body: `{"keys":[` + strings.Repeat("0,", 10_000) + `0]}`, status: 422, answer: badRequest(`"body","keys"`, "too_long", "must have at most 10000 elements, got 10001")},
		{name: "evict, the old way", method: "POST", path: "/l2/keys:evict", body: `{"keys":[` + goodKey + `]}`, status: 503, answer: `{"detail":"no L2 adapter is configured"}`},
		{name: "evict a bad key, the old way", method: "POST", path: "/l2/keys:evict", body: `{"keys":[{}]}`, status: 400, answer: `{"detail":"keys[0]: kv: key object: chunk_hash_hex is missing; kv: key object: model_name is missing; kv: key object: kv_rank is missing"}`},
		{name: "explain", method: "POST", path: "/cache/explain", body: `{"model_name":"m","world_size":2,"token_ids":[1,2,3],"cache_salt":"t"}`, cache: fakeCache{view: lmcache.Explanation{Chunks: []lmcache.ExplainedChunk{{Hash: hash("00ff"), Place: storage.InL1}, {Hash: hash("01"), Place: storage.InL2}, {Hash: hash("02"), Miss: storage.MissL2}, {Hash: hash("03"), Place: storage.InL1, Miss: storage.MissAfterGap}}, Prefix: 2, Tokens: 512}}, status: 200, answer: `{"chunks":[{"index":0,"hash":"00ff","tier":"l1","reason":""},{"index":1,"hash":"01","tier":"l2","reason":""},{"index":2,"hash":"02","tier":"none","reason":"l2_miss"},{"index":3,"hash":"03","tier":"l1","reason":"after_gap"}],"prefix_chunks":2,"prefix_tokens":512}`, asked: "explain {Model:m WorldSize:2 Salt:t Tokens:[1 2 3]}"},
		{name: "explain less than a chunk", method: "POST", path: "/cache/explain", body: `{"model_name":"m","world_size":1,"token_ids":[],"more":1}`, cache: fakeCache{view: lmcache.Explanation{Chunks: []lmcache.ExplainedChunk{{Miss: storage.MissUnderChunkSize}}}}, status: 200, answer: `{"chunks":[{"index":0,"hash":"","tier":"none","reason":"under_chunk_size"}],"prefix_chunks":0,"prefix_tokens":0}`, asked: "explain {Model:m WorldSize:1 Salt: Tokens:[]}"},
		{name: "explain without layout", method: "POST", path: "/cache/explain", body: `{"model_name":"m","world_size":1,"token_ids":[1]}`, cache: fakeCache{err: lmcache.ErrNoLayout}, status: 503, answer: `{"detail":"lmcache: no worker of this model and world size is attached"}`, asked: "explain {Model:m WorldSize:1 Salt: Tokens:[1]}"},
		{name: "explain to a closed engine", method: "POST", path: "/cache/explain", body: `{"model_name":"m","world_size":1,"token_ids":[1]}`, cache: fakeCache{err: lmcache.ErrClosed}, status: 503, answer: `{"detail":"lmcache: closed"}`, asked: "explain {Model:m WorldSize:1 Salt: Tokens:[1]}"},
		{name: "explain for a bad salt and model", method: "POST", path: "/cache/explain", body: `{"model_name":"a@b","world_size":1,"token_ids":[],"cache_salt":"a/b"}`, status: 400, answer: `{"detail":"kv: model_name contains \"@\", which is not allowed\nkv: cache_salt contains \"/\", which is not allowed"}`},
		{name: "explain what is missing", method: "POST", path: "/cache/explain", body: `{}`, status: 422, answer: `{"detail":[{"type":"missing","loc":["body","model_name"],"msg":"is required"},{"type":"missing","loc":["body","world_size"],"msg":"is required"},{"type":"missing","loc":["body","token_ids"],"msg":"is required"}]}`},
		{name: "explain with mistakes", method: "POST", path: "/cache/explain", body: `{"model_name":1,"world_size":256,"token_ids":[-1],"cache_salt":null}`, status: 422, answer: `{"detail":[{"type":"string_type","loc":["body","model_name"],"msg":"must be a string"},{"type":"less_than_equal","loc":["body","world_size"],"msg":"must be at most 255"},{"type":"greater_than_equal","loc":["body","token_ids"],"msg":"must be a list of whole numbers from 0 to 2147483647"},{"type":"string_type","loc":["body","cache_salt"],"msg":"must be a string"}]}`},
		{name: "explain by GET", method: "GET", path: "/cache/explain", status: 405, answer: `{"detail":"Method Not Allowed"}`},

		{name: "prefetch", method: "POST", path: "/cache/prefetches", body: `{"model_name":"m","world_size":2,"token_ids":[1,2,3],"cache_salt":"t"}`, cache: fakeCache{warm: lmcache.WarmStatus{ID: "w1", Chunks: 3}}, status: 202, answer: `{"request_id":"w1","chunks":3,"status":"submitted"}`, asked: "warm {Model:m WorldSize:2 Salt:t Tokens:[1 2 3]}"},
		{name: "prefetch nothing", method: "POST", path: "/cache/prefetches", body: `{"model_name":"m","world_size":1,"token_ids":[],"source_tier":"l2","target_tier":"l1"}`, cache: fakeCache{warm: lmcache.WarmStatus{Done: true}}, status: 202, answer: `{"chunks":0,"status":"noop"}`, asked: "warm {Model:m WorldSize:1 Salt: Tokens:[]}"},
		{name: "prefetch the other way", method: "POST", path: "/cache/prefetches", body: `{"model_name":"m","world_size":1,"token_ids":[],"source_tier":"l1","target_tier":"l2"}`, status: 400, answer: `{"detail":"from l1 to l2 nothing can be prefetched, only from l2 to l1"}`},
		{name: "prefetch of a bad salt", method: "POST", path: "/cache/prefetches", body: `{"model_name":"m","world_size":1,"token_ids":[],"cache_salt":"a/b"}`, status: 400, answer: `{"detail":"kv: cache_salt contains \"/\", which is not allowed"}`},
		{name: "prefetch without layout", method: "POST", path: "/cache/prefetches", body: `{"model_name":"m","world_size":1,"token_ids":[]}`, cache: fakeCache{err: lmcache.ErrNoLayout}, status: 503, answer: `{"detail":"lmcache: no worker of this model and world size is attached"}`, asked: "warm {Model:m WorldSize:1 Salt: Tokens:[]}"},
		{name: "prefetch from no tier", method: "POST", path: "/cache/prefetches", body: `{"model_name":"m","world_size":1,"token_ids":[]}`, cache: fakeCache{err: storage.ErrNoTiers}, status: 503, answer: `{"detail":"no L2 adapter is configured"}`, asked: "warm {Model:m WorldSize:1 Salt: Tokens:[]}"},
		{name: "prefetch what is missing", method: "POST", path: "/cache/prefetches", body: `{}`, status: 422, answer: `{"detail":[{"type":"missing","loc":["body","model_name"],"msg":"is required"},{"type":"missing","loc":["body","world_size"],"msg":"is required"},{"type":"missing","loc":["body","token_ids"],"msg":"is required"}]}`},
		{name: "prefetch with mistakes", method: "POST", path: "/cache/prefetches", body: `{"model_name":1,"world_size":0,"token_ids":[-1],"cache_salt":null,"source_tier":"l9"}`, status: 422, answer: `{"detail":[{"type":"string_type","loc":["body","model_name"],"msg":"must be a string"},{"type":"greater_than_equal","loc":["body","world_size"],"msg":"must be at least 1"},{"type":"greater_than_equal","loc":["body","token_ids"],"msg":"must be a list of whole numbers from 0 to 2147483647"},{"type":"string_type","loc":["body","cache_salt"],"msg":"must be a string"},{"type":"literal_error","loc":["body","source_tier"],"msg":"must be one of: l1, l2"}]}`},
		{name: "prefetch numbers that are none", method: "POST", path: "/cache/prefetches", body: `{"model_name":"m","world_size":null,"token_ids":[2147483648]}`, status: 422, answer: `{"detail":[{"type":"int_type","loc":["body","world_size"],"msg":"must be a whole number"},{"type":"list_type","loc":["body","token_ids"],"msg":"must be a list of whole numbers from 0 to 2147483647"}]}`},
		{name: "a prefetch that runs", method: "GET", path: "/cache/prefetches/w1", cache: fakeCache{warm: lmcache.WarmStatus{ID: "w1", Chunks: 3, Total: 6}}, status: 200, answer: `{"request_id":"w1","status":"pending"}`},
		{name: "a prefetch that is done", method: "GET", path: "/cache/prefetches/w1", cache: fakeCache{warm: lmcache.WarmStatus{ID: "w1", Chunks: 3, Total: 6, Done: true, Found: 4}}, status: 200, answer: `{"request_id":"w1","status":"completed","found_keys":4,"total_keys":6}`},
		{name: "a prefetch of nobody", method: "GET", path: "/cache/prefetches/w2", status: 404, answer: `{"detail":"there is no prefetch of that request_id, or its result is no longer kept"}`},
		{name: "cancel", method: "DELETE", path: "/cache/prefetches/w1", cache: fakeCache{warm: lmcache.WarmStatus{ID: "w1"}}, status: 200, answer: `{"request_id":"w1","status":"cancelled"}`, asked: `cancel "w1"`},
		{name: "cancel nothing", method: "DELETE", path: "/cache/prefetches/w2", status: 404, answer: `{"detail":"there is no prefetch of that request_id, or its result is no longer kept"}`, asked: `cancel "w2"`},
		{name: "adapters", method: "GET", path: "/config/adapters", status: 200, answer: `{"adapters":[]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.stats == nil {
				c.stats = stats
			}
			e.set(c.stats)
			s := open(t, Options{Engine: e, Cache: &c.cache})
			res, got := send(t, s, c.method, c.path, c.body, nil)
			if res.StatusCode != c.status || got != c.answer {
				t.Errorf("%d %s, want %d %s", res.StatusCode, got, c.status, c.answer)
			}
			if asked := strings.Join(c.cache.asked, "; "); asked != c.asked {
				t.Errorf("the cache was asked %q, want %q", asked, c.asked)
			}
			old := strings.HasPrefix(c.path, "/l2/") || strings.HasSuffix(c.path, "clear-cache")
			if got := res.Header.Get("Deprecation") == "true" && strings.Contains(res.Header.Get("Link"), `rel="successor-version"`); got != old {
				t.Errorf("deprecated: %v, want %v", got, old)
			}
		})
	}
}

// Without a cache its routes are not there; nor are old paths that nobody wants.
func TestRoutesThatAreOff(t *testing.T) {
	s := open(t, Options{})
	for _, path := range []string{"/quota", "/quota/u1", "/cache/objects", "/l2/keys"} {
		if res, _ := do(t, s, "GET", path, nil); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s without a cache: %d", path, res.StatusCode)
		}
	}
	if res, _ := do(t, s, "GET", "/api/healthcheck", nil); res.StatusCode != http.StatusOK || res.Header.Get("Link") != `</healthcheck>; rel="successor-version"` {
		t.Errorf("/api/healthcheck: %d, %v", res.StatusCode, res.Header)
	}
	s = open(t, Options{Cache: &fakeCache{}, NoAliases: true})
	for _, path := range []string{"/api/healthcheck", "/api/status", "/l2/keys"} {
		if res, _ := do(t, s, "GET", path, nil); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s without old paths: %d", path, res.StatusCode)
		}
	}
}

// The old path of the status has the old name of the contexts as well.
func TestOldStatus(t *testing.T) {
	_, body := do(t, open(t, Options{}), "GET", "/api/status", nil)
	var got struct {
		Healthy *bool           `json:"is_healthy"`
		New     json.RawMessage `json:"cache_context_meta"`
		Old     json.RawMessage `json:"gpu_context_meta"`
	}
	if err := json.Unmarshal(body, &got); err != nil || got.Healthy == nil || string(got.Old) != "{}" || string(got.New) != "{}" {
		t.Errorf("%v: %s", err, body)
	}
}

// A body that is too long is refused with its limit, whatever it says of its length.
func TestREQ_W27_Body(t *testing.T) {
	cache := &fakeCache{}
	s := open(t, Options{Cache: cache})
	fill := func(n int) string { return `{"tier":"l1"` + strings.Repeat(" ", n-len(`{"tier":"l1"}`)) + `}` }
	if res, body := send(t, s, "POST", "/cache/clear", fill(maxBody), nil); res.StatusCode != http.StatusOK {
		t.Errorf("%d bytes: %d %s", maxBody, res.StatusCode, body)
	}
	for _, path := range []string{"/cache/clear", "/clear-cache", "/l2/keys:evict"} {
		if res, body := send(t, s, "POST", path, fill(maxBody+1), nil); res.StatusCode != http.StatusRequestEntityTooLarge || body != `{"detail":"the body has more than 16777216 bytes"}` {
			t.Errorf("%s: one byte more: %d %s", path, res.StatusCode, body)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL()+"/quota/u1", io.NopCloser(strings.NewReader(fill(maxBody+1)))) // chunked
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("without a length: %d", res.StatusCode)
	}
	if len(cache.asked) != 1 {
		t.Errorf("the cache was asked %v", cache.asked)
	}
}

// Bodies that are no such object are told so and reach nothing.
func TestHostileBodies(t *testing.T) {
	cache := &fakeCache{}
	s := open(t, Options{Cache: cache})
	deep := strings.Repeat("[", 100_000)
	for _, body := range []string{
		"[]", `"l1"`, "1", "null x", "{", `{"tier"`, `{"tier":"l1",}`, "{'tier':'l1'}", "\xff\xfe", "\x00", "<x/>", `{"tier":` + deep, deep, "tier=l1",
		`{"keys":[` + deep, `{"keys":{"0":1}}`, `{"keys":[{"chunk_hash_hex":` + deep + `]}`,
	} {
		for _, route := range []string{"POST /cache/clear", "DELETE /cache/objects", "POST /l2/keys:evict", "PUT /quota/u1", "POST /cache/prefetches", "POST /cache/explain"} {
			method, path, _ := strings.Cut(route, " ")
			want := http.StatusUnprocessableEntity
			if path == "/quota/u1" {
				want = http.StatusBadRequest
			}
			res, got := send(t, s, method, path, body, nil)
			if path == "/cache/clear" && strings.HasPrefix(body, `{"keys":{`) { // names it does not know
				continue
			}
			if res.StatusCode != want || !json.Valid([]byte(got)) || len(got) > 1000 {
				t.Errorf("%s with %.40q: %d %.300s", route, body, res.StatusCode, got)
			}
		}
	}
	for _, a := range cache.asked {
		if a != "clear false" {
			t.Errorf("the cache was asked: %s", a)
		}
	}
}

func FuzzBody(f *testing.F) {
	for _, seed := range []string{`{"keys":[` + goodKey + `],"tier":"l1","force":true,"adapter":"fs"}`, `{"limit_gb":2}`, `{"tier":null}`, "[]", ""} {
		f.Add([]byte(seed))
	}
	s := &Server{o: Options{Engine: &fakeEngine{}, Cache: &fakeCache{}}.withDefaults()}
	s.guard.bound = loopback
	h := s.handler()
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, route := range []string{"POST /cache/clear", "DELETE /cache/objects", "PUT /quota/u1", "POST /l2/keys:evict", "POST /cache/prefetches", "POST /cache/explain"} {
			method, path, _ := strings.Cut(route, " ")
			r, w := recorded(method, path, body)
			h.ServeHTTP(w, r)
			if w.Code >= 500 && w.Code != 503 || !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s: %d %s", route, w.Code, w.Body)
			}
		}
	})
}

// REQ-W2, for quotas and the cache: what LMCache answers, a real engine answers.
func TestREQ_W2_Exchanges(t *testing.T) {
	e := engine(t, "LRU")
	s := open(t, Options{Engine: e, Cache: e})
	file, err := os.Open("testdata/exchanges.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	n := 0
	for lines := bufio.NewScanner(file); lines.Scan(); n++ {
		var x struct {
			Method, Path, CType string
			Body                json.RawMessage
			Status              int
			JSON                any
			Keys                []string
		}
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			t.Fatal(err)
		}
		if string(x.Body) == "null" {
			x.Body = nil
		}
		res, body := send(t, s, x.Method, x.Path, string(x.Body), nil)
		if res.StatusCode != x.Status || res.Header.Get("Content-Type") != x.CType {
			t.Errorf("%s %s %s: %d %s, want %d %s", x.Method, x.Path, x.Body, res.StatusCode, body, x.Status, x.CType)
			continue
		}
		var got any
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Errorf("%s %s: %v: %s", x.Method, x.Path, err, body)
			continue
		}
		if x.Keys != nil {
			var names []string
			for name := range got.(map[string]any) {
				names = append(names, name)
			}
			if diff := cmp.Diff(x.Keys, names); diff != "" {
				t.Errorf("%s %s (-want +got):\n%s", x.Method, x.Path, diff)
			}
			continue
		}
		if diff := cmp.Diff(x.JSON, got); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", x.Method, x.Path, diff)
		}
	}
	if n < 25 {
		t.Errorf("only %d exchanges", n)
	}
}

// A quota is enforced where the policy tells tenants apart. Where it does not, it is kept
// as LMCache does, and the answer and the log say that it has no effect.
func TestQuotasOfEngines(t *testing.T) {
	for _, policy := range []string{"IsolatedLRU", "LRU"} {
		var log bytes.Buffer
		e := engine(t, policy)
		s := open(t, Options{Engine: e, Cache: e, Logger: slog.New(slog.NewTextHandler(&lockedWriter{w: &log}, nil))})
		res, body := send(t, s, "PUT", "/quota/u1", `{"limit_gb":2}`, nil)
		if res.StatusCode != http.StatusOK || body != `{"cache_salt":"u1","limit_gb":2.0,"status":"ok"}` {
			t.Errorf("%s: %d %s", policy, res.StatusCode, body)
		}
		noted := policy == "LRU"
		if got := e.HasQuota("u1"); got == noted {
			t.Errorf("%s: the engine has the quota: %v", policy, got)
		}
		if got := strings.Contains(res.Header.Get("Warning"), "has no effect"); got != noted {
			t.Errorf("%s: warning %q", policy, res.Header.Get("Warning"))
		}
		if got := strings.Contains(log.String(), "level=WARN"); got != noted || strings.Contains(log.String(), "u1") {
			t.Errorf("%s: log %s", policy, log.String())
		}
		if _, body := send(t, s, "GET", "/quota", "", nil); body != `{"users":{"u1":{"limit_gb":2.0,"current_usage_gb":0.0}}}` {
			t.Errorf("%s: %s", policy, body)
		}
		for _, want := range []string{"removed", "not_found"} {
			if _, body := send(t, s, "DELETE", "/quota/u1", "", nil); body != `{"cache_salt":"u1","status":"`+want+`"}` {
				t.Errorf("%s: %s, want %s", policy, body, want)
			}
		}
	}
}

// No more quotas are noted than an engine would take.
func TestNotedQuotasAreBounded(t *testing.T) {
	var n notedQuotas
	for i := range l1.MaxQuotas {
		if !n.set(fmt.Sprint(i), 1) {
			t.Fatalf("quota %d is refused", i)
		}
	}
	if n.set("one more", 1) || !n.set("0", 2) {
		t.Error("the limit does not hold, or keeps what is there from changing")
	}
}
