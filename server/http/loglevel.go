package httpserver

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/lmcache-go/lmcache/internal/loglevel"
)

// logger is the only one there is.
const logger = "lmcache"

// logLevel answers /loglevel: without a level it tells it, with one it sets it.
func (s *Server) logLevel(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	name, level := q.Get("logger_name"), q.Get("level")
	switch {
	case name != "" && name != logger:
		answer(w, r, http.StatusNotFound, detail{fmt.Sprintf("there is no logger %q: the only one is %s", name, logger)})
	case level != "":
		s.setLogLevel(w, r, level)
	case name == "":
		text(w, http.StatusOK, "=== Loggers and Levels ===\n"+logger+": "+loglevel.Name(s.o.Level.Level())+"\n")
	default:
		text(w, http.StatusOK, logger+": "+loglevel.Name(s.o.Level.Level()))
	}
}

// setLogLevel is for administrators.
func (s *Server) setLogLevel(w http.ResponseWriter, r *http.Request, name string) {
	if !s.administers(w, r) {
		return
	}
	level, ok := loglevel.Parse(name)
	if !ok {
		text(w, http.StatusBadRequest, "Invalid log level: "+name)
		return
	}
	s.o.Level.Set(level)
	if s.o.LevelChanged != nil {
		s.o.LevelChanged()
	}
	text(w, http.StatusOK, "Set "+logger+" level to "+strings.ToUpper(name)+" (including all handlers)")
}

// text answers in plain text, which no browser takes for anything else.
func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) //nolint:gosec // plain text, not to be sniffed; and if the peer is gone there is nobody to tell
}
