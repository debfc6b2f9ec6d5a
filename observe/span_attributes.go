package observe

import (
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/lmcache-go/lmcache"
)

// Attributes of spans carry the wire names of the events' fields, each in the type
// of its field.

// textAttribute is an attribute that is valid UTF-8, as the exporters need it: one hostile
// id must not cost a batch of spans.
func textAttribute(key, value string) attribute.KeyValue {
	return attribute.String(key, strings.ToValidUTF8(value, "\uFFFD"))
}

func storeStartAttributes(e *lmcache.StoreStarted) []attribute.KeyValue {
	return operation(e.Device, e.EngineID, e.Model, e.OpID)
}

func retrieveStartAttributes(e *lmcache.RetrieveStarted) []attribute.KeyValue {
	return operation(e.Device, e.EngineID, e.Model, e.OpID)
}

func operation(device, engine, model, op string) []attribute.KeyValue {
	return []attribute.KeyValue{textAttribute("device", device), textAttribute("engine_id", engine), textAttribute("model_name", model), textAttribute("op_id", op)}
}

func storeEndAttributes(e *lmcache.StoreEnded) []attribute.KeyValue {
	return append(operation(e.Device, e.EngineID, e.Model, e.OpID),
		attribute.Int("stored_count", e.StoredCount), attribute.Int64("total_bytes", e.TotalBytes),
		attribute.Int("num_tokens", e.NumTokens), attribute.Bool("success", e.Success))
}

func retrieveEndAttributes(e *lmcache.RetrieveEnded) []attribute.KeyValue {
	return append(operation(e.Device, e.EngineID, e.Model, e.OpID), textAttribute("cache_salt", e.Salt),
		attribute.Int("retrieved_count", e.RetrievedCount), attribute.Int64("total_bytes", e.TotalBytes),
		attribute.Int("num_tokens", e.NumTokens), attribute.Bool("success", e.Success))
}

func lookupEndAttributes(e *lmcache.LookupEnded) []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		attribute.Int("found_count", e.FoundCount),
		attribute.Int("requested_tokens", e.RequestedTokens), attribute.Int("hit_tokens", e.HitTokens),
		attribute.Int("l1_hit_tokens", e.L1HitTokens), attribute.Int("l2_hit_tokens", e.L2HitTokens),
		textAttribute("model_name", e.Model), textAttribute("cache_salt", e.Salt), textAttribute("early_exit_reason", e.EarlyExitReason),
	}
	if !e.ResolvedAt.IsZero() {
		attrs = append(attrs, textAttribute("resolved_at", e.ResolvedAt.UTC().Format(time.RFC3339Nano)))
	}
	misses := len(attrs)
	for reason, n := range e.Misses.Map() {
		attrs = append(attrs, attribute.Int("miss_reasons."+reason, n))
	}
	slices.SortFunc(attrs[misses:], func(a, b attribute.KeyValue) int { return strings.Compare(string(a.Key), string(b.Key)) })
	return attrs
}

// hitAttributes are those of a root: hit_rate is hit over requested tokens, 0 if
// none were requested.
func hitAttributes(hit, requested int) []attribute.KeyValue {
	var rate float64
	if requested > 0 {
		rate = float64(hit) / float64(requested)
	}
	return []attribute.KeyValue{attribute.Int("hit_tokens", hit), attribute.Int("requested_tokens", requested), attribute.Float64("hit_rate", rate)}
}

// tierAttributes are further ones of "request".
func tierAttributes(e *lmcache.LookupEnded) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.Int("l1_hit_tokens", e.L1HitTokens), attribute.Int("l2_hit_tokens", e.L2HitTokens), textAttribute("early_exit_reason", e.EarlyExitReason),
	}
}
