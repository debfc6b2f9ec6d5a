package httpserver

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// submitPrefetch answers POST /cache/prefetches.
func (s *Server) submitPrefetch(w http.ResponseWriter, r *http.Request) {
	f, ok := readBody(w, r)
	if !ok {
		return
	}
	req := lmcache.WarmRequest{
		Model: f.required("model_name"), WorldSize: f.whole("world_size", 1, kv.MaxWorldSize),
		Tokens: f.tokens("token_ids"), Salt: f.text("cache_salt", "", false),
	}
	from, to := f.choice("source_tier", "l2", "l1", "l2"), f.choice("target_tier", "l1", "l1", "l2")
	if !f.ok(w, r) {
		return
	}
	if from != "l2" || to != "l1" {
		answer(w, r, http.StatusBadRequest, detail{"from " + from + " to " + to + " nothing can be prefetched, only from l2 to l1"})
		return
	}
	if err := errors.Join(kv.ValidateModel(req.Model), kv.ValidateSalt(req.Salt)); err != nil {
		answer(w, r, http.StatusBadRequest, detail{err.Error()})
		return
	}
	st, err := s.o.Cache.Warm(r.Context(), req)
	switch {
	case errors.Is(err, storage.ErrNoTiers):
		answer(w, r, http.StatusServiceUnavailable, detail{noTier})
		return
	case err != nil:
		answer(w, r, http.StatusServiceUnavailable, detail{err.Error()})
		return
	}
	submitted := struct {
		ID     string `json:"request_id,omitempty"`
		Chunks int    `json:"chunks"`
		Status string `json:"status"`
	}{st.ID, st.Chunks, "submitted"}
	if st.ID == "" {
		submitted.Status = "noop"
	} else {
		s.o.Logger.InfoContext(r.Context(), "HTTP: a prefetch was submitted", slog.String("request_id", st.ID),
			slog.Int("chunks", st.Chunks), slog.String("peer", r.RemoteAddr))
	}
	answer(w, r, http.StatusAccepted, submitted)
}

// prefetchStatus answers GET /cache/prefetches/{id}.
func (s *Server) prefetchStatus(w http.ResponseWriter, r *http.Request) {
	st, ok := s.o.Cache.Warming(r.PathValue("id"))
	if !ok {
		s.noPrefetch(w, r)
		return
	}
	type pending struct {
		ID     string `json:"request_id"`
		Status string `json:"status"`
	}
	if !st.Done {
		answer(w, r, http.StatusOK, pending{st.ID, "pending"})
		return
	}
	answer(w, r, http.StatusOK, struct {
		pending
		Found int `json:"found_keys"`
		Total int `json:"total_keys"`
	}{pending{st.ID, "completed"}, st.Found, st.Total})
}

// cancelPrefetch answers DELETE /cache/prefetches/{id}.
func (s *Server) cancelPrefetch(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !s.o.Cache.CancelWarming(id) {
		s.noPrefetch(w, r)
		return
	}
	s.o.Logger.InfoContext(r.Context(), "HTTP: a prefetch was cancelled", slog.String("request_id", id), slog.String("peer", r.RemoteAddr))
	answer(w, r, http.StatusOK, struct {
		ID     string `json:"request_id"`
		Status string `json:"status"`
	}{id, "cancelled"})
}

func (s *Server) noPrefetch(w http.ResponseWriter, r *http.Request) {
	answer(w, r, http.StatusNotFound, detail{"there is no prefetch of that request_id, or its result is no longer kept"})
}

// tokens is a list of token ids that must be there.
func (f *form) tokens(name string) (v []int32) {
	raw, given := f.raw(name, false)
	switch {
	case !given:
		f.refuse("missing", name, "is required")
	case !isKind(raw, '[') || json.Unmarshal(raw, &v) != nil:
		f.refuse("list_type", name, "must be a list of whole numbers from 0 to 2147483647")
		return nil
	}
	for _, t := range v {
		if t < 0 {
			f.refuse("greater_than_equal", name, "must be a list of whole numbers from 0 to 2147483647")
			return nil
		}
	}
	return v
}

// whole is a whole number that must be there.
func (f *form) whole(name string, least, most int) (v int) {
	raw, given := f.raw(name, false)
	switch {
	case !given:
		f.refuse("missing", name, "is required")
	case string(raw) == "null" || json.Unmarshal(raw, &v) != nil:
		f.refuse("int_type", name, "must be a whole number")
	default:
		f.within(name, v, least, most)
	}
	return v
}
