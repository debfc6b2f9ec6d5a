package lmcache

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// ringer notes when it rings.
type ringer struct {
	alarm alarm
	again time.Duration
	times int
	rang  []time.Duration
	began time.Time
}

func (r *ringer) ring(now time.Time) time.Time {
	r.rang = append(r.rang, now.Sub(r.began))
	if r.times--; r.times <= 0 {
		return time.Time{}
	}
	return now.Add(r.again)
}

// TestAlarms: alarms ring in order of time, again if they want to, and never after
// stop or close; the timer is set only while there are any.
func TestAlarms(t *testing.T) {
	rt := runtime.NewVirtual(runtime.VirtualOptions{})
	a := &alarms{rt: rt}
	began := rt.Now()
	at := began.Add
	make3 := func(again time.Duration, times int) *ringer {
		r := &ringer{again: again, times: times, began: began}
		r.alarm.bell = r
		return r
	}
	once, often, never, moved := make3(0, 1), make3(10*time.Second, 3), make3(0, 1), make3(0, 1)
	a.set(&often.alarm, at(20*time.Second))
	a.set(&never.alarm, at(25*time.Second))
	a.set(&once.alarm, at(5*time.Second))
	a.set(&moved.alarm, at(60*time.Second))
	a.set(&moved.alarm, at(7*time.Second))
	a.set(&moved.alarm, at(70*time.Second)) // it keeps the earlier time
	a.stop(&never.alarm)
	a.set(&never.alarm, at(26*time.Second))
	rt.RunUntil(at(time.Hour))
	for name, tc := range map[string]struct{ got, want []time.Duration }{
		"once":  {once.rang, []time.Duration{5 * time.Second}},
		"often": {often.rang, []time.Duration{20 * time.Second, 30 * time.Second, 40 * time.Second}},
		"never": {never.rang, nil},
		"moved": {moved.rang, []time.Duration{7 * time.Second}},
	} {
		if !slices.Equal(tc.got, tc.want) {
			t.Errorf("%s rang at %v, want %v", name, tc.got, tc.want)
		}
	}
	if rt.Step() {
		t.Error("a timer is set without an alarm")
	}
	late := make3(0, 1)
	a.set(&late.alarm, rt.Now().Add(time.Second))
	a.close()
	a.set(&make3(0, 1).alarm, rt.Now().Add(time.Second))
	for rt.Step() {
	}
	if len(late.rang) != 0 {
		t.Error("an alarm rang after close")
	}
}

// TestSmallFloats: every value of the small formats survives, and what lies between
// two values goes to the nearer one, or to the even one.
func TestSmallFloats(t *testing.T) {
	for _, d := range []kv.DType{kv.Float16, kv.BFloat16, kv.Float8E5M2, kv.Float8E4M3FN} {
		f, _ := smallFloatOf(d)
		last := math.Inf(-1)
		for bits := uint32(0); bits < f.infinity(); bits++ {
			v := f.decode(bits)
			if v <= last {
				t.Fatalf("%s: %#x is %v, not above %v", d, bits, v, last)
			}
			last = v
			next := f.decode(bits + 1)
			for _, x := range []struct {
				v    float64
				bits uint32
			}{
				{v, bits},
				{v + (next-v)/2, bits + bits&1}, // the tie
				{math.Nextafter(v+(next-v)/2, 0), bits},
				{math.Nextafter(v+(next-v)/2, math.Inf(1)), bits + 1},
			} {
				if bits+1 == f.infinity() && x.bits != bits || math.IsInf(next, 0) || math.IsNaN(next) {
					break // what lies above is looked at below
				}
				sign := uint32(1) << (f.exponent + f.mantissa)
				if got := f.encode(x.v); got != x.bits {
					t.Fatalf("%s: %v becomes %#x, want %#x", d, x.v, got, x.bits)
				}
				if got := f.encode(-x.v); got != x.bits|sign {
					t.Fatalf("%s: %v becomes %#x, want %#x", d, -x.v, got, x.bits|sign)
				}
			}
		}
		if got := f.encode(math.NaN()); !math.IsNaN(f.decode(got)) {
			t.Errorf("%s: NaN becomes %#x", d, got)
		}
		if got := f.encode(math.Inf(1)); got != f.infinity() {
			t.Errorf("%s: infinity becomes %#x", d, got)
		}
	}
	for _, tc := range []struct {
		d    kv.DType
		v    float64
		bits uint32
	}{ // from the definitions of the formats
		{kv.Float16, 1, 0x3c00},
		{kv.Float16, 65504, 0x7bff},
		{kv.Float16, 65519.99, 0x7bff},
		{kv.Float16, 65520, 0x7c00},
		{kv.Float16, 1.0 / (1 << 24), 1},
		{kv.Float16, 1.0 / (1 << 25), 0},
		{kv.Float16, -2, 0xc000},
		{kv.BFloat16, 1, 0x3f80},
		{kv.BFloat16, 3.4e38, 0x7f80},
		{kv.BFloat16, 3.38e38, 0x7f7e},
		{kv.Float8E5M2, 57344, 0x7b},
		{kv.Float8E5M2, 61440, 0x7c},
		{kv.Float8E5M2, 61439, 0x7b},
		{kv.Float8E4M3FN, 448, 0x7e},
		{kv.Float8E4M3FN, 464, 0x7e},
		{kv.Float8E4M3FN, 465, 0x7f},
		{kv.Float8E4M3FN, 1, 0x38},
		{kv.Float8E4M3FN, 1.0 / 512, 1},
		{kv.Float8E4M3FN, math.Copysign(0, -1), 0x80},
	} {
		f, _ := smallFloatOf(tc.d)
		if got := f.encode(tc.v); got != tc.bits {
			t.Errorf("%s: %v becomes %#x, want %#x", tc.d, tc.v, got, tc.bits)
		}
	}
}
