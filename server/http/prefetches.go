package httpserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/storage"
)

// submitPrefetch answers POST /cache/prefetches.
func (s *Server) submitPrefetch(w http.ResponseWriter, r *http.Request) {
	f, ok := readBody(w, r)
	if !ok {
		return
	}
	req := lmcache.WarmRequest(readPrompt(f))
	from, to := f.choice("source_tier", "l2", "l1", "l2"), f.choice("target_tier", "l1", "l1", "l2")
	if !f.ok(w, r) {
		return
	}
	if from != "l2" || to != "l1" {
		answer(w, r, http.StatusBadRequest, detail{"from " + from + " to " + to + " nothing can be prefetched, only from l2 to l1"})
		return
	}
	if !named(w, r, req.Model, req.Salt) {
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
		s.o.Logger.InfoContext(r.Context(), fmt.Sprintf("HTTP: a prefetch of %d chunks was submitted: %s", st.Chunks, st.ID), slog.String("request_id", st.ID),
			slog.Int("chunks", st.Chunks), slog.String("peer", r.RemoteAddr))
	}
	answer(w, r, http.StatusAccepted, submitted)
}

// prefetchState is how far a prefetch is.
type prefetchState struct {
	ID     string `json:"request_id"`
	Status string `json:"status"`
}

// prefetchStatus answers GET /cache/prefetches/{id}.
func (s *Server) prefetchStatus(w http.ResponseWriter, r *http.Request) {
	st, ok := s.o.Cache.Warming(r.PathValue("id"))
	if !ok {
		s.noPrefetch(w, r)
		return
	}
	if !st.Done {
		answer(w, r, http.StatusOK, prefetchState{st.ID, "pending"})
		return
	}
	answer(w, r, http.StatusOK, struct {
		prefetchState
		Found int `json:"found_keys"`
		Total int `json:"total_keys"`
	}{prefetchState{st.ID, "completed"}, st.Found, st.Total})
}

// cancelPrefetch answers DELETE /cache/prefetches/{id}.
func (s *Server) cancelPrefetch(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !s.o.Cache.CancelWarming(id) {
		s.noPrefetch(w, r)
		return
	}
	s.o.Logger.InfoContext(r.Context(), "HTTP: a prefetch was cancelled: "+id, slog.String("request_id", id), slog.String("peer", r.RemoteAddr))
	answer(w, r, http.StatusOK, prefetchState{id, "cancelled"})
}

func (s *Server) noPrefetch(w http.ResponseWriter, r *http.Request) {
	answer(w, r, http.StatusNotFound, detail{"there is no prefetch of that request_id, or its result is no longer kept"})
}
