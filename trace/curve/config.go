package curve

import (
	"encoding/json"
	"fmt"

	"github.com/lmcache-go/lmcache/l1"
)

// Config is what the header of a recording says of L1. What it does not say is zero.
type Config struct {
	Bytes  int64
	Align  int
	Policy Policy
}

// Policy is one way to evict; see l1.Options for its fields.
type Policy struct {
	Name          string
	Mode          l1.Mode // empty: exact
	Watermark     float64
	EvictionRatio float64
}

// String is the name, with the mode if it is not the exact one.
func (p Policy) String() string {
	if p.Mode == "" || p.Mode == l1.ModeExact {
		return p.Name
	}
	return fmt.Sprintf("%s/%s", p.Name, p.Mode)
}

// eviction is the eviction part of a configuration. LMCache's evicts by watermark only,
// and names its policy in another way.
type eviction struct {
	Policy  string  `json:"policy"`
	Mode    string  `json:"mode"`
	Theirs  string  `json:"eviction_policy"`
	Trigger float64 `json:"trigger_watermark"`
	Ratio   float64 `json:"ratio"`
	Part    float64 `json:"eviction_ratio"`
}

// ParseConfig reads the configuration in the header of a recording, this project's or
// LMCache's. What it cannot read is as if it were missing.
func ParseConfig(text string) Config {
	var v struct {
		L1 struct {
			Bytes    int64    `json:"size_bytes"`
			Align    int      `json:"align_bytes"`
			Eviction eviction `json:"eviction"`
		} `json:"l1"`
		Theirs struct {
			Eviction eviction `json:"eviction"`
			Memory   struct {
				Bytes int64 `json:"size_in_bytes"`
				Align int   `json:"align_bytes"`
			} `json:"memory_config"`
		} `json:"l1_manager_config"`
	}
	if json.Unmarshal([]byte(text), &v) != nil {
		return Config{}
	}
	if e := v.Theirs.Eviction; e.Theirs != "" || v.Theirs.Memory.Bytes > 0 {
		return Config{
			Bytes: max(v.Theirs.Memory.Bytes, 0), Align: v.Theirs.Memory.Align,
			Policy: Policy{Name: e.Theirs, Mode: l1.ModeWatermark, Watermark: e.Trigger, EvictionRatio: ratioOption(e.Part)},
		}
	}
	c := Config{Bytes: max(v.L1.Bytes, 0), Align: v.L1.Align, Policy: Policy{Name: v.L1.Eviction.Policy, Mode: l1.Mode(v.L1.Eviction.Mode)}}
	if c.Policy.Mode == l1.ModeWatermark {
		c.Policy.Watermark, c.Policy.EvictionRatio = v.L1.Eviction.Trigger, ratioOption(v.L1.Eviction.Ratio)
	}
	return c
}

// ratioOption is a recorded ratio as an option, where 0 means the default.
func ratioOption(ratio float64) float64 {
	if ratio == 0 {
		return l1.NoEvictionRatio
	}
	return ratio
}
