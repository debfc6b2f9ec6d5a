package convert

import (
	"bufio"
	"errors"
	"io"
	"iter"
	"math"
	"slices"
	"strconv"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

const lookupName = storage.NamePrefix + storage.CallSubmitPrefetch

// chunk is what an id stands for, in all ranks and groups.
type chunk struct {
	hash        kv.Hash
	model, salt string
}

// ToRequests writes the lookups of a recording as JSON lines. A chunk has chunkTokens
// tokens (512). Damage goes to warn, if it is not nil.
func ToRequests(w io.Writer, records iter.Seq2[trace.Record, error], chunkTokens int, warn func(*trace.DamageError)) (Result, error) {
	if chunkTokens == 0 {
		chunkTokens = DefaultChunkTokens
	}
	l := &lines{w: bufio.NewWriter(w), tokens: chunkTokens, ids: make(map[chunk]int64)}
	for rec, err := range records {
		var damage *trace.DamageError
		if err == nil {
			err = l.record(&rec)
		}
		switch {
		case errors.As(err, &damage):
			if warn != nil {
				warn(damage)
			}
		case err != nil:
			return l.res, err
		}
	}
	return l.res, l.w.Flush()
}

// lines writes JSON lines.
type lines struct {
	w      *bufio.Writer
	tokens int
	ids    map[chunk]int64
	res    Result
	mono   float64
	b      []byte
	group  uint16  // whose lookups are lines: that of the first one
	id     string  // request of the last line
	last   []int64 // its ids
	list   []int64
}

func (l *lines) record(rec *trace.Record) error {
	l.mono = max(l.mono, rec.Mono)
	if !rec.Own() {
		l.res.Calls++
	}
	if rec.Name != lookupName {
		return nil
	}
	c, err := rec.Call()
	if err != nil {
		return &trace.DamageError{Text: "skipping " + rec.Name + ": " + err.Error()}
	}
	keys := c.Keys
	if c.Rows != nil {
		keys = c.Rows[0].Keys
	}
	if l.res.Requests+l.res.Skipped == 0 && len(keys) > 0 {
		l.group = keys[0].Group
	}
	l.list = l.list[:0]
	for i := range keys {
		k := chunk{keys[i].Hash, keys[i].Model, keys[i].Salt}
		if i > 0 && k.hash == keys[i-1].Hash {
			continue // another rank
		}
		id, known := l.ids[k]
		if !known {
			id = int64(len(l.ids))
			l.ids[k] = id
		}
		l.list = append(l.list, id)
	}
	again := c.RequestID != "" && c.RequestID == l.id && slices.Equal(l.list, l.last)
	if len(l.list) == 0 || again || keys[0].Group != l.group {
		l.res.Skipped++
		return nil
	}
	l.id, l.last = c.RequestID, append(l.last[:0], l.list...)
	return l.line()
}

// line writes the line of the ids in list.
func (l *lines) line() error {
	ms := math.Round(min(max(l.mono, 0), math.MaxInt64/2e6) * 1000)
	b := strconv.AppendInt(append(l.b[:0], `{"timestamp": `...), int64(ms), 10)
	b = strconv.AppendInt(append(b, `, "input_length": `...), int64(len(l.list)*l.tokens), 10)
	b = append(b, `, "output_length": 0, "hash_ids": [`...)
	for i, id := range l.list {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = strconv.AppendInt(b, id, 10)
	}
	l.b = append(b, "]}\n"...)
	l.res.Requests++
	l.res.Chunks += int64(len(l.list))
	_, err := l.w.Write(l.b)
	return err
}
