package replay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Difference is how far the outcomes of two replays of one recording, A and B, are equal.
// In its divergences A is what was recorded.
type Difference struct {
	Comparison
	A, B SideTotals
}

// SideTotals are of one of the two.
type SideTotals struct {
	Lines  int64 // records
	Hits   int64 // keys found by lookups: their prefixes
	Unmet  int64 // outcomes of calls without one on the other side
	Failed int64 // calls

	ChunkTokens int64 // tokens of a chunk, if its lines say so; else 0
}

// maxLine is the longest line that is read; lines with keys can be long.
const maxLine = 64 << 20

// Diff compares the lines of two replays (AppendLine). Names are those of the inputs in
// messages. An input that has no such lines or one that is cut, and inputs of different
// recordings, are errors; one that ends early is not. It needs memory for the calls only
// whose outcomes one side has earlier than the other, and for the last eviction of each
// key, if the lines tell of evictions.
func Diff(a, b io.Reader, nameA, nameB string, tell func(Divergence)) (*Difference, error) {
	d := &Difference{}
	c := newComparison(&d.Comparison)
	c.first.name, c.second.name, c.diverged = "A", "B", tell
	x := &differ{
		c: c, calls: make(map[int64]about),
		a: &lineReader{r: bufio.NewReaderSize(a, 1<<16), name: nameA, totals: &d.A},
		b: &lineReader{r: bufio.NewReaderSize(b, 1<<16), name: nameB, totals: &d.B},
	}
	for {
		moreA, err := x.a.next()
		if err != nil {
			return nil, err
		}
		moreB, err := x.b.next()
		if err != nil {
			return nil, err
		}
		if moreA && moreB {
			if err := x.same(); err != nil {
				return nil, err
			}
		}
		x.take(moreA, moreB)
		if !moreA && !moreB {
			break
		}
	}
	for _, r := range []*lineReader{x.a, x.b} {
		if r.totals.Lines == 0 {
			return nil, fmt.Errorf("%s: no lines of a replay are in it", r.name)
		}
	}
	d.A.Unmet, d.B.Unmet = c.first.without(&c.second), c.second.without(&c.first)
	d.Unmet = d.A.Unmet
	return d, nil
}

// differ reads both sides line by line.
type differ struct {
	c     *comparison
	a, b  *lineReader
	calls map[int64]about // by number: those whose outcomes are not all there
}

// same reports that the lines of both sides are not of one record.
func (x *differ) same() error {
	a, b := &x.a.line, &x.b.line
	if a.N == b.N && a.Name == b.Name && a.Mono == b.Mono {
		return nil
	}
	return fmt.Errorf("%s and %s are not of one recording, or not of the same part: line %d is call %d (%s at %.6f s) in the one and call %d (%s at %.6f s) in the other",
		x.a.name, x.b.name, x.a.totals.Lines, a.N, shortName(a.Name), a.Mono, b.N, shortName(b.Name), b.Mono)
}

func shortName(qualname string) string { return strings.TrimPrefix(qualname, storage.NamePrefix) }

// take takes the lines that were just read.
func (x *differ) take(moreA, moreB bool) {
	if moreA {
		for _, e := range x.a.line.Evicted {
			x.c.first.left.add([]kv.Key{e.Key}, eviction{e.At, e.Cause, e.Owner})
		}
		for i := range x.a.line.Outcomes {
			o := &x.a.line.Outcomes[i].Outcome
			x.a.totals.Hits += o.Hits
			x.c.took(o)
		}
	}
	if !moreB {
		return
	}
	l := &x.b.line
	if !l.Skipped {
		x.calls[l.N] = about{n: l.N, recorded: true, name: shortName(l.Name), mono: l.Mono, keys: l.Keys}
	}
	for _, e := range l.Evicted {
		x.c.second.left.add([]kv.Key{e.Key}, eviction{e.At, e.Cause, e.Owner})
	}
	for i := range l.Outcomes {
		o := &l.Outcomes[i].Outcome
		x.b.totals.Hits += o.Hits
		of, known := x.calls[o.N]
		if !known {
			of = about{n: o.N, recorded: true} // of the extended format
		}
		if of.name != storage.CallSubmitPrefetch || o.Resolved {
			delete(x.calls, o.N)
		}
		x.c.made(of, o)
	}
}

// lineReader reads the lines of one side.
type lineReader struct {
	r      *bufio.Reader
	name   string
	line   Line
	totals *SideTotals
	buf    []byte
	ended  bool
}

// next reads a line; false at the end.
func (r *lineReader) next() (bool, error) {
	for !r.ended {
		data, err := r.read()
		if err != nil {
			return false, err
		}
		if len(bytes.TrimSpace(data)) == 0 {
			continue
		}
		l, err := ParseLine(data)
		if err != nil && r.ended && r.totals.Lines > 0 {
			return false, fmt.Errorf("%s: line %d is cut at the end of the file: the replay that wrote it did not end", r.name, r.totals.Lines+1)
		}
		if err != nil {
			return false, fmt.Errorf("%s: line %d is not a line of a replay: %w", r.name, r.totals.Lines+1, err)
		}
		r.line = l
		r.totals.Lines++
		if l.ChunkTokens > 0 {
			r.totals.ChunkTokens = l.ChunkTokens
		}
		if l.Failed {
			r.totals.Failed++
		}
		return true, nil
	}
	return false, nil
}

// read reads up to the end of a line.
func (r *lineReader) read() ([]byte, error) {
	r.buf = r.buf[:0]
	for {
		part, err := r.r.ReadSlice('\n')
		r.buf = append(r.buf, part...)
		switch {
		case err == nil:
			return r.buf, nil
		case errors.Is(err, io.EOF):
			r.ended = true
			return r.buf, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("%s: %w", r.name, err)
		case len(r.buf) > maxLine:
			return nil, fmt.Errorf("%s: line %d is longer than %d bytes", r.name, r.totals.Lines+1, maxLine)
		}
	}
}
