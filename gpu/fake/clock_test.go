package fake

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/gpu"
)

// TestREQ_E54_DeviceTimesInHostTerms: whatever the offset and the drift of the
// device's clock, an event's time is within 50 µs of when it was reached, after
// idle hours and in bursts, and never goes backwards.
func TestREQ_E54_DeviceTimesInHostTerms(t *testing.T) {
	for _, drift := range []float64{0, 1, -1, 50, -50, 400, -400, 1000} {
		for _, offset := range []time.Duration{0, time.Hour, -1000 * time.Hour} {
			var end time.Time // of the latest work, by the host's clock
			d := New(Options{
				Clock: Virtual, ClockDrift: drift, ClockOffset: offset,
				OnWork: func(w Work) { end = w.End },
			})
			s, err := d.OpenStream(gpu.Normal)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, 1))
			var last time.Time
			for i := range 2000 {
				// From a microsecond to about an hour; first to just before the first
				// renewal, which corrects by more than the way to the next event.
				cost := time.Duration(1000<<rng.IntN(32)) + time.Duration(rng.IntN(1000))
				switch i {
				case 0:
					cost = firstRenewal - time.Microsecond
				case 1:
					cost = 2 * time.Microsecond
				}
				s.Launch(cost, nil)
				e := s.Record()
				if err := e.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				at, _, _ := e.Done()
				if off := at.Sub(end).Abs(); off > 50*time.Microsecond {
					t.Fatalf("drift %v ppm, offset %v: %v off after %v", drift, offset, off, end.Sub(epoch))
				}
				if at.Before(last) {
					t.Fatalf("drift %v ppm: event at %v, before %v", drift, at, last)
				}
				last = at
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestAnchors: between two renewals the conversion is as good as the rate that
// the last two pairs give.
func TestAnchors(t *testing.T) {
	c := ticker{offset: -12345, rate: 300e-6}
	var a anchors
	for at := time.Duration(0); at < 10*time.Minute; at += time.Millisecond {
		if a.due(at) {
			a.renew(pair{host: at, ticks: c.ticks(at)})
		}
		if off := (a.host(c.ticks(at)) - at).Abs(); off > 5*time.Microsecond {
			t.Fatalf("%v off after %v", off, at)
		}
	}
	if a.known > 20 {
		t.Errorf("%d renewals in ten minutes", a.known)
	}
	if a.every != lastRenewal {
		t.Errorf("renewed every %v in the end, want %v", a.every, lastRenewal)
	}
}
