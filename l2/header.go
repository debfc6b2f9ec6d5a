package l2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// The header of format v1, all numbers little-endian:
//
//	 0  8    magic "LMCKVO1\n"
//	 8  4    length H of the header
//	12  2    format version, 1
//	14  2    checksum algorithm: 0 none, 1 CRC-32C, 2 XXH3-64
//	16  8    length of the payload
//	24  8    checksum of the payload
//	32  8    time of creation, Unix nanoseconds
//	40  16   fingerprint of the layout
//	56  4    flags: bit 0, the payload is the output of a serde
//	60  4    length K of the canonical key
//	64  K    canonical key
//	    1+n  length and name of the serde
//	         zero padding
//	H-4 4    CRC-32C of bytes 0 to H-5
const (
	magic        = "LMCKVO1\n"
	version      = 1
	fixedLen     = 64
	flagSerde    = 1
	maxHeaderLen = 1 << 20 // of what is read; ours are below 8 KiB
)

// MaxSerdeName is the length of the longest name of a serde, in bytes.
const MaxSerdeName = 255

// Header is what format v1 keeps before a payload.
type Header struct {
	Key         kv.Key
	Fingerprint kv.Fingerprint
	Checksum    Checksum
	Sum         uint64 // of the payload
	Payload     int64  // bytes
	Created     time.Time
	Serde       string // name of the serde whose output the payload is; empty: logical bytes
}

// HeadLen is the length of the header of a key and serde in a store of format f; 0
// when the format is raw. It is the smallest multiple of the alignment that fits.
func (f Format) HeadLen(key kv.Key, serde string) int {
	if f.Raw {
		return 0
	}
	align := f.HeadAlign
	if align <= 0 {
		align = 64
	}
	k := 1 + 2 + len(key.Model) + 4 + 2 + 2 + len(key.Salt) + 1 + key.Hash.Len()
	n := fixedLen + k + 1 + len(serde) + 4
	return (n + align - 1) / align * align
}

// StoredSize is what an object takes in a store of format f: header, payload and
// padding.
func (f Format) StoredSize(headLen int, payload int64) int64 {
	n := int64(headLen) + payload
	if a := int64(f.PadAlign); a > 1 {
		n = (n + a - 1) / a * a
	}
	return n
}

// Put writes h into head, whose length is that of [Format.HeadLen]. A key that is
// not valid, a name of a serde that is too long and a head that is too short are errors.
func (h Header) Put(head []byte) error {
	if len(h.Serde) > MaxSerdeName {
		return fmt.Errorf("l2: header: serde: %d bytes, the limit is %d", len(h.Serde), MaxSerdeName)
	}
	if len(head) < fixedLen || len(head) > maxHeaderLen {
		return fmt.Errorf("l2: header: %d bytes, must be %d to %d", len(head), fixedLen, maxHeaderLen)
	}
	clear(head)
	b, err := h.Key.AppendCanonical(head[fixedLen:fixedLen:len(head)])
	if err != nil {
		return fmt.Errorf("l2: header: %w", err)
	}
	k := len(b)
	if n := fixedLen + k + 1 + len(h.Serde) + 4; n > len(head) {
		return fmt.Errorf("l2: header: %d bytes do not fit %d", n, len(head))
	}
	copy(head, magic)
	le := binary.LittleEndian
	le.PutUint32(head[8:], uint32(len(head)))
	le.PutUint16(head[12:], version)
	le.PutUint16(head[14:], h.Checksum.wire())
	le.PutUint64(head[16:], uint64(h.Payload))
	le.PutUint64(head[24:], h.Sum)
	le.PutUint64(head[32:], uint64(h.Created.UnixNano()))
	copy(head[40:], h.Fingerprint[:])
	if h.Serde != "" {
		le.PutUint32(head[56:], flagSerde)
	}
	le.PutUint32(head[60:], uint32(k))
	head[fixedLen+k] = byte(len(h.Serde))
	copy(head[fixedLen+k+1:], h.Serde)
	end := len(head) - 4
	le.PutUint32(head[end:], crc32.Checksum(head[:end], castagnoli))
	return nil
}

// HeadLenOf reads the length of a header from its first bytes, at least 12 of
// them. What is not a header is [ErrCorrupt].
func HeadLenOf(b []byte) (int, error) {
	if len(b) < 12 || string(b[:8]) != magic {
		return 0, fmt.Errorf("%w: no header", ErrCorrupt)
	}
	n := binary.LittleEndian.Uint32(b[8:])
	if n < fixedLen || n > maxHeaderLen || n%64 != 0 {
		return 0, fmt.Errorf("%w: header of %d bytes", ErrCorrupt, n)
	}
	return int(n), nil
}

// ParseHeader reads one whole header. Every length is checked before it is used. An
// error wraps [ErrCorrupt].
func ParseHeader(head []byte) (Header, error) {
	n, err := HeadLenOf(head)
	if err != nil {
		return Header{}, err
	}
	if n != len(head) {
		return Header{}, fmt.Errorf("%w: header of %d bytes, not %d", ErrCorrupt, n, len(head))
	}
	le := binary.LittleEndian
	if crc32.Checksum(head[:n-4], castagnoli) != le.Uint32(head[n-4:]) {
		return Header{}, fmt.Errorf("%w: checksum of the header", ErrCorrupt)
	}
	if v := le.Uint16(head[12:]); v != version {
		return Header{}, fmt.Errorf("%w: format version %d", ErrCorrupt, v)
	}
	alg, ok := checksumOfWire(le.Uint16(head[14:]))
	if !ok {
		return Header{}, fmt.Errorf("%w: checksum algorithm %d", ErrCorrupt, le.Uint16(head[14:]))
	}
	size := le.Uint64(head[16:])
	if size > math.MaxInt64 {
		return Header{}, fmt.Errorf("%w: payload of %d bytes", ErrCorrupt, size)
	}
	h := Header{
		Checksum: alg, Sum: le.Uint64(head[24:]), Payload: int64(size),
		Created: time.Unix(0, int64(le.Uint64(head[32:]))),
	}
	copy(h.Fingerprint[:], head[40:56])
	k := int(le.Uint32(head[60:]))
	if k > kv.MaxCanonicalLen || fixedLen+k+1+4 > n {
		return Header{}, fmt.Errorf("%w: key of %d bytes", ErrCorrupt, k)
	}
	if h.Key, err = kv.ParseCanonical(head[fixedLen : fixedLen+k]); err != nil {
		return Header{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	s := int(head[fixedLen+k])
	if fixedLen+k+1+s+4 > n {
		return Header{}, fmt.Errorf("%w: serde name of %d bytes", ErrCorrupt, s)
	}
	h.Serde = string(head[fixedLen+k+1 : fixedLen+k+1+s])
	if (le.Uint32(head[56:])&flagSerde != 0) != (s > 0) {
		return Header{}, fmt.Errorf("%w: flags disagree with the serde", ErrCorrupt)
	}
	return h, nil
}

// Want is what a reader expects of an object.
type Want struct {
	Key         kv.Key
	Fingerprint kv.Fingerprint
	Serde       string
	Size        int64 // logical bytes; the payload has as many if there is no serde
}

// Verify compares h, read with a payload, with what is expected. Errors wrap
// [ErrLayout] for another layout or serde, else [ErrCorrupt]. The bytes are data only
// if it returns nil.
func (h Header) Verify(want Want, payload []byte) error {
	switch {
	case h.Key != want.Key:
		return fmt.Errorf("%w: it is the object of another key", ErrCorrupt)
	case h.Fingerprint != want.Fingerprint:
		return fmt.Errorf("%w: %v, not %v", ErrLayout, h.Fingerprint, want.Fingerprint)
	case h.Serde != want.Serde:
		return fmt.Errorf("%w: serde %q, not %q", ErrLayout, h.Serde, want.Serde)
	case h.Serde == "" && h.Payload != want.Size:
		return fmt.Errorf("%w: payload of %d bytes, not %d", ErrCorrupt, h.Payload, want.Size)
	case h.Payload != int64(len(payload)):
		return fmt.Errorf("%w: %d bytes of a payload of %d", ErrCorrupt, len(payload), h.Payload)
	case h.Checksum.Sum(payload) != h.Sum:
		return errSum
	}
	return nil
}

var errSum = errors.Join(ErrCorrupt, errors.New("checksum of the payload"))
