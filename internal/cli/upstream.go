package cli

import (
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// The treatments of a flag that LMCache has and this program has not, or not
// yet. A flag carries one of them in its tag "treat", the reason in "why" and
// LMCache's default in "upstream"; given that default, nothing is said.
const (
	treatSilent  = "silent"  // accepted, has no effect
	treatIgnored = "ignored" // has no effect, with a warning
	treatRefused = "refused" // an error
	treatLater   = "later"   // an error: the part of the program that has it does not exist yet
)

// treatUpstream reports the flags of LMCache that have a value and none of our
// own meanings.
func treatUpstream(flags []*kong.Flag, p *Problems) {
	for _, flag := range flags {
		treat := flag.Tag.Get("treat")
		from := p.origins[flag.Name]
		if treat == "" || from.source == fromDefault || p.IsBad(flag.Name) || isUpstreamDefault(flag, from.text) {
			continue
		}
		why, name := flag.Tag.Get("why"), flag.Name
		if on, err := parseBool(from.text); err == nil && !on && flag.IsBool() {
			name = "no-" + name
		}
		switch treat {
		case treatSilent:
		case treatIgnored:
			p.Warn("--%s has no effect in lmcache-go: %s%s", name, why, from.suffix())
		case treatRefused:
			p.Usage("--%s is not supported by lmcache-go: %s%s", name, why, from.suffix())
		case treatLater:
			if why != "" {
				why = ": " + why
			}
			p.Usage("--%s is not available in this version yet%s%s", name, why, from.suffix())
		}
	}
}

// isUpstreamDefault compares a text with LMCache's default, as numbers or
// booleans where both are.
func isUpstreamDefault(flag *kong.Flag, text string) bool {
	if !flag.Tag.Has("upstream") {
		return false
	}
	def := flag.Tag.Get("upstream")
	if text == def || strings.TrimSpace(text) == "" && def == "" {
		return true
	}
	a, errA := strconv.ParseFloat(strings.TrimSpace(text), 64)
	b, errB := strconv.ParseFloat(def, 64)
	if errA == nil && errB == nil {
		return a == b
	}
	va, errA := parseBool(text)
	vb, errB := parseBool(def)
	return errA == nil && errB == nil && va == vb
}
