package replay

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

// jsonLine is a Line as JSON: the keys of LMCache's replay, then this project's.
type jsonLine struct {
	Name     *string        `json:"qualname"`
	Latency  float64        `json:"latency_ms"`
	Failed   bool           `json:"failed"`
	Mono     *float64       `json:"t_mono"`
	Skipped  bool           `json:"skipped"`
	Diverged *bool          `json:"diverged,omitempty"`
	N        *int64         `json:"n"`
	Outcomes jsonOutcomes   `json:"o,omitempty"`
	Keys     []string       `json:"keys,omitempty"`
	Evicted  []jsonEviction `json:"evicted,omitempty"`
	Chunk    int64          `json:"chunk_size,omitempty"`
}

// jsonOutcomes is a list of outcomes; that of what is read has no names.
type jsonOutcomes []CallOutcome

// MarshalJSON implements json.Marshaler.
func (l jsonOutcomes) MarshalJSON() ([]byte, error) {
	b := []byte{'['}
	for i := range l {
		if i > 0 {
			b = append(b, ',')
		}
		b = l[i].AppendJSON(b, l[i].Name)
	}
	return append(b, ']'), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *jsonOutcomes) UnmarshalJSON(data []byte) error {
	var list []trace.Outcome
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	for _, o := range list {
		*l = append(*l, CallOutcome{Outcome: o})
	}
	return nil
}

type jsonEviction struct {
	Key   string  `json:"key"`
	At    float64 `json:"t"` // seconds of the recording
	Cause string  `json:"cause"`
	Owner string  `json:"owner,omitempty"`
}

// AppendLine appends a line as a JSON object, without a line break. Latencies are in
// milliseconds, outcomes in the form of trace.Outcome. withKeys adds the keys of the call
// and what left L1, with which Diff can name them.
func AppendLine(b []byte, l *Line, withKeys bool) ([]byte, error) {
	v := jsonLine{
		Name: &l.Name, Latency: float64(l.Latency) / float64(time.Millisecond), Failed: l.Failed, Mono: &l.Mono, Skipped: l.Skipped,
		N: &l.N, Outcomes: l.Outcomes, Chunk: l.ChunkTokens,
	}
	if l.Compared {
		v.Diverged = &l.Diverged
	}
	if withKeys {
		for _, k := range l.Keys {
			v.Keys = append(v.Keys, k.String())
		}
		for _, e := range l.Evicted {
			v.Evicted = append(v.Evicted, jsonEviction{Key: e.Key.String(), At: e.At, Cause: e.Cause, Owner: e.Owner})
		}
	}
	data, err := json.Marshal(v)
	return append(b, data...), err
}

// ParseLine reads what AppendLine writes; the names of outcomes are not in it. Index,
// which is the place in the file, is 0. Unknown keys are ignored.
func ParseLine(data []byte) (l Line, err error) {
	var v jsonLine
	if err := json.Unmarshal(data, &v); err != nil {
		return l, err
	}
	if v.Name == nil || v.Mono == nil {
		return l, errors.New("qualname or t_mono is missing")
	}
	if v.N == nil {
		return l, errors.New("n is missing: another version has written it")
	}
	if *v.N < 0 {
		return l, errors.New("n: must not be negative, got " + strconv.FormatInt(*v.N, 10))
	}
	if v.Chunk < 0 {
		return l, errors.New("chunk_size: must not be negative, got " + strconv.FormatInt(v.Chunk, 10))
	}
	l = Line{
		Name: *v.Name, Latency: time.Duration(math.Round(v.Latency * float64(time.Millisecond))), Failed: v.Failed, Skipped: v.Skipped, Mono: *v.Mono,
		N: *v.N, Outcomes: v.Outcomes, ChunkTokens: v.Chunk,
	}
	if v.Diverged != nil {
		l.Compared, l.Diverged = true, *v.Diverged
	}
	for _, text := range v.Keys {
		k, err := kv.ParseKey(text)
		if err != nil {
			return l, err
		}
		l.Keys = append(l.Keys, k)
	}
	for _, e := range v.Evicted {
		k, err := kv.ParseKey(e.Key)
		if err != nil {
			return l, err
		}
		l.Evicted = append(l.Evicted, Eviction{Key: k, At: e.At, Cause: e.Cause, Owner: e.Owner})
	}
	return l, nil
}
