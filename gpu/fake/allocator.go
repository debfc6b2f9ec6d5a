package fake

import (
	"fmt"

	"github.com/lmcache-go/lmcache/gpu"
)

// Alloc makes a tensor of zeroes. A Fault of kind Alloc, too little memory and
// fewer than one byte are errors.
func (d *Device) Alloc(bytes int64) (t gpu.Tensor, free func() error, err error) {
	if bytes < 1 {
		return nil, nil, fmt.Errorf("fake: alloc: %d bytes, must be at least 1", bytes)
	}
	own, err := d.reserve(bytes)
	if err != nil {
		return nil, nil, err
	}
	return own, func() error {
		d.free([]*tensor{own})
		return nil
	}, nil
}

// Upload writes to a tensor from outside the streams.
func (d *Device) Upload(dst gpu.Tensor, offset int64, src []byte) error {
	return d.within("upload", dst, offset, len(src), func(mem []byte) { copy(mem, src) })
}

// Download reads from a tensor from outside the streams.
func (d *Device) Download(dst []byte, src gpu.Tensor, offset int64) error {
	return d.within("download", src, offset, len(dst), func(mem []byte) { copy(dst, mem) })
}

// within calls use with a part of a tensor that is there while it runs.
func (d *Device) within(verb string, t gpu.Tensor, offset int64, n int, use func(mem []byte)) error {
	if err := d.broken(); err != nil {
		return err
	}
	own, ok := t.(*tensor)
	if !ok || own.dev != d {
		return fmt.Errorf("fake: %s: %w: memory of another device", verb, ErrBounds)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if own.data == nil {
		return fmt.Errorf("fake: %s: %w", verb, ErrFreed)
	}
	if offset < 0 || int64(n) > own.bytes-offset {
		return fmt.Errorf("fake: %s: %w: %d bytes from byte %d of %d", verb, ErrBounds, n, offset, own.bytes)
	}
	use(own.data[offset:][:n])
	return nil
}

var _ gpu.Allocator = (*Device)(nil)
