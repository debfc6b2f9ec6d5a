package storage

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// StorePolicy decides what becomes of a new object. It is called under a lock of the
// manager, one call at a time: it does no I/O, does not block, and depends on its
// inputs only. What it does not decide because it panics is decided as StoreDefault does.
type StorePolicy interface {
	// Admit says whether an object of so many bytes is stored at all.
	Admit(key kv.Key, bytes int64) bool
	// Targets is the set of tiers, as bits by index, that an object goes to.
	Targets(key kv.Key, tiers int) uint64
	// Drop says whether an object leaves L1 when all of its targets have finished and
	// at least one has it.
	Drop(key kv.Key) bool
}

// PrefetchPolicy decides where objects are looked for and what stays. It is called
// like a StorePolicy; PrefetchDefault stands in for it.
type PrefetchPolicy interface {
	// Ask is the set of tiers, as bits by index, that may have an object.
	Ask(key kv.Key, tiers int) uint64
	// Choose picks one of the tiers that have an object; has is not 0.
	Choose(key kv.Key, has uint64) int
	// Keep says whether a loaded object stays in L1 after its last reader.
	Keep(key kv.Key) bool
}

// allTiers is the set of n tiers.
func allTiers(n int) uint64 { return uint64(1)<<n - 1 }

type storeAll struct{ drop bool }

func (storeAll) Admit(kv.Key, int64) bool           { return true }
func (storeAll) Targets(_ kv.Key, tiers int) uint64 { return allTiers(tiers) }
func (s storeAll) Drop(kv.Key) bool                 { return s.drop }

// StoreDefault stores everything in all tiers and leaves L1 alone.
func StoreDefault() StorePolicy { return storeAll{} }

// StoreSkipL1 stores everything in all tiers and drops it from L1 then.
func StoreSkipL1() StorePolicy { return storeAll{drop: true} }

type prefetchAll struct{ keep bool }

func (prefetchAll) Ask(_ kv.Key, tiers int) uint64  { return allTiers(tiers) }
func (prefetchAll) Choose(_ kv.Key, has uint64) int { return bits.TrailingZeros64(has) }
func (p prefetchAll) Keep(kv.Key) bool              { return p.keep }

// PrefetchDefault asks all tiers, takes the first one in order that has an object,
// and lets it go after its last reader.
func PrefetchDefault() PrefetchPolicy { return prefetchAll{} }

// PrefetchRetain is PrefetchDefault, and what is loaded stays in L1.
func PrefetchRetain() PrefetchPolicy { return prefetchAll{keep: true} }

// Policies are policies by their names. The zero value is empty.
type Policies[P any] struct {
	names []string
	made  map[string]func() P
}

// StorePolicies are those of this package: default and skip_l1.
func StorePolicies() *Policies[StorePolicy] {
	p := &Policies[StorePolicy]{}
	_ = p.Register("default", StoreDefault) // it is the first of this name
	_ = p.Register("skip_l1", StoreSkipL1)
	return p
}

// PrefetchPolicies are those of this package: default and retain.
func PrefetchPolicies() *Policies[PrefetchPolicy] {
	p := &Policies[PrefetchPolicy]{}
	_ = p.Register("default", PrefetchDefault)
	_ = p.Register("retain", PrefetchRetain)
	return p
}

// ErrPolicyName says that a policy's name is unknown or taken.
var ErrPolicyName = errors.New("storage: policy name")

// Register adds a policy under a name of its own.
func (p *Policies[P]) Register(name string, construct func() P) error {
	if name == "" || construct == nil {
		return fmt.Errorf("%w: a name and a constructor are needed", ErrPolicyName)
	}
	if _, taken := p.made[name]; taken {
		return fmt.Errorf("%w: %q is registered already", ErrPolicyName, name)
	}
	if p.made == nil {
		p.made = map[string]func() P{}
	}
	p.made[name] = construct
	p.names = append(p.names, name)
	return nil
}

// Names lists the registered names in order of their registration.
func (p *Policies[P]) Names() []string { return slices.Clone(p.names) }

// New makes the policy of a name.
func (p *Policies[P]) New(name string) (P, error) {
	construct, ok := p.made[name]
	if !ok {
		var none P
		return none, fmt.Errorf("%w: %q is unknown; known: %s", ErrPolicyName, name, strings.Join(p.names, ", "))
	}
	return construct(), nil
}
