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

// The hash is fixed: these values hold in every process and for every version.
func TestREQ_O18_vectors(t *testing.T) {
	for _, c := range []struct {
		hash, model, salt string
		rank              uint32
		group             uint16
		h, residue        uint64
	}{
		{"0102", "m", "", 0, 0, 0xf2896c47330e4398, 614003},
		{"0102030405060708090a", "meta-llama/Llama-3.1-8B", "tenant-a", 0x01000100, 0, 0xe486b41f72feb0e4, 876123},
		{"0102030405060708090a", "meta-llama/Llama-3.1-8B", "tenant-a", 0x04020402, 1, 0x2753fc84fbb37575, 687802},
	} {
		hash, err := kv.ParseHash(c.hash)
		if err != nil {
			t.Fatal(err)
		}
		s := newSampler(1)
		k := kv.Key{Hash: hash, Model: c.model, Salt: c.salt, Rank: c.rank, Group: c.group}
		h := sampleHash(k.Hash.Lead(), s.namesOf(&k), k.Rank, k.Group)
		if h != c.h || h%sampleModulus != c.residue {
			t.Errorf("%v: hash %x mod %d, want %x mod %d", k, h, h%sampleModulus, c.h, c.residue)
		}
		below, above := sampler{limit: c.residue}, sampler{limit: c.residue + 1}
		if below.takes(h) || !above.takes(h) {
			t.Errorf("%v: the limit is not at its residue", k)
		}
	}
}

// The share of a million random hashes at 1 %; rate 1 takes everything.
func TestREQ_O18_share(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	some, all := newSampler(0.01), newSampler(1)
	const n = 1_000_000
	taken := 0
	for range n {
		var b [32]byte
		binary.BigEndian.PutUint64(b[:], r.Uint64())
		k := kv.Key{Hash: kv.Hash32(b), Model: "m"}
		h := sampleHash(k.Hash.Lead(), some.namesOf(&k), 0, 0)
		if some.takes(h) {
			taken++
		}
		if !all.takes(h) {
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
