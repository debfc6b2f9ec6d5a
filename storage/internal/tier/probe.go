package tier

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// canaryModel is the model of all test objects.
const canaryModel = "lmcache-canary"

// probeKey is the key that the nth probe of the breaker asks for. Each asks for another
// one: the node of a cluster that one lies on may be the only one that is away.
func probeKey(n uint64) kv.Key {
	hash := [32]byte{'c', 'a', 'n', 'a', 'r', 'y'}
	binary.BigEndian.PutUint64(hash[24:], n)
	return canary(hash)
}

func canary(hash [32]byte) kv.Key {
	return kv.Key{Hash: kv.Hash32(hash), Model: canaryModel, Rank: 0x01000100}
}

// newCanary is the key of the object that one start writes, reads and deletes: others
// that start at the same time on the same store have their own.
func newCanary() kv.Key {
	var hash [32]byte
	copy(hash[:], "canary")
	_, _ = rand.Read(hash[8:]) // never fails
	return canary(hash)
}

const canaryBytes = 4096

// Probe writes, looks up, reads, compares and deletes a test object, and looks it up once
// more. A store that cannot be reached opens the breaker, with a warning; one that answers
// with anything else but the object, and then nothing, is an error.
func (t *Tier) Probe(ctx context.Context) error {
	if t.s.NoStartProbe || t.o.Adapter == nil {
		return nil
	}
	now := t.rt.Now()
	var result error
	done := make(chan struct{})
	t.lock()
	t.startLocked(&call{
		op: opStore, keys: 1, bytes: canaryBytes, deadline: now.Add(canaryTime),
		do:   func(ctx context.Context) error { return t.tryObject(ctx, newCanary()) },
		done: func(err error) { result = err; close(done) },
		lost: func() { result = l2.ErrTimeout; close(done) },
		back: func() {},
	}, now)
	t.unlock()
	if err := t.await(ctx, done, 0); err != nil {
		return err
	}
	t.lock()
	defer t.unlock()
	err, at := result, t.rt.Now()
	switch why := l2.ReasonOf(err); {
	case err == nil:
		t.mu.counts.lastSuccess = at
		return nil
	case l2.Unreachable(err):
		t.mu.breaker.open(t, string(why), err, at)
		return nil
	case why == l2.ReasonNoSpace || why == l2.ReasonThrottled:
		t.say(func() {
			t.log.WarnContext(ctx, "the test object of a tier could not be stored", slog.String("reason", string(why)), slog.Any("error", err))
		})
		return nil
	}
	return fmt.Errorf("start probe: %w", err)
}

// tryObject is the test, without the mutex. What it has stored it removes, as far as it
// can.
func (t *Tier) tryObject(ctx context.Context, key kv.Key) (err error) {
	layout, err := kv.RawLayout(canaryBytes)
	if err != nil {
		return err
	}
	data := aligned(canaryBytes)
	for i := range data {
		data[i] = byte(i * 7)
	}
	o := &Object{Key: key, Layout: layout, Data: data}
	x := &transfer{t: t, j: &Job{Objects: []Object{*o}}, list: []int{0}, items: make([]l2.Item, 1)}
	keys, freed := []kv.Key{key}, make([]int64, 1)
	defer func() {
		if err != nil {
			_ = t.adapter.Delete(ctx, keys, freed) // nobody comes back to it
		}
	}()
	err = x.store(ctx)
	if err = cmp.Or(x.items[0].Err, err); err != nil { // the call's may be that of its item
		return fmt.Errorf("store: %w", err)
	}
	found, err := t.has(ctx, key)
	if err != nil {
		return fmt.Errorf("lookup: %w", err)
	}
	if !found {
		return errors.New("lookup: what was stored is not found")
	}
	back := aligned(canaryBytes)
	x.j.Objects[0].Data, x.items[0] = back, l2.Item{}
	err = x.load(ctx)
	if err = cmp.Or(x.items[0].Err, err); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if !bytes.Equal(back, data) {
		return fmt.Errorf("load: %w: other bytes than were stored", l2.ErrCorrupt)
	}
	if err := t.adapter.Delete(ctx, keys, freed); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if _, err := t.has(ctx, key); err != nil { // as every lookup that misses would
		return fmt.Errorf("lookup of what is not there: %w", err)
	}
	t.learnLimit()
	return nil
}

// has asks the store for one key, without the mutex.
func (t *Tier) has(ctx context.Context, key kv.Key) (bool, error) {
	found := make([]l2.Found, 1)
	err := t.adapter.Lookup(ctx, []kv.Key{key}, found)
	return found[0].OK, cmp.Or(err, found[0].Err)
}
