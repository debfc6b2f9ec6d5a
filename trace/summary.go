package trace

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Summary is what a recording holds.
type Summary struct {
	Header   Header
	Duration float64          // largest time of a record, in seconds; 0 without records
	Records  int64            // calls that every format has
	Ops      map[string]int64 // the same, by qualified name
	Details  *Details         // nil: not asked for
}

// Details are what takes decoding every call.
type Details struct {
	Own       map[string]int64 // records that only the extended format has, by name
	Lost      int64            // calls that gaps tell of
	Closed    bool             // the recording was ended in order
	Malformed int64            // frames, and arguments of calls, that cannot be decoded
	Unique    int              // different keys
	Models    []string
	Salts     int              // different ones
	Keys      map[string]int64 // that calls name, by qualified name
	Bytes     map[string]int64 // the size of their objects, where the calls say it

	Asked, Hits int64 // keys of prefetches whose result is in the file, and those of them that were found
}

// Summarise reads records to their end. What they hold besides names and times is
// looked at if details are asked for. Damage goes to warn, and does not end the
// summary; any other error does.
func Summarise(h Header, records iter.Seq2[Record, error], details bool, warn func(*DamageError)) (*Summary, error) {
	s := &Summary{Header: h, Ops: make(map[string]int64)}
	var d *detailer
	if details {
		d = newDetailer()
		s.Details = &d.Details
	}
	for r, err := range records {
		var damage *DamageError
		switch {
		case errors.As(err, &damage):
			warn(damage)
			if d != nil {
				d.Malformed++
			}
			continue
		case err != nil:
			return nil, err
		}
		s.Duration = max(s.Duration, r.Mono)
		if !r.Own() {
			s.Records++
			s.Ops[r.Name]++
		}
		if d != nil {
			d.add(&r)
		}
	}
	if d != nil {
		d.finish()
	}
	return s, nil
}

// detailer collects Details.
type detailer struct {
	Details
	keys    map[kv.Key]struct{}
	models  map[string]struct{}
	salts   map[string]struct{}
	pending map[int64]int64 // keys of prefetches without a result, by number of the call
}

func newDetailer() *detailer {
	return &detailer{
		Details: Details{Own: make(map[string]int64), Keys: make(map[string]int64), Bytes: make(map[string]int64)},
		keys:    make(map[kv.Key]struct{}), models: make(map[string]struct{}), salts: make(map[string]struct{}),
		pending: make(map[int64]int64),
	}
}

func (d *detailer) add(r *Record) {
	g, _, err := r.Gap()
	switch {
	case err != nil:
		d.Malformed++
	case r.Own():
		d.Own[r.Name]++
		d.Lost += g.Count
	}
	if _, ok, _ := r.End(); ok {
		d.Closed = true
	}
	outcomes, err := r.Outcomes()
	if err != nil {
		d.Malformed++
	}
	for _, o := range outcomes {
		if asked, ok := d.pending[o.N]; ok && o.Resolved {
			delete(d.pending, o.N)
			d.Asked += asked
			d.Hits += o.Hits
		}
	}
	c, err := r.Call()
	switch {
	case errors.Is(err, ErrUnknownCall):
		return
	case err != nil:
		d.Malformed++
		return
	}
	d.call(r.Name, &c)
}

func (d *detailer) call(name string, c *Call) {
	for i := range c.Keys {
		d.keys[c.Keys[i]] = struct{}{}
		d.models[c.Keys[i].Model] = struct{}{}
		d.salts[c.Keys[i].Salt] = struct{}{}
	}
	if len(c.Keys) > 0 {
		d.Keys[name] += int64(len(c.Keys))
	}
	switch {
	case c.Rows != nil:
		for _, row := range c.Rows {
			d.Bytes[name] += int64(len(row.Keys)) * row.Layout.Size()
		}
	case !c.Layout.IsZero():
		d.Bytes[name] += int64(len(c.Keys)) * c.Layout.Size()
	}
	if c.Name == storage.CallSubmitPrefetch && c.N != storage.NoCall {
		d.pending[c.N] = int64(len(c.Keys))
	}
}

func (d *detailer) finish() {
	d.Unique, d.Salts = len(d.keys), len(d.salts)
	d.Models = slices.Sorted(maps.Keys(d.models))
}

// labelWidth is that of the labels of a summary in text form.
const labelWidth = 28

// Text is the summary as lines, under the given name.
func (s *Summary) Text(name string) string {
	var b strings.Builder
	b.WriteString("Trace file: " + name + "\n")
	line := func(label string, value any) { fmt.Fprintf(&b, "  %-*s%v\n", labelWidth, label+":", value) }
	line("level", s.Header.Level)
	line("format_version", s.Header.FormatVersion)
	if s.Header.Draft != "" {
		line("trace_schema_version", "(none)")
		line("lmcache_version", s.Header.Draft)
	} else {
		line("trace_schema_version", s.Header.SchemaVersion)
	}
	line("duration", fmt.Sprintf("%.3fs", s.Duration))
	digest := s.Header.Digest
	if digest == "" {
		digest = "(none)"
	}
	line("sm_config_digest", digest)
	for _, key := range sortedKeys(s.Header.Meta) {
		line(key, s.Header.Meta[key])
	}
	line("total_records", s.Records)
	if len(s.Ops) == 0 {
		b.WriteString("  ops: (none)\n")
	} else {
		b.WriteString("  ops:\n")
		counts(&b, s.Ops)
	}
	if s.Details != nil {
		s.Details.text(&b, line, &s.Header)
	}
	return b.String()
}

func counts(b *strings.Builder, m map[string]int64) {
	for _, name := range sortedKeys(m) {
		fmt.Fprintf(b, "    %s: %d\n", name, m[name])
	}
}

func (d *Details) text(b *strings.Builder, line func(string, any), h *Header) {
	if h.Extended {
		line("writer", h.Writer)
		line("closed", d.Closed)
		line("gaps", d.Own[NameGap])
		line("lost_calls", d.Lost)
		line("clears", d.Own[storage.CallClear])
		line("deletes", d.Own[storage.CallDelete])
		line("touches", d.Own[storage.CallTouch])
		line("quota_changes", d.Own[storage.CallQuota])
		line("renewals", d.Own[storage.CallRenew])
	}
	line("malformed_records", d.Malformed)
	line("models", strings.Join(d.Models, ", "))
	line("salts", d.Salts)
	line("unique_keys", d.Unique)
	if d.Asked > 0 {
		line("prefix_hit_ratio", fmt.Sprintf("%.4f (%d of %d keys)", float64(d.Hits)/float64(d.Asked), d.Hits, d.Asked))
	}
	for _, m := range []struct {
		title string
		m     map[string]int64
	}{{"keys", d.Keys}, {"bytes", d.Bytes}} {
		if len(m.m) > 0 {
			b.WriteString("  " + m.title + ":\n")
			counts(b, m.m)
		}
	}
}
