package trace

import (
	"fmt"
	"slices"

	"github.com/tinylib/msgp/msgp"

	"github.com/lmcache-go/lmcache/storage"
)

// Format says how much a file holds.
type Format uint8

// Formats.
const (
	Extended Format = iota // numbers, owners, outcomes, gaps; others ignore what they do not know
	Plain                  // exactly what LMCache writes
)

// Args is the form of the arguments.
type Args uint8

// Forms of arguments.
const (
	ArgsDocumented Args = iota // as LMCache documents them
	Args056                    // as LMCache 0.5.6 writes them, which its replay needs
)

// encoder writes frames. Nothing it does allocates once its memory has grown.
type encoder struct {
	format  Format
	args    Args
	layouts layouts
}

// appendCall appends the frame of a call with the outcomes that came before it, n
// of them. On an error b is as it was.
func (e *encoder) appendCall(b []byte, mono, wall float64, c *storage.Call, rows []Row, outcomes []byte, n int) ([]byte, error) {
	start := len(b)
	b = slices.Grow(b, 512+len(outcomes)+len(c.Keys)*keyRoom)
	b = e.begin(b, mono, wall, e.format == Extended)
	b = appendQualname(b, c.Name)
	b, err := e.appendArgs(b, c, rows)
	if err != nil {
		return b[:start], err
	}
	if e.format == Extended {
		b = e.appendExtra(b, c, outcomes, n)
	}
	return finish(b, start)
}

// begin appends a record up to the name.
func (e *encoder) begin(b []byte, mono, wall float64, extra bool) []byte {
	fields := byte(0x85)
	if extra {
		fields++
	}
	b = append(b, 0, 0, 0, 0, fields)
	b = append(b, "\xa4type\xa6record\xa6t_mono"...)
	b = msgp.AppendFloat64(b, mono)
	b = append(b, "\xa6t_wall"...)
	b = msgp.AppendFloat64(b, wall)
	return append(b, "\xa8qualname"...)
}

// finish puts the length in front of the frame that begins at start.
func finish(b []byte, start int) ([]byte, error) {
	if size := len(b) - start - prefixBytes; size > MaxFrame {
		return b[:start], fmt.Errorf("trace: a record of %d bytes, the limit is %d", size, MaxFrame)
	}
	putLength(b, start)
	return b, nil
}

// appendQualname appends the name of a call and the key of its arguments.
func appendQualname(b []byte, name string) []byte {
	if own := len(name) >= len(OwnPrefix) && name[:len(OwnPrefix)] == OwnPrefix; own {
		b = appendText(b, name)
	} else {
		b = append(b, 0xd9, byte(len(storage.NamePrefix)+len(name)))
		b = append(b, storage.NamePrefix...)
		b = append(b, name...)
	}
	return append(b, "\xa4args"...)
}

func (e *encoder) appendArgs(b []byte, c *storage.Call, rows []Row) ([]byte, error) {
	switch c.Name {
	case storage.CallReserveWrite:
		return e.appendReserve(b, c), nil
	case storage.CallFinishWrite, storage.CallReadEnter, storage.CallReadExit, storage.CallTouch:
		return e.appendKeysArg(msgp.AppendMapHeader(b, 1), c), nil
	case storage.CallSubmitPrefetch:
		return e.appendPrefetch(b, c, rows)
	case storage.CallFinishRead:
		b = e.appendKeysArg(msgp.AppendMapHeader(b, 2), c)
		if e.args == Args056 {
			return appendInt(appendText(b, "read_locks"), int64(c.Readers)), nil
		}
		return appendInt(appendText(b, "extra_count"), int64(c.Readers)-1), nil
	case storage.CallRenew: // its lease is that of the owner and the scope
		return msgp.AppendMapHeader(b, 0), nil
	case storage.CallClear:
		return msgp.AppendBool(appendText(msgp.AppendMapHeader(b, 1), "force"), c.Force), nil
	case storage.CallDelete:
		b = e.appendKeysArg(msgp.AppendMapHeader(b, 2), c)
		if c.Outer {
			return appendInt(appendText(b, "adapter"), int64(c.Tier)), nil
		}
		return msgp.AppendBool(appendText(b, "force"), c.Force), nil
	case storage.CallQuota:
		b = appendText(appendText(msgp.AppendMapHeader(b, 2), "cache_salt"), c.Salt)
		b = appendText(b, "bytes")
		if c.Bytes == storage.NoQuota {
			return msgp.AppendNil(b), nil
		}
		return appendInt(b, c.Bytes), nil
	}
	return b, fmt.Errorf("trace: no form for a call of the name %q", c.Name)
}

func (e *encoder) appendKeysArg(b []byte, c *storage.Call) []byte {
	return appendKeys(append(b, "\xa4keys"...), c.Keys, e.args)
}

func (e *encoder) appendReserve(b []byte, c *storage.Call) []byte {
	n := uint32(3)
	if e.args == Args056 {
		n--
	}
	b = e.appendKeysArg(msgp.AppendMapHeader(b, n), c)
	b = e.layouts.append(appendText(b, "layout_desc"), c.Layout)
	if e.args == ArgsDocumented {
		b = appendText(appendText(b, "mode"), c.Mode.String())
	}
	return b
}

func (e *encoder) appendPrefetch(b []byte, c *storage.Call, rows []Row) ([]byte, error) {
	if c.Policy > storage.Sparse {
		return b, fmt.Errorf("trace: no form for the policy %v", c.Policy)
	}
	if e.args == Args056 {
		b = msgp.AppendMapHeader(b, 3)
		b = e.appendSpec(appendText(b, "spec"), c, rows)
		b = appendText(appendText(b, "external_request_id"), c.RequestID)
		return msgp.AppendBool(appendText(b, "skip_l2"), c.SkipL2), nil
	}
	n := uint32(4)
	if c.Policy != storage.Prefix {
		n++
	}
	b = e.appendKeysArg(msgp.AppendMapHeader(b, n), c)
	b = e.layouts.append(appendText(b, "layout_desc"), c.Layout)
	b = appendInt(appendText(b, "extra_count"), int64(c.Readers)-1)
	b = appendText(appendText(b, "external_request_id"), c.RequestID)
	if c.Policy != storage.Prefix {
		b = appendText(appendText(b, "policy"), c.Policy.String())
	}
	return b, nil
}

// appendSpec appends a PrefetchTaskSpec. Without rows, all keys are one that sees
// the whole prompt, of the group of the first one.
func (e *encoder) appendSpec(b []byte, c *storage.Call, rows []Row) []byte {
	b = append(b, "\x82\xa5__t__\xb0PrefetchTaskSpec\xa1v\x84\xaakey_groups"...)
	if len(rows) == 0 {
		b = msgp.AppendArrayHeader(b, 1)
		row := Row{Window: FullAttention, Keys: c.Keys, Layout: c.Layout}
		if len(c.Keys) > 0 {
			row.Group = c.Keys[0].Group
		}
		b = e.appendRow(b, &row)
	} else {
		b = msgp.AppendArrayHeader(b, uint32(len(rows)))
		for i := range rows {
			b = e.appendRow(b, &rows[i])
		}
	}
	b = appendInt(appendText(b, "num_kv_readers"), int64(c.Readers))
	policy, lock := "prefix", "LOCK"
	if c.Policy == storage.Sparse {
		policy = "full"
	}
	if c.Warm {
		lock = "NO_LOCK"
	}
	b = appendText(appendText(b, "fetching_policy"), policy)
	b = append(b, "\xa9lock_mode\x82\xa5__t__\xb0PrefetchLockMode\xa1v"...)
	return appendText(b, lock)
}

func (e *encoder) appendRow(b []byte, r *Row) []byte {
	b = append(b, "\x82\xa5__t__\xb1GroupedObjectKeys\xa1v\x84\xa4keys"...)
	b = appendKeys(b, r.Keys, e.args)
	b = appendInt(appendText(b, "object_group_id"), int64(r.Group))
	b = e.layouts.append(appendText(b, "layout_desc"), r.Layout)
	return appendInt(appendText(b, "sliding_window_size"), r.Window)
}

// appendExtra appends what only the extended format holds.
func (e *encoder) appendExtra(b []byte, c *storage.Call, outcomes []byte, n int) []byte {
	opts := uint32(0)
	for _, given := range []bool{c.SkipL2, c.Warm, c.Deadline != 0} {
		if given {
			opts++
		}
	}
	mode := c.Name == storage.CallReserveWrite && e.args == Args056 && c.Mode != storage.New
	fields := uint32(1)
	for _, given := range []bool{c.Owner != storage.NoCall, opts > 0, c.Unused || c.Aborted, c.More, c.Scope > 0, mode, n > 0} {
		if given {
			fields++
		}
	}
	b = msgp.AppendMapHeader(append(b, "\xa1x"...), fields)
	b = appendInt(append(b, "\xa1n"...), c.N)
	if c.Owner != storage.NoCall {
		b = appendInt(append(b, "\xa5owner"...), c.Owner)
	}
	if opts > 0 {
		b = msgp.AppendMapHeader(append(b, "\xa4opts"...), opts)
		if c.SkipL2 {
			b = msgp.AppendBool(append(b, "\xa7skip_l2"...), true)
		}
		if c.Warm {
			b = msgp.AppendBool(append(b, "\xa4warm"...), true)
		}
		if c.Deadline != 0 {
			b = msgp.AppendFloat64(append(b, "\xa8deadline"...), c.Deadline.Seconds())
		}
	}
	switch {
	case c.Cancelled:
		b = appendText(append(b, "\xa5cause"...), causeCancel)
	case c.Unused:
		b = appendText(append(b, "\xa5cause"...), causeUnused)
	case c.Aborted:
		b = appendText(append(b, "\xa5cause"...), causeAbort)
	}
	if c.More {
		b = msgp.AppendBool(append(b, "\xa4more"...), true)
	}
	if c.Scope > 0 {
		b = appendInt(append(b, "\xa5scope"...), c.Scope)
	}
	if mode {
		b = appendText(append(b, "\xa4mode"...), c.Mode.String())
	}
	return appendOutcomes(b, outcomes, n)
}

// Causes of a release, besides that the objects were read.
const (
	causeUnused = "unused" // nobody read them
	causeAbort  = "abort"  // the reader failed
	causeCancel = "cancel" // nobody read them, and the prefetch is given up before it has resolved
)

// appendOutcomes appends the entry of outcomes that are encoded already, if any.
func appendOutcomes(b, outcomes []byte, n int) []byte {
	if n == 0 {
		return b
	}
	b = msgp.AppendArrayHeader(append(b, "\xa1o"...), uint32(n))
	return append(b, outcomes...)
}

// appendGap appends the frame of a gap record. The calls are in order of their names.
func (e *encoder) appendGap(b []byte, mono, wall float64, g *Gap, outcomes []byte, n int) ([]byte, error) {
	start := len(b)
	b = appendQualname(e.begin(b, mono, wall, n > 0), NameGap)
	b = appendInt(appendText(msgp.AppendMapHeader(b, 2), "count"), g.Count)
	b = msgp.AppendMapHeader(appendText(b, "by_op"), uint32(len(g.ByCall)))
	for _, name := range sortedKeys(g.ByCall) {
		b = appendInt(appendText(b, name), g.ByCall[name])
	}
	return e.endRecord(b, start, outcomes, n)
}

// appendEnd appends the frame of an end record.
func (e *encoder) appendEnd(b []byte, mono, wall float64, end End, outcomes []byte, n int) ([]byte, error) {
	start := len(b)
	b = appendQualname(e.begin(b, mono, wall, n > 0), NameEnd)
	b = appendInt(appendText(msgp.AppendMapHeader(b, 2), "records"), end.Records)
	b = appendInt(appendText(b, "dropped"), end.Dropped)
	return e.endRecord(b, start, outcomes, n)
}

// endRecord appends the outcomes to a record that has nothing else to add.
func (e *encoder) endRecord(b []byte, start int, outcomes []byte, n int) ([]byte, error) {
	if n > 0 {
		b = appendOutcomes(msgp.AppendMapHeader(append(b, "\xa1x"...), 1), outcomes, n)
	}
	return finish(b, start)
}
