package httpserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"sync"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// defaultSalt stands for the empty salt in paths and answers.
const defaultSalt = "_default"

func saltOf(path string) string {
	if path == defaultSalt {
		return ""
	}
	return path
}

func pathOf(salt string) string {
	if salt == "" {
		return defaultSalt
	}
	return salt
}

// notedQuotas are the limits of an engine that tells no tenants apart. LMCache keeps
// those too; nobody enforces them.
type notedQuotas struct {
	mu    sync.Mutex
	bytes map[string]int64
}

// set takes a limit down and reports whether there was room for it.
func (n *notedQuotas) set(salt string, bytes int64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.bytes[salt]; !known && len(n.bytes) >= l1.MaxQuotas {
		return false
	}
	if n.bytes == nil {
		n.bytes = make(map[string]int64)
	}
	n.bytes[salt] = bytes
	return true
}

func (n *notedQuotas) remove(salt string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, known := n.bytes[salt]
	delete(n.bytes, salt)
	return known
}

// limits are all quotas by salt.
func (s *Server) limits() map[string]int64 {
	s.noted.mu.Lock()
	all := maps.Clone(s.noted.bytes)
	s.noted.mu.Unlock()
	if all == nil {
		all = make(map[string]int64)
	}
	for _, q := range s.o.Cache.Quotas() {
		all[q.Salt] = q.Bytes
	}
	return all
}

// used is what each salt uses, in L1 or in the outer tier where it uses most: a limit
// holds in each of them by itself.
func used(s *lmcache.Stats) map[string]int64 {
	most := maps.Clone(s.Storage.L1.BytesBySalt)
	if most == nil {
		most = make(map[string]int64)
	}
	for i := range s.Storage.Tiers {
		for salt, n := range s.Storage.Tiers[i].BytesBySalt {
			most[salt] = max(most[salt], n)
		}
	}
	return most
}

// quotaOf is a quota in an answer.
type quotaOf struct {
	Limit decimal `json:"limit_gb"`
	Usage decimal `json:"current_usage_gb"`
}

// listQuotas answers GET /quota.
func (s *Server) listQuotas(w http.ResponseWriter, r *http.Request) {
	stats := s.o.Engine.Stats()
	if unavailable(w, r, &stats) {
		return
	}
	usage := used(&stats)
	users := make(map[string]quotaOf)
	for salt, bytes := range s.limits() {
		users[pathOf(salt)] = quotaOf{inGB(bytes), inGB(usage[salt])}
	}
	answer(w, r, http.StatusOK, struct {
		Users map[string]quotaOf `json:"users"`
	}{users})
}

// getQuota answers GET /quota/{salt}. A salt that nobody knows has no limit and uses
// nothing.
func (s *Server) getQuota(w http.ResponseWriter, r *http.Request) {
	stats := s.o.Engine.Stats()
	if unavailable(w, r, &stats) {
		return
	}
	salt := saltOf(r.PathValue("salt"))
	bytes, exists := s.limits()[salt]
	answer(w, r, http.StatusOK, struct {
		Salt string `json:"cache_salt"`
		quotaOf
		Exists bool `json:"exists"`
	}{pathOf(salt), quotaOf{inGB(bytes), inGB(used(&stats)[salt])}, exists})
}

// setQuota answers PUT /quota/{salt}.
func (s *Server) setQuota(w http.ResponseWriter, r *http.Request) {
	salt := saltOf(r.PathValue("salt"))
	data, ok := readAll(w, r)
	if !ok {
		return
	}
	gb, err := quotaGB(data)
	bytes := int64(math.Round(gb * gib))
	if err == nil {
		err = kv.ValidateSalt(salt)
	}
	if err != nil {
		answer(w, r, http.StatusBadRequest, failure{err.Error()})
		return
	}
	switch err := s.o.Cache.SetQuota(salt, bytes); {
	case errors.Is(err, lmcache.ErrClosed):
		answer(w, r, http.StatusServiceUnavailable, failure{"the engine is closed"})
		return
	case errors.Is(err, l1.ErrQuotaUnsupported):
		if !s.noted.set(salt, bytes) {
			answer(w, r, http.StatusBadRequest, failure{fmt.Sprintf("%d salts have a quota, which is the limit", l1.MaxQuotas)})
			return
		}
		const why = "the quota is noted and has no effect: the eviction policy does not tell tenants apart (--eviction-policy IsolatedLRU)"
		w.Header().Set("Warning", `199 lmcache "`+why+`"`)
		s.o.Logger.WarnContext(r.Context(), "HTTP: "+why, slog.String("peer", r.RemoteAddr))
	case err != nil:
		answer(w, r, http.StatusBadRequest, failure{err.Error()})
		return
	default:
		s.o.Logger.InfoContext(r.Context(), fmt.Sprintf("HTTP: the quota of a tenant was set to %d bytes", bytes), slog.Int64("bytes", bytes), slog.String("peer", r.RemoteAddr))
	}
	answer(w, r, http.StatusOK, struct {
		Salt   string  `json:"cache_salt"`
		Limit  decimal `json:"limit_gb"`
		Status string  `json:"status"`
	}{pathOf(salt), decimal(gb), "ok"})
}

// quotaGB reads the body {"limit_gb": …}.
func quotaGB(data []byte) (float64, error) {
	var body struct {
		Limit json.RawMessage `json:"limit_gb"`
	}
	if err := json.Unmarshal(data, &body); err != nil {
		return 0, errors.New("the body must be a JSON object with limit_gb")
	}
	if len(body.Limit) == 0 {
		return 0, errors.New("limit_gb is missing")
	}
	var gb float64
	if err := json.Unmarshal(body.Limit, &gb); err != nil || string(body.Limit) == "null" {
		return 0, errors.New("limit_gb must be a finite number")
	}
	if gb < 0 {
		return 0, fmt.Errorf("limit_gb must not be negative, got %v", gb)
	}
	if gb > math.MaxInt64/gib/2 {
		return 0, fmt.Errorf("limit_gb must be at most %d, got %v", int64(math.MaxInt64/gib/2), gb)
	}
	return gb, nil
}

// deleteQuota answers DELETE /quota/{salt}.
func (s *Server) deleteQuota(w http.ResponseWriter, r *http.Request) {
	stats := s.o.Engine.Stats()
	if unavailable(w, r, &stats) {
		return
	}
	salt := saltOf(r.PathValue("salt"))
	status := "not_found"
	noted := s.noted.remove(salt)
	if s.o.Cache.DeleteQuota(salt) || noted {
		status = "removed"
		s.o.Logger.InfoContext(r.Context(), "HTTP: the quota of a tenant was removed", slog.String("peer", r.RemoteAddr))
	}
	answer(w, r, http.StatusOK, struct {
		Salt   string `json:"cache_salt"`
		Status string `json:"status"`
	}{pathOf(salt), status})
}

// failure is the shape of errors of routes that have always told them so.
type failure struct {
	Error string `json:"error"`
}

// unavailable answers a request that needs an engine that has been closed.
func unavailable(w http.ResponseWriter, r *http.Request, s *lmcache.Stats) bool {
	if s.Closed || s.Storage.Closed {
		answer(w, r, http.StatusServiceUnavailable, failure{"the engine is closed"})
		return true
	}
	return false
}
