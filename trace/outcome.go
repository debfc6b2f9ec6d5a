package trace

import (
	"fmt"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/lmcache-go/lmcache/storage"
)

// Outcome is what is known of a call after it was made. A call has several if its
// result comes later, or if what it reserved is given up. Which fields have a
// meaning follows from the call; bitmaps are over its keys.
type Outcome struct {
	N    int64         // number of the call
	Took time.Duration // since it was entered

	OK          []byte // keys that succeeded; position 0 is the lowest bit of the first byte
	OutOfMemory []byte // reserve_write: keys without memory
	Busy        []byte // reserve_write: keys that were there or being written
	Aborted     []byte // of a reserve_write: keys that were given up; nothing else is set then but Expired
	Expired     bool   // their time was over; their memory is free when the owner lets go
	Bad         int64  // finish: keys that failed
	L1          int64  // submit_prefetch_task: keys leased in L1

	Resolved bool          // of a submit_prefetch_task: the result is known
	Hits     int64         // keys retained
	L2       int64         // of these, loaded from outer tiers
	Wait     time.Duration // from submission to the result

	Entered bool  // __enter__: all keys could be read; renew: the lease was live
	Missing int64 // __enter__: keys that were not resident
	Locked  int64 // __enter__: keys that could not be read although resident
}

// appendOutcome appends an outcome as the publisher tells it.
func appendOutcome(b []byte, d *storage.CallDone) []byte {
	switch {
	case d.Aborted:
		fields := 1
		if d.Expired {
			fields++
		}
		b = appendBits(append(beginOutcome(b, fields, d), "\xa7aborted"...), d.OK)
		if d.Expired {
			b = msgp.AppendBool(append(b, "\xa7expired"...), true)
		}
		return b
	case d.Resolved:
		b = beginOutcome(b, 3, d)
		b = appendInt(append(b, "\xa4hits"...), int64(d.Hits))
		b = appendInt(append(b, "\xa2l2"...), int64(d.L2Hits))
		return appendInt(append(b, "\xa4wait"...), int64(d.Took))
	}
	switch d.Name {
	case storage.CallReserveWrite:
		return appendReserved(b, d)
	case storage.CallFinishWrite, storage.CallFinishRead:
		fields := 1
		if d.Bad > 0 {
			fields++
		}
		b = appendBits(append(beginOutcome(b, fields, d), "\xa2ok"...), d.OK)
		if d.Bad > 0 {
			b = appendInt(append(b, "\xa3bad"...), int64(d.Bad))
		}
		return b
	case storage.CallSubmitPrefetch:
		return appendInt(append(beginOutcome(b, 1, d), "\xa2l1"...), int64(d.L1Hits))
	case storage.CallRenew:
		return msgp.AppendBool(append(beginOutcome(b, 1, d), "\xa2ok"...), d.Bad == 0)
	case storage.CallReadEnter:
		locked, fields := d.Bad-d.Missing, 1
		if d.Missing > 0 {
			fields++
		}
		if locked > 0 {
			fields++
		}
		b = msgp.AppendBool(append(beginOutcome(b, fields, d), "\xa2ok"...), d.Bad == 0)
		if d.Missing > 0 {
			b = appendInt(append(b, "\xa7missing"...), int64(d.Missing))
		}
		if locked > 0 {
			b = appendInt(append(b, "\xa6locked"...), int64(locked))
		}
		return b
	}
	return beginOutcome(b, 0, d)
}

// beginOutcome appends what every outcome begins with; more is how many entries follow.
func beginOutcome(b []byte, more int, d *storage.CallDone) []byte {
	b = append(b, 0x80|byte(2+more))
	b = appendInt(append(b, "\xa1n"...), d.N)
	return appendInt(append(b, "\xa1d"...), max(int64(d.Took), 0))
}

func appendBits(b []byte, bits storage.Bitmap) []byte {
	size := (bits.Len() + 7) / 8
	if size < 256 {
		b = append(b, 0xc4, byte(size))
	} else {
		b = msgp.AppendBytesHeader(b, uint32(size))
	}
	return bits.AppendBytes(b)
}

func appendReserved(b []byte, d *storage.CallDone) []byte {
	oom, busy, fields := d.OutOfMemory.Count() > 0, d.OK.Count()+d.OutOfMemory.Count() < d.OK.Len(), 1
	if oom {
		fields++
	}
	if busy {
		fields++
	}
	b = appendBits(append(beginOutcome(b, fields, d), "\xa2ok"...), d.OK)
	if oom {
		b = appendBits(append(b, "\xa3oom"...), d.OutOfMemory)
	}
	if busy {
		n := d.OK.Len()
		b = msgp.AppendBytesHeader(append(b, "\xa4busy"...), uint32((n+7)/8))
		for i := 0; i < n; i += 8 {
			var bits byte
			for j := i; j < min(i+8, n); j++ {
				if !d.OK.Has(j) && !d.OutOfMemory.Has(j) {
					bits |= 1 << (j - i)
				}
			}
			b = append(b, bits)
		}
	}
	return b
}

// decodeOutcomes reads a list of outcomes.
func decodeOutcomes(c *cursor) ([]Outcome, error) {
	n, err := c.listLen()
	if err != nil {
		return nil, err
	}
	list := make([]Outcome, 0, min(n, 1024))
	for i := range n {
		o, err := decodeOutcome(c)
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		list = append(list, o)
	}
	return list, nil
}

func decodeOutcome(c *cursor) (Outcome, error) {
	o := Outcome{N: storage.NoCall}
	n, err := c.mapLen()
	if err != nil {
		return o, err
	}
	for range n {
		key, err := c.key()
		if err != nil {
			return o, err
		}
		if err := o.field(c, string(key)); err != nil {
			return o, fmt.Errorf("%s: %w", key, err)
		}
	}
	if o.N < 0 {
		return o, fmt.Errorf("n: %w", errMissing)
	}
	return o, nil
}

func (o *Outcome) field(c *cursor, key string) (err error) {
	bits := func(to *[]byte) {
		var v []byte
		v, err = c.bytes()
		*to = append([]byte{}, v...)
	}
	switch key {
	case "n":
		o.N, err = c.int()
	case "d":
		o.Took, err = c.duration()
	case "ok":
		if isBool(c.b) {
			o.Entered, err = c.bool()
		} else {
			bits(&o.OK)
		}
	case "oom":
		bits(&o.OutOfMemory)
	case "busy":
		bits(&o.Busy)
	case "aborted":
		bits(&o.Aborted)
	case "expired":
		o.Expired, err = c.bool()
	case "bad":
		o.Bad, err = c.int()
	case "l1":
		o.L1, err = c.int()
	case "hits":
		o.Resolved = true
		o.Hits, err = c.int()
	case "l2":
		o.L2, err = c.int()
	case "wait":
		o.Wait, err = c.duration()
	case "missing":
		o.Missing, err = c.int()
	case "locked":
		o.Locked, err = c.int()
	default:
		err = c.skip()
	}
	return err
}

func isBool(b []byte) bool { return len(b) > 0 && (b[0] == 0xc2 || b[0] == 0xc3) }

// duration reads a number of nanoseconds.
func (c *cursor) duration() (time.Duration, error) {
	v, err := c.int()
	return time.Duration(v), err
}
