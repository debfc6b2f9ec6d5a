package httpserver

import (
	"net/http"
)

// aliases are the paths of older versions, each answered like its successor.
func (s *Server) aliases(add func(pattern string, h http.HandlerFunc)) {
	old := func(pattern, successor string, h http.HandlerFunc) {
		add(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Deprecation", "true")
			w.Header().Set("Link", "<"+successor+`>; rel="successor-version"`)
			h(w, r)
		})
	}
	old("GET /api/healthcheck", "/healthcheck", s.health)
	old("GET /api/status", "/status", s.oldStatus)
	if s.o.Cache == nil {
		return
	}
	old("POST /clear-cache", "/cache/clear", s.admin(s.clearForced))
	old("POST /api/clear-cache", "/cache/clear", s.admin(s.clearForced))
	old("GET /l2/keys", "/cache/objects", s.listObjects)
	old("POST /l2/keys:evict", "/cache/objects", s.admin(s.evictKeys))
}

// oldStatus is /status with the name that contexts of devices had.
func (s *Server) oldStatus(w http.ResponseWriter, r *http.Request) {
	s.tellStatus(w, r, func(st *status) any {
		return struct {
			*status
			OldMeta map[string]contextMeta `json:"gpu_context_meta"`
		}{st, st.ContextMeta}
	})
}
