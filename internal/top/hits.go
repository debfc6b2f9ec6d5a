package top

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Rates are what lookups asked for and found since the scrape before.
type Rates struct {
	Lookups   Number `json:"lookups_per_second"`
	Requested Number `json:"requested_tokens_per_second"`
	Hit       Number `json:"hit_rate"`    // share of the requested tokens, 0 to 1
	HitL1     Number `json:"hit_rate_l1"` // part of it by tier
	HitL2     Number `json:"hit_rate_l2"`
	Tokens    Number `json:"requested_tokens_total"` // since the server's start
	HitTotal  Number `json:"hit_rate_total"`
}

// Hits are the rates of the whole server.
type Hits struct {
	Rates
	Hit10s Number `json:"hit_rate_10s"` // over the last 10 seconds; only a live view knows it
	Hit1m  Number `json:"hit_rate_1m"`

	Trend []Number `json:"-"` // hit rates of the last intervals, oldest first
}

// Model is what lookups of a model asked for and found.
type Model struct {
	Name string `json:"model"`
	Rates
}

// Tenant is what lookups of a tenant asked for and found.
type Tenant struct {
	Salt string `json:"cache_salt"`
	Rates
}

const (
	lookupsMetric   = "lmcache_mp_lookups_total"
	requestedMetric = "lmcache_mp_lookup_requested_tokens_total"
	hitMetric       = "lmcache_mp_lookup_hit_tokens_total"
	hitL1Metric     = "lmcache_mp_lookup_hit_l1_tokens_total"
	hitL2Metric     = "lmcache_mp_lookup_hit_l2_tokens_total"
)

func (f *Frame) hits(w window) {
	all := ratesBy(w, "")
	f.Hits = Hits{Rates: all[""], Hit10s: none, Hit1m: none}
	if len(all) == 0 {
		f.Hits.Rates = Rates{none, none, none, none, none, none, none}
	}
	for name, r := range ratesBy(w, "model_name") {
		f.Models = append(f.Models, Model{clean(name), r})
	}
	slices.SortFunc(f.Models, func(a, b Model) int {
		return cmp.Or(compare(b.Requested, a.Requested), compare(b.Tokens, a.Tokens), cmp.Compare(a.Name, b.Name))
	})
	for salt, r := range ratesBy(w, "cache_salt") {
		f.Tenants = append(f.Tenants, Tenant{clean(salt), r})
	}
	SortTenants(f.Tenants, ByTokens)
}

// ratesBy are the rates by the value of a label; all of them under "" without one.
func ratesBy(w window, label string) map[string]Rates {
	var m [5]map[string]change
	for i, name := range []string{lookupsMetric, requestedMetric, hitMetric, hitL1Metric, hitL2Metric} {
		m[i] = w.sumBy(name, label)
	}
	out := make(map[string]Rates, len(m[1]))
	for v, requested := range m[1] {
		r := Rates{
			Lookups: none, Requested: over(requested.gained, w.seconds), Tokens: Number(requested.total),
			Hit: ratio(m[2][v].gained, requested.gained), HitTotal: ratio(m[2][v].total, requested.total), HitL1: none, HitL2: none,
		}
		if len(m[0]) > 0 {
			r.Lookups = over(m[0][v].gained, w.seconds)
		}
		if len(m[3]) > 0 {
			r.HitL1 = ratio(m[3][v].gained, requested.gained)
		}
		if len(m[4]) > 0 {
			r.HitL2 = ratio(m[4][v].gained, requested.gained)
		}
		out[v] = r
	}
	return out
}

// Order is an order of tenants.
type Order string

// Orders of tenants.
const (
	ByTokens Order = "tokens" // most tokens asked for since the scrape before, and then in total
	ByTotal  Order = "total"  // most tokens asked for in total
	ByHits   Order = "hits"   // lowest hit rate since the scrape before: who suffers
	BySalt   Order = "salt"   // by name
)

// Orders lists them as the key "s" walks through them.
func Orders() []Order { return []Order{ByTokens, ByTotal, ByHits, BySalt} }

// Validate reports an order that does not exist.
func (o Order) Validate() error {
	if slices.Contains(Orders(), o) {
		return nil
	}
	return fmt.Errorf("top: order %q: must be tokens, total, hits or salt", string(o))
}

// next is the order behind o.
func (o Order) next() Order {
	all := Orders()
	return all[(slices.Index(all, o)+1)%len(all)]
}

// SortTenants orders tenants.
func SortTenants(list []Tenant, by Order) {
	slices.SortFunc(list, func(a, b Tenant) int {
		name := cmp.Compare(a.Salt, b.Salt)
		total := cmp.Or(compare(b.Tokens, a.Tokens), name)
		switch by {
		case BySalt:
			return name
		case ByTotal:
			return total
		case ByHits:
			return cmp.Or(-known(a.Hit, b.Hit), compare(a.Hit, b.Hit), compare(b.Requested, a.Requested), total)
		case ByTokens:
		}
		return cmp.Or(compare(b.Requested, a.Requested), total)
	})
}

// known is positive if only a is a number, negative if only b is.
func known(a, b Number) int {
	switch {
	case a.Known() == b.Known():
		return 0
	case a.Known():
		return 1
	}
	return -1
}

// clean makes a text from outside fit to be shown: what is no printable character
// becomes a dot, so that nothing in it reaches the terminal as a command.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\uFFFD' || !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, s)
}
