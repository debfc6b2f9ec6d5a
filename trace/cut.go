package trace

import (
	"errors"
	"fmt"
	"io"

	"github.com/tinylib/msgp/msgp"

	"github.com/lmcache-go/lmcache/storage"
)

// CutOptions configures Cut.
type CutOptions struct {
	From float64            // seconds of the recording
	To   float64            // seconds of the recording, itself not included; 0: to the end
	Name string             // name and version of the program, for the header of the extended format ("lmcache-go")
	Warn func(*DamageError) // hears what is wrong with the recording; nil: nobody does
}

// CutResult says what a cut holds.
type CutResult struct {
	Calls    int64 // that were copied
	Orphans  int64 // calls in the range that were left out, as they use leases from before it
	Gaps     int64 // marks of losses in the range
	Lost     int64 // calls that these tell of
	Extended bool
	Seconds  float64 // offset of the last call in the cut
}

// Cut writes the calls of a part of a recording, as a recording of its own that begins
// at From: offsets count from there, wall clock times stay. Arguments are copied as
// they are, in whatever form.
//
// An extended recording is numbered anew from 0, and owners and outcomes with it.
// Calls whose owner is before the range use leases that a replay of the cut does not
// have; they are left out. Outcomes that come after the range, of calls in it, are in
// the end record. A plain recording does not say who opened what: all its calls are
// copied, and a replay counts keys that nobody holds. In both, leases that are open at
// the end are given back by a replay. Damaged frames are left out.
func Cut(w io.Writer, f *File, o CutOptions) (CutResult, error) {
	h := f.Header()
	if h.Level != LevelStorage || h.Draft != "" {
		return CutResult{}, fmt.Errorf("trace file '%s': only recordings of the level %s can be cut", f.Paths[0], LevelStorage)
	}
	h.Part, h.MonoStart, h.WallStart = 0, h.MonoStart+o.From, h.WallStart+o.From
	if h.Writer = o.Name; h.Writer == "" {
		h.Writer = "lmcache-go"
	}
	c := &cutter{w: w, o: o, numbers: make(map[int64]int64), r: CutResult{Extended: h.Extended}}
	c.write(appendHeader(nil, &h))
	for rec, err := range f.Records() {
		if damage, ok := errors.AsType[*DamageError](err); ok {
			if o.Warn != nil {
				o.Warn(damage)
			}
			continue
		}
		if err != nil {
			return c.r, err
		}
		if c.record(&rec); c.err != nil {
			return c.r, c.err
		}
	}
	if h.Extended {
		c.end()
	}
	return c.r, c.err
}

// cutter writes a cut.
type cutter struct {
	w       io.Writer
	o       CutOptions
	r       CutResult
	mono    float64         // largest offset so far, of the recording
	wall    float64         // of the last record in the range
	next    int64           // number of the next call
	numbers map[int64]int64 // of the calls that were copied, by their old ones
	pending []byte          // outcomes for the next frame
	count   int             // of these
	b       []byte
	err     error
}

// record takes one record of the recording.
func (c *cutter) record(rec *Record) {
	c.mono = max(c.mono, rec.Mono)
	inside := c.mono >= c.o.From && (c.o.To == 0 || c.mono < c.o.To)
	if rec.extra == nil && rec.Name != NameGap {
		if inside && rec.Name != NameEnd {
			c.frame(rec, nil)
			c.r.Calls++
		}
		return
	}
	x, err := readExtra(rec.extra)
	if err != nil {
		c.warn(rec, err)
		return
	}
	if err := c.outcomes(x.outcomes); err != nil {
		c.warn(rec, err)
	}
	switch {
	case !inside || rec.Name == NameEnd:
	case rec.Name == NameGap:
		g, _, err := rec.Gap()
		if err != nil {
			c.warn(rec, err)
			return
		}
		c.next += g.Count
		c.r.Gaps++
		c.r.Lost += g.Count
		c.frame(rec, nil)
	default:
		c.call(rec, &x)
	}
}

func (c *cutter) warn(rec *Record, err error) {
	if c.o.Warn != nil {
		c.o.Warn(&DamageError{Text: fmt.Sprintf("skipping %s: %v", rec.Name, err)})
	}
}

// call copies an extended call with new numbers.
func (c *cutter) call(rec *Record, x *extra) {
	owner, known := c.renumber(x.owner)
	scope, knownScope := c.renumber(x.scope)
	if !known || !knownScope {
		c.r.Orphans++
		return
	}
	n := c.next
	c.next++
	if x.n != storage.NoCall {
		c.numbers[x.n] = n
	}
	entries, b := 1, appendInt([]byte("\xa1n"), n)
	if owner != storage.NoCall {
		b = appendInt(append(b, "\xa5owner"...), owner)
		entries++
	}
	if scope != storage.NoCall {
		b = appendInt(append(b, "\xa5scope"...), scope)
		entries++
	}
	b = append(b, x.rest...)
	c.frame(rec, &extraFields{entries + x.restFields, b})
	c.r.Calls++
}

// renumber is the new number of a call that another one names; false: it is not in the cut.
func (c *cutter) renumber(old int64) (n int64, kept bool) {
	if old == storage.NoCall {
		return storage.NoCall, true
	}
	n, kept = c.numbers[old]
	return n, kept
}

// extraFields are encoded entries of the map of additions.
type extraFields struct {
	n int
	b []byte
}

// frame writes a record with its arguments as they are, these additions, and the
// outcomes that wait.
func (c *cutter) frame(rec *Record, x *extraFields) {
	fields, body := 0, []byte(nil)
	if x != nil {
		fields, body = x.n, x.b
	}
	if c.count > 0 {
		fields++
	}
	var e encoder
	c.r.Seconds, c.wall = max(c.mono-c.o.From, 0), rec.Wall
	b := e.begin(c.b[:0], c.r.Seconds, rec.Wall, fields > 0)
	b = append(appendText(b, rec.Name), "\xa4args"...)
	b = append(b, rec.args...)
	if fields > 0 {
		b = msgp.AppendMapHeader(append(b, "\xa1x"...), uint32(fields))
		b = appendOutcomes(append(b, body...), c.pending, c.count)
		c.pending, c.count = c.pending[:0], 0
	}
	b, err := finish(b, 0)
	if err != nil {
		c.err = errors.Join(c.err, err)
		return
	}
	c.b = b
	c.write(b)
}

func (c *cutter) write(b []byte) {
	if c.err == nil {
		_, c.err = c.w.Write(b)
	}
}

// end writes the end record.
func (c *cutter) end() {
	var e encoder
	b, err := e.appendEnd(c.b[:0], c.r.Seconds, c.wall, End{Records: c.r.Calls, Dropped: c.r.Lost}, c.pending, c.count)
	if err != nil {
		c.err = errors.Join(c.err, err)
		return
	}
	c.write(b)
}

// outcomes keeps those of calls that were copied, with their new numbers.
func (c *cutter) outcomes(raw []byte) error {
	if raw == nil {
		return nil
	}
	in := cursor{b: raw}
	n, err := in.listLen()
	for range n {
		if err != nil {
			return err
		}
		var one []byte
		if one, err = in.raw(); err == nil {
			err = c.outcome(one)
		}
	}
	return err
}

func (c *cutter) outcome(raw []byte) error {
	var rest []byte
	entries, n, known := 1, int64(0), false
	err := fields(raw, func(v *cursor, key string) error {
		if key == "n" {
			old, err := v.int()
			n, known = c.numbers[old]
			return err
		}
		value, err := v.raw()
		entries++
		rest = append(appendText(rest, key), value...)
		return err
	})
	if err != nil || !known {
		return err
	}
	c.pending = msgp.AppendMapHeader(c.pending, uint32(entries))
	c.pending = appendInt(append(c.pending, "\xa1n"...), n)
	c.pending = append(c.pending, rest...)
	c.count++
	return nil
}

// extra is the additions of a record, apart from those that are numbers of calls.
type extra struct {
	n, owner   int64
	scope      int64
	outcomes   []byte // encoded list; nil: none
	rest       []byte // other entries, encoded
	restFields int
}

func readExtra(raw []byte) (extra, error) {
	x := extra{n: storage.NoCall, owner: storage.NoCall, scope: storage.NoCall}
	err := fields(raw, func(v *cursor, key string) (err error) {
		switch key {
		case "n":
			x.n, err = v.int()
		case "owner":
			x.owner, err = v.int()
		case "scope":
			x.scope, err = v.int()
		case "o":
			x.outcomes, err = v.raw()
		default:
			var value []byte
			value, err = v.raw()
			x.rest = append(appendText(x.rest, key), value...)
			x.restFields++
		}
		return err
	})
	return x, err
}
