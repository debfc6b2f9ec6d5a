package httpserver

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"github.com/lmcache-go/lmcache"
)

// protocolVersion is the LMCache release whose HTTP interface this follows.
const protocolVersion = "0.5.6"

// handler is everything a request passes through.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	add := func(pattern string, h http.HandlerFunc) { mux.Handle(pattern, deadline(h)) }
	get := func(path string, h http.HandlerFunc) { add("GET "+path, h) }
	get("/{$}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, http.StatusOK, struct {
			Status  string `json:"status"`
			Service string `json:"service"`
		}{"ok", "LMCache HTTP API"})
	})
	get("/healthcheck", s.health)
	get("/status", s.status)
	get("/livez", func(w http.ResponseWriter, r *http.Request) {
		checks := s.loops(s.o.Engine.Stats())
		if s.o.Live != nil {
			checks = append(checks, s.o.Live(r.Context())...)
		}
		probe(w, r, checks)
	})
	get("/readyz", func(w http.ResponseWriter, r *http.Request) {
		probe(w, r, s.readiness(r.Context(), s.o.Engine.Stats()))
	})
	version := s.o.Version
	if s.o.Commit != "" {
		version += "-" + s.o.Commit
	}
	for path, text := range map[string]string{"/version": version, "/lmc_version": protocolVersion, "/commit_id": s.o.Commit} {
		get(path, func(w http.ResponseWriter, r *http.Request) { answer(w, r, http.StatusOK, text) })
	}
	if s.o.Metrics != nil {
		mux.Handle("GET /metrics", deadline(s.o.Metrics))
	}
	if s.o.Level != nil {
		get("/loglevel", s.logLevel)
	}
	get("/config/adapters", s.adapters)
	if s.o.Cache != nil {
		s.cacheRoutes(add)
	}
	if !s.o.NoAliases {
		s.aliases(add)
	}
	return s.logged(s.safely(s.check(route(mux))))
}

// cacheRoutes are those of Options.Cache.
func (s *Server) cacheRoutes(add func(pattern string, h http.HandlerFunc)) {
	add("POST /cache/clear", s.admin(s.clear))
	add("GET /cache/objects", s.listObjects)
	add("DELETE /cache/objects", s.admin(s.deleteObjects))
	add("POST /cache/explain", s.explain)
	add("POST /cache/prefetches", s.admin(s.submitPrefetch))
	add("GET /cache/prefetches/{id}", s.prefetchStatus)
	add("DELETE /cache/prefetches/{id}", s.admin(s.cancelPrefetch))
	add("GET /quota", s.listQuotas)
	add("GET /quota/{salt}", s.getQuota)
	add("PUT /quota/{salt}", s.admin(s.setQuota))
	add("DELETE /quota/{salt}", s.admin(s.deleteQuota))
}

// health says whether the engine can be used.
func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	type health struct {
		Status string `json:"status"`
		Reason string `json:"reason,omitempty"`
	}
	if ok, why := healthy(s.o.Engine.Stats(), time.Now()); !ok {
		answer(w, r, http.StatusServiceUnavailable, health{"unhealthy", why})
		return
	}
	answer(w, r, http.StatusOK, health{Status: "healthy"})
}

// status answers /status.
func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	s.tellStatus(w, r, func(st *status) any { return st })
}

// tellStatus answers with what form makes of the state.
func (s *Server) tellStatus(w http.ResponseWriter, r *http.Request, form func(*status) any) {
	defer func() {
		if v := recover(); v != nil {
			s.panicked(r, v)
			answer(w, r, http.StatusServiceUnavailable, struct {
				Error string `json:"error"`
			}{"the engine's state cannot be read"})
		}
	}()
	stats := s.o.Engine.Stats()
	st := newStatus(stats, time.Now())
	st.Version, st.Ready = s.o.Version, allOK(s.readiness(r.Context(), stats))
	st.Listeners = map[string]string{"http": s.URL()}
	maps.Copy(st.Listeners, s.o.Listeners)
	st.StorageManager.showConfigs(s.o.TierConfigs)
	answerIndented(w, r, http.StatusOK, form(&st))
}

// readiness are the conditions for taking requests.
func (s *Server) readiness(ctx context.Context, stats lmcache.Stats) []Check {
	ok, why := healthy(stats, time.Now())
	server := Check{Name: "server", OK: !s.closing.Load()}
	if !server.OK {
		server.Detail = "closing"
	}
	checks := append([]Check{{Name: "engine", OK: ok, Detail: why}, server}, s.loops(stats)...)
	if s.o.Ready != nil {
		checks = append(checks, s.o.Ready(ctx)...)
	}
	return checks
}

// loops is a check per background loop: none of them stands while it has something
// to do.
func (s *Server) loops(stats lmcache.Stats) (checks []Check) {
	loops := stats.Loops
	if s.o.Loops != nil {
		loops = append(slices.Clip(loops), s.o.Loops()...)
	}
	for _, l := range loops {
		c := Check{Name: "loop " + l.Name, OK: !l.Stale()}
		if !c.OK {
			c.Detail = fmt.Sprintf("has something to do and has not got on for %.0f seconds", l.Stalled.Seconds())
		}
		checks = append(checks, c)
	}
	return checks
}

func allOK(checks []Check) bool {
	return !slices.ContainsFunc(checks, func(c Check) bool { return !c.OK })
}

// probe answers 200 if all checks are good.
func probe(w http.ResponseWriter, r *http.Request, checks []Check) {
	type verdict struct {
		Status string  `json:"status"`
		Checks []Check `json:"checks,omitempty"`
	}
	if !allOK(checks) {
		answer(w, r, http.StatusServiceUnavailable, verdict{"not ready", checks})
		return
	}
	answer(w, r, http.StatusOK, verdict{Status: "ok"})
}

// deadline bounds the time of h. Its answer is held back until it is complete.
func deadline(h http.Handler) http.Handler {
	timed := http.TimeoutHandler(h, handlerTimeout, `{"detail":"the handler took too long"}`)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json") // of the timeout; an answer brings its own
		timed.ServeHTTP(w, r)
	})
}

// route gives the errors of mux the shape of the others.
func route(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		refusal := refusal{header: make(http.Header), status: http.StatusOK}
		h.ServeHTTP(&refusal, r)
		if allow := refusal.header.Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
		}
		answer(w, r, refusal.status, detail{http.StatusText(refusal.status)})
	})
}

// refusal takes down what a handler would answer.
type refusal struct {
	header http.Header
	status int
}

func (f *refusal) Header() http.Header         { return f.header }
func (f *refusal) Write(b []byte) (int, error) { return len(b), nil }
func (f *refusal) WriteHeader(status int)      { f.status = status }

// safely keeps one broken request from the others.
func (s *Server) safely(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch v := recover(); v {
			case nil:
			case http.ErrAbortHandler:
				panic(v)
			default:
				s.panicked(r, v)
				answer(w, r, http.StatusInternalServerError, detail{"internal error"})
			}
		}()
		h.ServeHTTP(w, r)
	})
}

func (s *Server) panicked(r *http.Request, v any) {
	s.o.Logger.ErrorContext(r.Context(), fmt.Sprintf("HTTP %s %s: %v", r.Method, r.URL.Path, v), slog.String("stack", string(debug.Stack())))
}

// logged writes one line per request at DEBUG.
func (s *Server) logged(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.o.Logger.Enabled(r.Context(), slog.LevelDebug) {
			h.ServeHTTP(w, r)
			return
		}
		start := time.Now()
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(seen, r)
		s.o.Logger.DebugContext(r.Context(), fmt.Sprintf("HTTP %s %s %d", r.Method, r.URL.Path, seen.status),
			slog.Duration("took", time.Since(start)), slog.String("peer", r.RemoteAddr))
	})
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader passes the status on.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController find the writer below.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
