package trace

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// arguments reads the arguments of one call, in whatever form they are: each name
// that a parameter ever had is known.
type arguments struct {
	d    *decoder
	call *Call

	keys, layout  bool // was given
	layoutByGroup map[uint16]kv.Layout
}

func (a *arguments) read(raw []byte) error {
	if n := a.call.Name; n == storage.CallSubmitPrefetch || n == storage.CallFinishRead {
		a.call.Readers = 1
	}
	if err := fields(raw, a.field); err != nil {
		return err
	}
	return a.complete()
}

func (a *arguments) field(c *cursor, key string) (err error) {
	call := a.call
	var v []byte
	switch key {
	case "keys":
		a.keys = true
		call.Keys, err = a.d.keys(c)
	case "layout_desc":
		a.layout = true
		call.Layout, err = a.d.layout(c)
	case "group_layout_descs":
		a.layoutByGroup, err = a.d.layoutsByGroup(c)
	case "spec":
		return a.spec(c)
	case "key_groups":
		return a.rows(c)
	case "extra_count", "shares":
		return a.setReaders(c, 1)
	case "read_locks", "num_kv_readers":
		return a.setReaders(c, 0)
	case "external_request_id":
		if !c.isNil() {
			v, err = c.text()
			call.RequestID = string(v)
		}
	case "mode", "lock_mode":
		if v, err = c.name(); err == nil {
			err = a.setMode(string(v))
		}
	case "policy", "fetching_policy":
		if v, err = c.name(); err == nil {
			err = a.setPolicy(string(v))
		}
	case "skip_l2":
		call.SkipL2, err = c.bool()
	case "force":
		call.Force, err = c.bool()
	case "adapter":
		var v int64
		v, err = c.within(storage.AllTiers, math.MaxInt32)
		call.Outer, call.Tier = true, int(v)
	case "cache_salt":
		v, err = c.text()
		call.Salt = a.d.names.of(v)
	case "bytes":
		if call.Bytes = storage.NoQuota; !c.isNil() {
			call.Bytes, err = c.within(0, math.MaxInt64)
		}
	default:
		err = c.skipTagged()
	}
	return err
}

// setReaders reads a number of readers that is less by missing than there are.
func (a *arguments) setReaders(c *cursor, missing int64) error {
	v, err := c.within(1-missing, math.MaxInt32)
	a.call.Readers = int(v + missing)
	return err
}

// setMode takes the mode of a reservation, or how a prefetch leases.
func (a *arguments) setMode(name string) error {
	if a.call.Name != storage.CallReserveWrite {
		switch strings.ToUpper(name) {
		case "NO_LOCK":
			a.call.Warm = true
		case "LOCK":
		default:
			if a.call.Name == storage.CallSubmitPrefetch && !strings.EqualFold(name, "LOOKUP") && !strings.EqualFold(name, "RETRIEVE") {
				return fmt.Errorf("unknown mode %q", name)
			}
		}
		return nil
	}
	mode, err := parseMode(name)
	a.call.Mode = mode
	return err
}

func parseMode(name string) (storage.Mode, error) {
	for _, m := range []storage.Mode{storage.New, storage.Update, storage.All} {
		if m.String() == name {
			return m, nil
		}
	}
	return 0, fmt.Errorf("must be new, update or all, got %q", name)
}

func (a *arguments) setPolicy(name string) error {
	switch strings.ToUpper(name) {
	case "PREFIX":
		a.call.Policy = storage.Prefix
	case "SPARSE", "FULL":
		a.call.Policy = storage.Sparse
	default:
		return fmt.Errorf("must be prefix or full, got %q", name)
	}
	return nil
}

// spec reads the one argument of a prefetch that stands for most others.
func (a *arguments) spec(c *cursor) error {
	tag, err := c.tag()
	if err != nil {
		return err
	}
	switch string(tag) {
	case "PrefetchTaskSpec", "PrefetchRequestSpec":
	default:
		return fmt.Errorf("must be a PrefetchTaskSpec, got tag '%s'", tag)
	}
	raw, err := c.raw()
	if err != nil {
		return err
	}
	return fields(raw, a.field)
}

// rows reads a list of GroupedObjectKeys.
func (a *arguments) rows(c *cursor) error {
	if err := c.untuple(); err != nil {
		return err
	}
	n, err := c.listLen()
	if err != nil {
		return err
	}
	rows := make([]Row, 0, min(n, 64))
	for i := range n {
		r, err := a.row(c)
		if err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
		if i > 0 && len(r.Keys) != len(rows[0].Keys) {
			return fmt.Errorf("[%d]: %d keys, the first row has %d", i, len(r.Keys), len(rows[0].Keys))
		}
		rows = append(rows, r)
	}
	a.setRows(rows)
	return nil
}

// setRows takes rows as they are, or as plain keys if they are one row that sees
// the whole prompt.
func (a *arguments) setRows(rows []Row) {
	if len(rows) == 0 {
		return
	}
	a.keys, a.layout = true, true
	a.call.Keys, a.call.Layout = rows[0].Keys, rows[0].Layout
	plain := len(rows[0].Keys) == 0 || rows[0].Group == rows[0].Keys[0].Group
	if len(rows) == 1 && rows[0].Window == FullAttention && plain {
		return
	}
	a.call.Rows = rows
	for _, r := range rows[1:] {
		a.call.Keys = append(slices.Clip(a.call.Keys), r.Keys...)
	}
}

func (a *arguments) row(c *cursor) (Row, error) {
	r := Row{Window: FullAttention}
	if err := c.unwrap("GroupedObjectKeys"); err != nil {
		return r, err
	}
	raw, err := c.raw()
	if err != nil {
		return r, err
	}
	keys, layout := false, false
	err = fields(raw, func(c *cursor, key string) (err error) {
		switch key {
		case "keys":
			keys = true
			r.Keys, err = a.d.keys(c)
		case "object_group_id":
			var v int64
			v, err = c.within(0, math.MaxUint16)
			r.Group = uint16(v)
		case "layout_desc":
			layout = true
			r.Layout, err = a.d.layout(c)
		case "sliding_window_size":
			r.Window, err = c.int()
			if err == nil && r.Window < 1 && r.Window != FullAttention {
				err = fmt.Errorf("must be %d or at least 1, got %d", FullAttention, r.Window)
			}
		default:
			err = c.skipTagged()
		}
		return err
	})
	switch {
	case err != nil:
	case !keys:
		err = fmt.Errorf("keys: %w", errMissing)
	case !layout:
		err = fmt.Errorf("layout_desc: %w", errMissing)
	}
	return r, err
}

// layoutsByGroup reads layouts by the id of their group as a text.
func (d *decoder) layoutsByGroup(c *cursor) (map[uint16]kv.Layout, error) {
	raw, err := c.raw()
	if err != nil {
		return nil, err
	}
	all := make(map[uint16]kv.Layout)
	err = fields(raw, func(c *cursor, key string) error {
		id, err := strconv.ParseUint(key, 10, 16)
		if err != nil {
			return err
		}
		all[uint16(id)], err = d.layout(c)
		return err
	})
	return all, err
}

// complete checks that nothing that the call needs is missing.
func (a *arguments) complete() error {
	call := a.call
	if err := a.split(); err != nil {
		return err
	}
	switch call.Name {
	case storage.CallClear, storage.CallQuota, storage.CallRenew:
		return nil
	}
	if !a.keys {
		return fmt.Errorf("keys: %w", errMissing)
	}
	if !a.layout && (call.Name == storage.CallReserveWrite || call.Name == storage.CallSubmitPrefetch) {
		return fmt.Errorf("layout_desc: %w", errMissing)
	}
	return nil
}

// split makes rows of keys whose layouts were given by group.
func (a *arguments) split() error {
	if a.layoutByGroup == nil || a.layout {
		return nil
	}
	var rows []Row
	for _, k := range a.call.Keys {
		i := slices.IndexFunc(rows, func(r Row) bool { return r.Group == k.Group })
		if i < 0 {
			layout, ok := a.layoutByGroup[k.Group]
			if !ok {
				return fmt.Errorf("group_layout_descs: %d: %w", k.Group, errMissing)
			}
			i = len(rows)
			rows = append(rows, Row{Group: k.Group, Window: FullAttention, Layout: layout})
		}
		rows[i].Keys = append(rows[i].Keys, k)
	}
	a.setRows(rows)
	return nil
}

// extraField reads one of the extended format's additions to a call.
func extraField(x *cursor, key string, c *Call) (err error) {
	var v []byte
	switch key {
	case "n":
		c.N, err = x.within(0, math.MaxInt64)
	case "owner":
		c.Owner, err = x.within(0, math.MaxInt64)
	case "cause":
		v, err = x.text()
		c.Aborted, c.Cancelled = string(v) == causeAbort, string(v) == causeCancel
		c.Unused = string(v) == causeUnused || c.Cancelled
	case "scope":
		c.Scope, err = x.within(0, math.MaxInt64)
	case "more":
		c.More, err = x.bool()
	case "mode":
		if v, err = x.text(); err == nil {
			c.Mode, err = parseMode(string(v))
		}
	case "opts":
		raw, err := x.raw()
		if err != nil {
			return err
		}
		return fields(raw, func(o *cursor, key string) error { return optField(o, key, c) })
	default:
		err = x.skip()
	}
	return err
}

func optField(o *cursor, key string, c *Call) (err error) {
	switch key {
	case "skip_l2":
		c.SkipL2, err = o.bool()
	case "warm":
		c.Warm, err = o.bool()
	case "deadline":
		var s float64
		if s, err = o.float(); err == nil && !(s >= 0 && s <= math.MaxInt64/1e9) {
			err = fmt.Errorf("must be a number of seconds, got %v", s)
		}
		c.Deadline = time.Duration(math.Round(s * 1e9))
	default:
		err = o.skip()
	}
	return err
}
