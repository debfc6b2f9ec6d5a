package s3

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"sync"

	"github.com/lmcache-go/lmcache/l2"
)

// body is header and payload as one stream. The transport may go on reading after a
// request has failed; once it is detached, it reads the caller's memory no more.
type body struct {
	mu    sync.Mutex
	parts [2][]byte
	at    int64
	gone  bool
}

func (b *body) size() int64 { return int64(len(b.parts[0]) + len(b.parts[1])) }

// checksum is CRC-32C as the service takes it.
func (b *body) checksum() string {
	sum := crc32.Update(0, castagnoli, b.parts[0])
	sum = crc32.Update(sum, castagnoli, b.parts[1])
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// detach waits for a read in progress.
func (b *body) detach() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = true
}

// Read implements [io.Reader].
func (b *body) Read(p []byte) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return 0, l2.ErrClosed
	}
	at := b.at
	for _, part := range b.parts {
		if at < int64(len(part)) {
			k := copy(p[n:], part[at:])
			n += k
			at = 0
			if n == len(p) {
				break
			}
			continue
		}
		at -= int64(len(part))
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	b.at += int64(n)
	return n, nil
}

// Seek implements [io.Seeker], for requests that are tried again.
func (b *body) Seek(offset int64, whence int) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += b.at
	case io.SeekEnd:
		offset += b.size()
	}
	if offset < 0 {
		return 0, errors.New("s3: seek before the beginning")
	}
	b.at = offset
	return offset, nil
}
