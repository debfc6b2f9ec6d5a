package observe

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lmcache-go/lmcache/eventbus"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// The share of a million random hashes at 1 %; rate 1 takes everything.
func TestREQ_O18_share(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	some, all := kv.NewSampler(0.01), kv.NewSampler(1)
	const n = 1_000_000
	taken := 0
	for range n {
		var b [32]byte
		binary.BigEndian.PutUint64(b[:], r.Uint64())
		k := kv.Key{Hash: kv.Hash32(b), Model: "m"}
		h := kv.SampleHash(k.Hash.Lead(), some.Names(&k), 0, 0)
		if some.Takes(h) {
			taken++
		}
		if !all.Takes(h) {
			t.Fatal("rate 1 left one out")
		}
	}
	if share := float64(taken) / n; share < 0.0095 || share > 0.0105 {
		t.Errorf("share %v of the sample at rate 0.01", share)
	}
	d, won := newDraw(0.01), 0
	for range n {
		if d.wins() {
			won++
		}
	}
	if share := float64(won) / n; share < 0.0095 || share > 0.0105 {
		t.Errorf("share %v of the draws at rate 0.01", share)
	}
	always := newDraw(1)
	if !always.wins() {
		t.Error("a draw at rate 1 lost")
	}
}

func TestSampleRateRefused(t *testing.T) {
	for rate, want := range map[float64]string{-0.5: "-0.5", 1.01: "1.01", math.Inf(1): "+Inf", math.NaN(): "NaN"} {
		want = "sample_rate must be in (0, 1.0], got " + want
		err := Options{SampleRate: rate}.Validate()
		_, errNew := Subscribers(newRecorder(), MetricOptions{SampleRate: rate})
		_, errStart := Start(eventbus.New(eventbus.Options{Manual: true}), newRecorder(), Options{SampleRate: rate})
		for _, err := range []error{err, errNew, errStart} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("rate %v: %v, want %q", rate, err, want)
			}
		}
	}
	if err := errors.Join(checkRate(1), checkRate(1e-9), Options{}.Validate()); err != nil {
		t.Error(err)
	}
}

// What it takes to choose among 16 keys of one model, none of them in the sample.
func BenchmarkSampler(b *testing.B) {
	s, err := NewL1LifecycleSubscriber(newRecorder(), MetricOptions{SampleRate: 1e-7})
	if err != nil {
		b.Fatal(err)
	}
	keys := make([]kv.Key, 16)
	for i := range keys {
		keys[i] = key(i)
	}
	for b.Loop() {
		s.each(keys, epoch, s.read)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(keys)), "ns/key")
}
