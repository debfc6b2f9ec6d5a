package zstd

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// Options of a Serde.
type Options struct {
	Level   int          // 1 to 19; 0: 1
	Workers int          // conversions at a time, others wait; 0: 1
	Logger  *slog.Logger // nil: no logs
}

// MaxLevel is the highest level.
const MaxLevel = 19

// maxObject is more than an object has, in bytes, and what the decoder can be told.
const maxObject = 1 << 40

// Serde implements [l2.Serde]. Besides the buffers of its callers it has one scratch
// buffer, of the size of the largest object, for each worker.
type Serde struct {
	enc  *zstd.Encoder
	dec  *zstd.Decoder
	slot chan []byte // one for each worker: its scratch

	objects, in, out atomic.Int64
	log              atomic.Pointer[slog.Logger]
	noted            atomic.Bool
}

// New returns a serde.
func New(o Options) (*Serde, error) {
	if o.Level < 0 || o.Level > MaxLevel {
		return nil, fmt.Errorf("zstd: Level: %d, must be 1 to %d", o.Level, MaxLevel)
	}
	if o.Workers < 0 || o.Workers > l2.MaxWorkers {
		return nil, fmt.Errorf("zstd: Workers: %d, must be 1 to %d", o.Workers, l2.MaxWorkers)
	}
	o.Level, o.Workers = max(o.Level, 1), max(o.Workers, 1)
	// The header of a stored object has a checksum over all of this.
	// A single segment has its content size in any case.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(o.Level)), zstd.WithEncoderConcurrency(o.Workers),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	// The window of a single segment is the whole object, of any size; it takes no memory.
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(o.Workers), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(maxObject), zstd.WithDecoderMaxMemory(maxObject))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	s := &Serde{enc: enc, dec: dec, slot: make(chan []byte, o.Workers)}
	for range o.Workers {
		s.slot <- nil
	}
	s.SetLogger(o.Logger)
	return s, nil
}

// SetLogger implements [l2.Logging].
func (s *Serde) SetLogger(log *slog.Logger) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s.log.Store(log)
}

// Name implements [l2.Serde].
func (*Serde) Name() string { return "zstd" }

// Bound implements [l2.Serde].
func (s *Serde) Bound(layout kv.Layout) int64 { return int64(s.enc.MaxEncodedSize(int(layout.Size()))) }

// needed is how much scratch an object takes: none if it is its own planes.
func needed(tensors []kv.Tensor, size int) int {
	if flat(tensors) {
		return 0
	}
	return size
}

// scratch takes n bytes, which are given back with put, and with them the right to
// use a core.
func (s *Serde) scratch(n int) []byte {
	b := <-s.slot
	if cap(b) < n {
		b = make([]byte, n)
	}
	return b[:n]
}

func (s *Serde) put(b []byte) { s.slot <- b }

var errSize = errors.New("another size than that of the layout")

// Serialize implements [l2.Serde].
func (s *Serde) Serialize(dst, src []byte, layout kv.Layout, _ kv.Key) (int, error) {
	size := int(layout.Size())
	if len(src) != size {
		return 0, fmt.Errorf("zstd: %d bytes, must be %d: %w", len(src), size, errSize)
	}
	tensors := layout.Tensors()
	b := s.scratch(needed(tensors, size))
	defer s.put(b)
	planes := src
	if len(b) > 0 {
		planes = b
		split(planes, src, tensors)
	}
	out := s.enc.EncodeAll(planes, dst[:0])
	if len(out) > len(dst) {
		return 0, fmt.Errorf("zstd: %d bytes do not fit %d", len(out), len(dst))
	}
	if &out[0] != &dst[0] { // on its way to its size the frame was longer than dst, and moved
		copy(dst, out)
	}
	s.count(size, len(out))
	return len(out), nil
}

// Deserialize implements [l2.Serde].
func (s *Serde) Deserialize(dst, src []byte, layout kv.Layout, _ kv.Key) error {
	size := int(layout.Size())
	if len(dst) != size {
		return fmt.Errorf("zstd: %d bytes, must be %d: %w", len(dst), size, errSize)
	}
	var h zstd.Header
	if err := h.Decode(src); err != nil {
		return fmt.Errorf("zstd: %w", err)
	}
	if h.Skippable || h.DictionaryID != 0 || !h.HasFCS || h.FrameContentSize != uint64(size) {
		return errors.New("zstd: it is not one frame of an object of this layout")
	}
	tensors := layout.Tensors()
	b := s.scratch(needed(tensors, size))
	defer s.put(b)
	planes := dst
	if len(b) > 0 {
		planes = b
	}
	out, err := s.dec.DecodeAll(src, planes[:0:size])
	if err != nil {
		return fmt.Errorf("zstd: %w", err)
	}
	if len(out) != size {
		return fmt.Errorf("zstd: %d bytes, must be %d: %w", len(out), size, errSize)
	}
	if len(b) > 0 {
		join(dst, planes, tensors)
	}
	return nil
}

// Stats says how much was serialized, and to how much.
type Stats struct {
	Objects int64
	In, Out int64 // bytes
}

// Stats returns what was serialized so far.
func (s *Serde) Stats() Stats {
	return Stats{Objects: s.objects.Load(), In: s.in.Load(), Out: s.out.Load()}
}

// When it is said that compression does not pay.
const (
	noteAfter  = 64   // objects
	noteSaving = 0.05 // of the bytes
)

// count adds an object and tells once, after some, if they hardly shrink.
func (s *Serde) count(in, out int) {
	n, totalIn, totalOut := s.objects.Add(1), s.in.Add(int64(in)), s.out.Add(int64(out))
	if n < noteAfter {
		return
	}
	if s.noted.Swap(true) {
		return // nobody waits for the log of another one
	}
	saved := 1 - float64(totalOut)/float64(totalIn)
	if saved < noteSaving {
		s.log.Load().Warn(fmt.Sprintf("zstd saves %.1f %% of the bytes of the first %d objects; it costs more than it gives, leave the serde out", saved*100, n),
			"bytes_in", totalIn, "bytes_out", totalOut)
	}
}

// Kind is the type zstd of a configuration.
func Kind() l2.SerdeKind {
	return l2.SerdeKind{Names: []string{"zstd"}, Parse: func(f *l2.Fields, workers int) l2.Serde {
		s, err := New(Options{Level: f.Int("level", 1, 1, MaxLevel), Workers: workers})
		if err != nil {
			f.Bad("type", "%v", err)
			return nil
		}
		return s
	}}
}
