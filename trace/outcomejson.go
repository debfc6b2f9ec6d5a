package trace

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/lmcache-go/lmcache/storage"
)

// AppendJSON appends the outcome of a call of this name as a JSON object. It has the keys
// of the extended format in their order; bitmaps are hexadecimal texts.
func (o *Outcome) AppendJSON(b []byte, name string) []byte {
	number := func(key string, v int64) {
		b = append(b, ',', '"')
		b = append(b, key...)
		b = strconv.AppendInt(append(b, '"', ':'), v, 10)
	}
	bits := func(key string, v []byte) {
		b = append(b, ',', '"')
		b = append(b, key...)
		b = append(hex.AppendEncode(append(b, '"', ':', '"'), v), '"')
	}
	some := func(key string, v int64) {
		if v > 0 {
			number(key, v)
		}
	}
	b = strconv.AppendInt(append(b, `{"n":`...), o.N, 10)
	number("d", max(int64(o.Took), 0))
	switch {
	case o.Aborted != nil:
		bits("aborted", o.Aborted)
		if o.Expired {
			b = append(b, `,"expired":true`...)
		}
	case o.Resolved:
		number("hits", o.Hits)
		number("l2", o.L2)
		number("wait", int64(o.Wait))
	case name == storage.CallReserveWrite:
		bits("ok", o.OK)
		if anyBit(o.OutOfMemory) {
			bits("oom", o.OutOfMemory)
		}
		if anyBit(o.Busy) {
			bits("busy", o.Busy)
		}
	case name == storage.CallFinishWrite, name == storage.CallFinishRead:
		bits("ok", o.OK)
		some("bad", o.Bad)
	case name == storage.CallSubmitPrefetch:
		number("l1", o.L1)
	case name == storage.CallRenew:
		b = strconv.AppendBool(append(b, `,"ok":`...), o.Entered)
	case name == storage.CallReadEnter:
		b = strconv.AppendBool(append(b, `,"ok":`...), o.Entered)
		some("missing", o.Missing)
		some("locked", o.Locked)
	}
	return append(b, '}')
}

func anyBit(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return true
		}
	}
	return false
}

// UnmarshalJSON reads what AppendJSON writes. Unknown keys are ignored.
func (o *Outcome) UnmarshalJSON(data []byte) error {
	v := struct {
		N       *int64          `json:"n"`
		Took    int64           `json:"d"`
		OK      json.RawMessage `json:"ok"`
		OOM     *bitsText       `json:"oom"`
		Busy    *bitsText       `json:"busy"`
		Aborted *bitsText       `json:"aborted"`
		Expired bool            `json:"expired"`
		Bad     int64           `json:"bad"`
		L1      int64           `json:"l1"`
		Hits    *int64          `json:"hits"`
		L2      int64           `json:"l2"`
		Wait    int64           `json:"wait"`
		Missing int64           `json:"missing"`
		Locked  int64           `json:"locked"`
	}{}
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	if v.N == nil || *v.N < 0 {
		return errors.New("n: it is missing or negative")
	}
	*o = Outcome{
		N: *v.N, Took: time.Duration(v.Took), OutOfMemory: v.OOM.bytes(), Busy: v.Busy.bytes(), Aborted: v.Aborted.bytes(), Expired: v.Expired,
		Bad: v.Bad, L1: v.L1, L2: v.L2, Wait: time.Duration(v.Wait), Missing: v.Missing, Locked: v.Locked,
	}
	if v.Hits != nil {
		o.Resolved, o.Hits = true, *v.Hits
	}
	switch text := string(v.OK); text {
	case "", "null":
	case "true", "false":
		o.Entered = text == "true"
	default:
		var bits bitsText
		if err := json.Unmarshal(v.OK, &bits); err != nil {
			return fmt.Errorf("ok: %w", err)
		}
		o.OK = bits.bytes()
	}
	return nil
}

// bitsText is a bitmap as a hexadecimal text.
type bitsText []byte

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *bitsText) UnmarshalText(text []byte) (err error) {
	*t = make([]byte, 0, len(text)/2) // empty is not missing
	*t, err = hex.AppendDecode(*t, text)
	return err
}

func (t *bitsText) bytes() []byte {
	if t == nil {
		return nil
	}
	return *t
}
