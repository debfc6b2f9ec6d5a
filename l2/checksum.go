package l2

import (
	"fmt"
	"hash/crc32"

	"github.com/zeebo/xxh3"
)

// Checksum is the algorithm that guards a payload.
type Checksum uint16

// Algorithms, by their numbers in the header, except that the zero value means the
// default so that the zero [Format] is one.
const (
	DefaultChecksum Checksum = iota // XXH3
	CRC32C
	XXH3
	NoChecksum
)

// wire is the number of c in the header.
func (c Checksum) wire() uint16 {
	switch c {
	case NoChecksum:
		return 0
	case CRC32C:
		return 1
	default:
		return 2
	}
}

// checksumOfWire is the inverse of wire.
func checksumOfWire(n uint16) (Checksum, bool) {
	switch n {
	case 0:
		return NoChecksum, true
	case 1:
		return CRC32C, true
	case 2:
		return XXH3, true
	default:
		return 0, false
	}
}

// ParseChecksum reads the name of an algorithm: xxh3, crc32c (or crc32), none.
func ParseChecksum(name string) (Checksum, error) {
	switch name {
	case "xxh3":
		return XXH3, nil
	case "crc32c", "crc32":
		return CRC32C, nil
	case "none":
		return NoChecksum, nil
	default:
		return 0, fmt.Errorf("checksum %q: must be xxh3, crc32c or none", name)
	}
}

// String is the name of the algorithm.
func (c Checksum) String() string {
	switch c {
	case CRC32C:
		return "crc32c"
	case NoChecksum:
		return "none"
	default:
		return "xxh3"
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sum is the checksum of data, zero-extended; 0 for NoChecksum.
func (c Checksum) Sum(data []byte) uint64 {
	switch c {
	case NoChecksum:
		return 0
	case CRC32C:
		return uint64(crc32.Checksum(data, castagnoli))
	default:
		return xxh3.Hash(data)
	}
}
