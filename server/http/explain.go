package httpserver

import (
	"errors"
	"net/http"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// explainedChunk is one chunk of the answer of /cache/explain.
type explainedChunk struct {
	Index  int     `json:"index"`
	Hash   kv.Hash `json:"hash"`
	Tier   string  `json:"tier"`
	Reason string  `json:"reason"`
}

// explain answers POST /cache/explain.
func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	f, ok := readBody(w, r)
	if !ok {
		return
	}
	req := readPrompt(f)
	if !f.ok(w, r) || !named(w, r, req.Model, req.Salt) {
		return
	}
	e, err := s.o.Cache.Explain(r.Context(), req)
	if err != nil {
		answer(w, r, http.StatusServiceUnavailable, detail{err.Error()})
		return
	}
	chunks := make([]explainedChunk, len(e.Chunks))
	for i, c := range e.Chunks {
		chunks[i] = explainedChunk{i, c.Hash, c.Place.String(), c.Miss.String()}
	}
	answer(w, r, http.StatusOK, struct {
		Chunks []explainedChunk `json:"chunks"`
		Prefix int              `json:"prefix_chunks"`
		Tokens int              `json:"prefix_tokens"`
	}{chunks, e.Prefix, e.Tokens})
}

// readPrompt reads the values that name a prompt.
func readPrompt(f *form) lmcache.ExplainRequest {
	return lmcache.ExplainRequest{
		Model: f.required("model_name"), WorldSize: f.whole("world_size", 1, kv.MaxWorldSize),
		Tokens: f.tokens("token_ids"), Salt: f.text("cache_salt", "", false),
	}
}

// named reports whether a model and a salt can be part of keys; if not, the request is
// answered.
func named(w http.ResponseWriter, r *http.Request, model, salt string) bool {
	err := errors.Join(kv.ValidateModel(model), kv.ValidateSalt(salt))
	if err != nil {
		answer(w, r, http.StatusBadRequest, detail{err.Error()})
	}
	return err == nil
}
