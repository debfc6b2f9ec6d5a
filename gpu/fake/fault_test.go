package fake_test

import (
	"bytes"
	"errors"
	"math/bits"
	"testing"

	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
)

var errWanted = errors.New("wanted")

// TestFaultStrikesTheNth: a fault lets After operations of its kind pass and
// strikes the Count that follow.
func TestFaultStrikesTheNth(t *testing.T) {
	const copies = 6
	for _, kind := range []fake.Kind{fake.Copy, fake.Gather, fake.Scatter} {
		for after := range copies + 1 {
			for count := range 3 {
				r := newRig(t, fake.Options{Clock: fake.Virtual})
				s := r.stream()
				r.Fail(fake.Fault{Kind: kind, After: after, Count: count, Err: errWanted})
				seen := 0 // of the kind
				for i := range copies {
					if i%2 == 0 {
						r.gather(s, 0)
					} else {
						r.scatter(s, byte(i), 1)
					}
					err := s.Record().Wait(t.Context())
					own := kind == fake.Copy || (kind == fake.Gather) == (i%2 == 0)
					struck := own && seen >= after && seen < after+max(count, 1)
					if own {
						seen++
					}
					if errors.Is(err, errWanted) != struck {
						t.Errorf("%v fault after %d, count %d: copy %d: %v", kind, after, count, i, err)
					}
				}
			}
		}
	}
}

// TestFaultEffects: what each effect leaves behind.
func TestFaultEffects(t *testing.T) {
	const old, fresh = 0x11, 0x77
	for _, tc := range []struct {
		effect fake.Effect
		fails  bool
		wrong  func(bytes, bits int) bool // against what a good copy leaves
	}{
		{fake.Refuse, true, func(n, _ int) bool { return n == 64 }},
		{fake.Tear, true, func(n, _ int) bool { return n == 32 }},
		{fake.Flip, false, func(n, bits int) bool { return n == 1 && bits == 1 }},
		{fake.Swap, false, func(n, _ int) bool { return n == 64 }},
	} {
		for _, kind := range []fake.Kind{fake.Gather, fake.Scatter} {
			r := newRig(t, fake.Options{})
			s := r.stream()
			r.scatter(s, old, 3)
			r.wait(s.Record())

			// The planes of the source differ, those of the destination do not.
			source := bytes.Repeat([]byte{fresh}, r.size)
			for i := range r.size / 2 {
				source[i] = fresh + 1
			}
			got := bytes.Repeat([]byte{old}, r.size)
			if kind == fake.Gather {
				s.Scatter(source, r.paged, 0, []gpu.BlockID{3})
				s.Gather(make([]byte, r.size), r.paged, 0, []gpu.BlockID{3})
				r.wait(s.Record())
			}
			r.Fail(fake.Fault{Kind: kind, Effect: tc.effect, Err: errWanted})
			if kind == fake.Gather {
				s.Gather(got, r.paged, 0, []gpu.BlockID{3})
			} else {
				s.Scatter(source, r.paged, 0, []gpu.BlockID{3})
			}
			err := s.Record().Wait(t.Context())
			if tc.fails != errors.Is(err, errWanted) || !tc.fails && err != nil {
				t.Errorf("effect %d of %v: error %v", tc.effect, kind, err)
			}
			if kind == fake.Scatter {
				got = r.object(3)
			}
			wrong, wrongBits := 0, 0
			for i := range got {
				if got[i] != source[i] {
					wrong++
					wrongBits += bits.OnesCount8(got[i] ^ source[i])
				}
			}
			if !tc.wrong(wrong, wrongBits) {
				t.Errorf("effect %d of %v: %d bytes and %d bits differ", tc.effect, kind, wrong, wrongBits)
			}
		}
	}
}

// TestStick: a copy that sticks holds its stream and no other, until Release.
func TestStick(t *testing.T) {
	for _, clock := range []fake.Clock{fake.Real, fake.Virtual} {
		r := newRig(t, fake.Options{Clock: clock})
		a, b := r.stream(), r.stream()
		r.Fail(fake.Fault{Kind: fake.Scatter, After: 1, Effect: fake.Stick})
		r.scatter(a, 1, 0)
		passes := a.Record()
		r.scatter(a, 2, 0)
		sticks := a.Record()
		r.wait(passes)
		r.gather(b, 1)
		r.wait(b.Record())
		r.pending(sticks)
		if got := r.object(0)[0]; got != 1 {
			t.Errorf("block holds %d, want 1", got)
		}
		r.Release()
		r.wait(sticks)
		if got := r.object(0)[0]; got != 2 {
			t.Errorf("block holds %d after Release, want 2", got)
		}
	}
}

// TestStickyFault: a sticky error is the end of the device, for all streams.
func TestStickyFault(t *testing.T) {
	r := newRig(t, fake.Options{})
	a, b := r.stream(), r.stream()
	r.Fail(fake.Fault{Kind: fake.Gather, Sticky: true, Err: errWanted})
	r.scatter(b, 1, 0)
	r.wait(b.Record())
	r.gather(a, 0)
	for range 3 {
		if err := a.Record().Wait(t.Context()); !errors.Is(err, errWanted) {
			t.Errorf("stream of the fault: %v", err)
		}
		r.scatter(b, 2, 0)
		if err := b.Record().Wait(t.Context()); !errors.Is(err, errWanted) {
			t.Errorf("other stream: %v", err)
		}
	}
	if got := r.object(0)[0]; got != 1 {
		t.Errorf("block holds %d, want 1", got)
	}
	if _, err := r.NewPaged(gpu.Shape{Layers: 1, Blocks: 1, BlockTokens: 1, Heads: 1, HeadSize: 1, DType: "int8"}); !errors.Is(err, errWanted) {
		t.Errorf("NewPaged: %v", err)
	}
}

// TestFaultsOfServices: pins, allocations and streams fail on request.
func TestFaultsOfServices(t *testing.T) {
	r := newRig(t, fake.Options{})
	for kind, do := range map[fake.Kind]func() error{
		fake.Pin: func() error {
			unpin, err := r.Pin(make([]byte, 4096))
			if err != nil {
				return err
			}
			return unpin()
		},
		fake.Alloc: func() error {
			_, err := r.NewPaged(gpu.Shape{Layers: 1, Blocks: 1, BlockTokens: 1, Heads: 1, HeadSize: 1, DType: "int8"})
			return err
		},
		fake.Open: func() error {
			_, err := r.NewStream(gpu.High)
			return err
		},
	} {
		r.Fail(fake.Fault{Kind: kind, After: 1})
		for i, fails := range []bool{false, true, false} {
			if err := do(); errors.Is(err, fake.ErrInjected) != fails || !fails && err != nil {
				t.Errorf("%v, call %d: %v", kind, i, err)
			}
		}
	}
}

// TestSkippedBehindAFailure: copies between a failure and the next Record are left
// out and counted, those behind it run.
func TestSkippedBehindAFailure(t *testing.T) {
	r := newRig(t, fake.Options{})
	s := r.stream()
	r.Fail(fake.Fault{})
	r.scatter(s, 1, 0)
	r.scatter(s, 2, 0)
	failed := s.Record()
	r.scatter(s, 3, 1)
	r.wait(s.Record())
	if err := failed.Wait(t.Context()); !errors.Is(err, fake.ErrInjected) {
		t.Errorf("event: %v", err)
	}
	if a, b := r.object(0)[0], r.object(1)[0]; a == 1 || a == 2 || b != 3 {
		t.Errorf("blocks hold %d and %d", a, b)
	}
	want := fake.Stats{
		Scatters: 1, ScatterBytes: 64, FailedCopies: 1, SkippedCopies: 1, Records: 2, MemoryBytes: 512, Streams: 1,
	}
	if got := r.Stats(); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}
