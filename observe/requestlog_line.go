package observe

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/lmcache-go/lmcache"
)

// requestLine is one line of the request log, in the order of its fields.
type requestLine struct {
	Time            string         `json:"ts"` // RFC 3339, UTC, microseconds
	SessionID       string         `json:"session_id"`
	Model           string         `json:"model_name"`
	Salt            string         `json:"cache_salt"`
	RequestedTokens int            `json:"requested_tokens"`
	HitTokens       int            `json:"hit_tokens"`
	L1HitTokens     int            `json:"l1_hit_tokens"`
	L2HitTokens     int            `json:"l2_hit_tokens"`
	HitRate         *float64       `json:"hit_rate,omitempty"` // absent if nothing was looked up
	RetrievedChunks int            `json:"retrieved_chunks"`
	StoredChunks    int            `json:"stored_chunks"`
	BytesIn         int64          `json:"bytes_in"`
	BytesOut        int64          `json:"bytes_out"`
	LookupMS        float64        `json:"lookup_ms"`
	PrefetchWaitMS  float64        `json:"prefetch_wait_ms"`
	RetrieveMS      float64        `json:"retrieve_ms"`
	StoreMS         float64        `json:"store_ms"`
	EarlyExitReason string         `json:"early_exit_reason"`
	MissReasons     map[string]int `json:"miss_reasons,omitempty"` // reason: chunks
	Outcome         string         `json:"outcome"`
	TraceID         string         `json:"trace_id"`
	EvictedKeys     int            `json:"evicted_keys"`
}

const (
	requestTime      = "2006-01-02T15:04:05.000000Z07:00"
	outcomeStoreOnly = "store_only" // of lmcache.RequestReceipt
)

// writeLine appends one line. Whatever the texts hold, it is one JSON object in one line:
// bytes that are not UTF-8 become U+FFFD.
func writeLine(to *bytes.Buffer, e *lmcache.RequestReceipt, at time.Time, s remembered) {
	line := requestLine{
		Time: at.UTC().Format(requestTime), SessionID: e.SessionID, Model: e.Model, Salt: e.Salt,
		RequestedTokens: e.RequestedTokens, HitTokens: e.HitTokens, L1HitTokens: e.L1HitTokens, L2HitTokens: e.L2HitTokens,
		RetrievedChunks: e.RetrievedChunks, StoredChunks: e.StoredChunks, BytesIn: e.BytesIn, BytesOut: e.BytesOut,
		LookupMS: milliseconds(e.LookupTime), PrefetchWaitMS: milliseconds(e.PrefetchWait),
		RetrieveMS: milliseconds(e.RetrieveTime), StoreMS: milliseconds(e.StoreTime),
		EarlyExitReason: e.EarlyExitReason, MissReasons: e.Misses.Map(), Outcome: e.Outcome,
		TraceID: s.traceID, EvictedKeys: s.evicted,
	}
	if e.Outcome != outcomeStoreOnly {
		rate := float64(e.HitTokens) / float64(max(e.RequestedTokens, 1))
		line.HitRate = &rate
	}
	enc := json.NewEncoder(to)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&line); err != nil {
		panic("observe: request log: " + err.Error()) // texts and finite numbers can be encoded
	}
}

// milliseconds is d to the microsecond.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// traceIDOf is the trace id in a W3C traceparent, or empty if it is none.
func traceIDOf(traceparent string) string {
	const id, flags = 3, 55 // offsets of the trace id and of what follows the flags
	if len(traceparent) < flags || traceparent[2] != '-' || traceparent[35] != '-' || traceparent[52] != '-' {
		return ""
	}
	switch version := traceparent[:2]; {
	case version == "ff" || !lowerHex(version):
		return ""
	case len(traceparent) > flags && (version == "00" || traceparent[flags] != '-'):
		return ""
	}
	trace := traceparent[id : id+32]
	if !lowerHex(trace) || trace == "00000000000000000000000000000000" ||
		!lowerHex(traceparent[36:52]) || !lowerHex(traceparent[53:flags]) {
		return ""
	}
	return trace
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
