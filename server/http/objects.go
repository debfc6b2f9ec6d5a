package httpserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Limits of a listing and of a deletion.
const (
	defaultPage = 500
	maxPage     = 5000
	maxKeys     = 10_000
)

// noTier is the answer where an outer tier is needed.
const noTier = "no L2 adapter is configured"

// listObjects answers GET /cache/objects.
func (s *Server) listObjects(w http.ResponseWriter, r *http.Request) {
	f := readQuery(r)
	tier := f.choice("tier", "l2", "l1", "l2")
	q := l2.ListQuery{
		Model: f.optional("model_name"), PageSize: f.count("page_size", defaultPage, 1, maxPage), Cursor: f.optional("page_token"),
	}
	name := f.optional("adapter")
	if !f.ok(w, r) {
		return
	}
	if tier == "l1" {
		answer(w, r, http.StatusBadRequest, detail{"objects of l1 cannot be listed, only those of l2"})
		return
	}
	tiers := s.o.Engine.Stats().Storage.Tiers
	index, status, why := selectTier(tiers, name, 0)
	if why != "" {
		answer(w, r, status, detail{why})
		return
	}
	page, err := s.o.Cache.ListL2(r.Context(), index, q)
	switch {
	case errors.Is(err, l2.ErrCursor):
		answer(w, r, http.StatusBadRequest, detail{"page_token: must be the next_page_token of an answer about this adapter"})
		return
	case err != nil:
		answer(w, r, http.StatusServiceUnavailable, detail{err.Error()})
		return
	}
	type object struct {
		Key   kv.Key `json:"key"`
		Bytes int64  `json:"size_bytes"`
	}
	list := make([]object, len(page.Entries))
	for i, e := range page.Entries {
		list[i] = object{e.Key, e.Size}
	}
	var next *string
	if page.Next != "" {
		next = &page.Next
	}
	answer(w, r, http.StatusOK, struct {
		Adapter string   `json:"adapter"`
		Shared  bool     `json:"shared"`
		Entries []object `json:"entries"`
		Next    *string  `json:"next_page_token"` // null: this was the last page
	}{tiers[index].Type, false, list, next})
}

// selectTier is the index of the tier that a client names, def if it names none; or why
// there is none, with its status.
func selectTier(tiers []storage.TierStats, name string, def int) (index, status int, why string) {
	if len(tiers) == 0 {
		return 0, http.StatusServiceUnavailable, noTier
	}
	if name == "" {
		return def, 0, ""
	}
	index, err := findAdapter(tiers, name)
	if err != nil {
		return 0, http.StatusNotFound, err.Error()
	}
	return index, 0, ""
}

// deleted is the answer to a deletion.
type deleted struct {
	Deleted int    `json:"deleted"`
	Skipped int    `json:"skipped"` // in use
	OK      bool   `json:"ok"`
	Error   string `json:"error,omitempty"`
}

// deleteObjects answers DELETE /cache/objects.
func (s *Server) deleteObjects(w http.ResponseWriter, r *http.Request) {
	f, ok := readBody(w, r)
	if !ok {
		return
	}
	tier, force := f.choice("tier", "l2", "l1", "l2", "all"), f.flag("force", false)
	keys, name, ok := readKeys(w, r, f)
	if !ok {
		return
	}
	tiers := s.o.Engine.Stats().Storage.Tiers
	index, status, why := selectTier(tiers, name, storage.AllTiers)
	if why != "" && (tier == "l2" || status == http.StatusNotFound) {
		answer(w, r, status, detail{why})
		return
	}
	out := deleted{OK: true}
	var err error
	if tier != "l2" {
		err = s.deleteL1(r.Context(), keys, force, &out)
	}
	if err == nil && tier != "l1" && why == "" {
		err = s.deleteL2(r.Context(), keys, index, &out)
	}
	if err != nil {
		answer(w, r, http.StatusServiceUnavailable, detail{err.Error()})
		return
	}
	s.o.Logger.InfoContext(r.Context(), fmt.Sprintf("HTTP: %d objects were deleted from tier %s, %d were in use (%d keys)", out.Deleted, tier, out.Skipped, len(keys)),
		slog.String("tier", tier), slog.Int("keys", len(keys)), slog.Int("deleted", out.Deleted), slog.Int("skipped", out.Skipped), slog.String("peer", r.RemoteAddr))
	answer(w, r, http.StatusOK, out)
}

func (s *Server) deleteL1(ctx context.Context, keys []kv.Key, force bool, out *deleted) error {
	codes, err := s.o.Cache.Delete(ctx, keys, force)
	for _, c := range codes {
		switch c {
		case l1.Success:
			out.Deleted++
		case l1.KeyIsLocked:
			out.Skipped++
		}
	}
	return err
}

// deleteL2 tells of each tier that failed; the others have done their part.
func (s *Server) deleteL2(ctx context.Context, keys []kv.Key, index int, out *deleted) error {
	results, err := s.o.Cache.DeleteL2(ctx, keys, index)
	var failed []string
	for _, res := range results {
		out.Deleted, out.Skipped = out.Deleted+res.Deleted, out.Skipped+res.Skipped
		if res.Err != nil {
			failed = append(failed, res.Name+": "+res.Err.Error())
		}
	}
	if len(failed) > 0 {
		out.OK, out.Error = false, strings.Join(failed, "; ")
	}
	return err
}

// readKeys reads the keys of a body, and the adapter that they are in. If something is
// wrong with the body, the request has been answered.
func readKeys(w http.ResponseWriter, r *http.Request, f *form) (keys []kv.Key, adapter string, ok bool) {
	list := f.list("keys", maxKeys)
	adapter = f.optional("adapter")
	if !f.ok(w, r) {
		return nil, "", false
	}
	keys, err := keysOf(list)
	if err != nil {
		answer(w, r, http.StatusBadRequest, detail{err.Error()})
		return nil, "", false
	}
	return keys, adapter, true
}

// keysOf reads key objects; the error names the first that is none.
func keysOf(list []json.RawMessage) ([]kv.Key, error) {
	keys := make([]kv.Key, len(list))
	for i, raw := range list {
		if !isKind(raw, '{') {
			return nil, fmt.Errorf("keys[%d]: must be a key object", i)
		}
		if err := json.Unmarshal(raw, &keys[i]); err != nil {
			return nil, fmt.Errorf("keys[%d]: %s", i, strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
	return keys, nil
}

// evictKeys answers POST /l2/keys:evict.
func (s *Server) evictKeys(w http.ResponseWriter, r *http.Request) {
	f, ok := readBody(w, r)
	if !ok {
		return
	}
	keys, name, ok := readKeys(w, r, f)
	if !ok {
		return
	}
	tiers := s.o.Engine.Stats().Storage.Tiers
	index, status, why := selectTier(tiers, name, 0)
	if why != "" {
		answer(w, r, status, detail{why})
		return
	}
	out := deleted{OK: true}
	if err := s.deleteL2(r.Context(), keys, index, &out); err != nil {
		answer(w, r, http.StatusServiceUnavailable, detail{err.Error()})
		return
	}
	answer(w, r, http.StatusOK, struct {
		Requested int    `json:"requested"`
		Adapter   string `json:"adapter"`
		OK        bool   `json:"ok"`
		Error     string `json:"error,omitempty"`
	}{len(keys), tiers[index].Type, out.OK, out.Error})
}
