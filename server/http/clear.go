package httpserver

import (
	"fmt"
	"log/slog"
	"net/http"
)

// clear answers POST /cache/clear.
func (s *Server) clear(w http.ResponseWriter, r *http.Request) {
	f, ok := readBody(w, r)
	if !ok {
		return
	}
	tier, force := f.choice("tier", "l1", "l1", "l2", "all"), f.flag("force", false)
	if !f.ok(w, r) {
		return
	}
	if tier != "l1" {
		answer(w, r, http.StatusBadRequest, detail{"tier " + tier + " cannot be cleared, only l1; DELETE /cache/objects removes objects of l2 by key"})
		return
	}
	if err := s.clearL1(r, force); err != nil {
		answer(w, r, http.StatusServiceUnavailable, detail{err.Error()})
		return
	}
	type cleared struct {
		Tier string `json:"tier"`
	}
	answer(w, r, http.StatusOK, struct {
		Status  string  `json:"status"`
		Cleared cleared `json:"cleared"`
	}{"ok", cleared{tier}})
}

// clearForced answers the paths of older versions, which cleared all there was.
func (s *Server) clearForced(w http.ResponseWriter, r *http.Request) {
	if _, ok := readAll(w, r); !ok {
		return
	}
	type result struct {
		Status string `json:"status"`
		Reason string `json:"reason,omitempty"`
	}
	if err := s.clearL1(r, true); err != nil {
		answer(w, r, http.StatusServiceUnavailable, result{"error", err.Error()})
		return
	}
	answer(w, r, http.StatusOK, result{Status: "ok"})
}

func (s *Server) clearL1(r *http.Request, force bool) error {
	n, err := s.o.Cache.Clear(r.Context(), force)
	if err == nil {
		s.o.Logger.InfoContext(r.Context(), fmt.Sprintf("HTTP: L1 was cleared of %d objects (force=%t)", n, force), slog.Int("objects", n), slog.Bool("force", force), slog.String("peer", r.RemoteAddr))
	}
	return err
}
