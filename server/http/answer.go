package httpserver

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// minGzip is the size from which an answer is worth compressing.
const minGzip = 1 << 10

// detail is the shape of most errors.
type detail struct {
	Detail string `json:"detail"`
}

// answer writes v as compact JSON.
func answer(w http.ResponseWriter, r *http.Request, status int, v any) { write(w, r, status, v, "") }

// answerIndented writes v as JSON for people.
func answerIndented(w http.ResponseWriter, r *http.Request, status int, v any) {
	write(w, r, status, v, "  ")
}

func write(w http.ResponseWriter, r *http.Request, status int, v any, indent string) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		panic("httpserver: " + err.Error()) // our own types: the recovery answers
	}
	out := bytes.TrimSuffix(body.Bytes(), []byte("\n"))
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Vary", "Accept-Encoding")
	if len(out) >= minGzip && acceptsGzip(r) {
		var packed bytes.Buffer
		zw := gzip.NewWriter(&packed)
		_, _ = zw.Write(out) // a buffer takes everything
		_ = zw.Close()
		h.Set("Content-Encoding", "gzip")
		out = packed.Bytes()
	}
	h.Set("Content-Length", strconv.Itoa(len(out)))
	w.WriteHeader(status)
	_, _ = w.Write(out) // the peer is gone: nobody to tell
}

// acceptsGzip reports whether the client takes gzip, that is, names it with a
// weight above 0.
func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, params, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			continue
		}
		q, ok := strings.CutPrefix(strings.ToLower(strings.ReplaceAll(params, " ", "")), "q=")
		if !ok {
			return true
		}
		weight, err := strconv.ParseFloat(q, 64)
		return err == nil && weight > 0
	}
	return false
}
