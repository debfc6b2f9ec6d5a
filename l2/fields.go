package l2

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lmcache-go/lmcache/internal/suggest"
)

// Fields reads the keys of one JSON object of a configuration. Each method says that
// a key exists, checks its value, reports what is wrong with it and returns the
// default then. Keys that nobody has asked for are unknown and reported at the end.
type Fields struct {
	parse   *parse
	prefix  string // of keys in messages
	values  map[string]any
	order   []string
	known   []string          // keys that were asked for
	fromEnv map[string]string // key: the variable that its value comes from
	aliases map[string]string // key: how it was written
	shown   map[string]any
	serde   bool

	transient bool // persist_enabled is false
}

func (p *parse) fields(prefix string, o object) *Fields {
	return &Fields{
		parse: p, prefix: prefix, values: o.values, order: o.order,
		fromEnv: map[string]string{}, aliases: map[string]string{}, shown: map[string]any{},
	}
}

// Bad reports a problem of a key. No secret may be in the text.
func (f *Fields) Bad(key, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if name, ok := f.fromEnv[key]; ok {
		text += " (from " + name + ")"
	}
	if name, ok := f.aliases[key]; ok {
		key = name
	}
	f.parse.bad(f.prefix+key, "%s", text)
}

// Has tells whether a key has a value.
func (f *Fields) Has(key string) bool {
	_, ok := f.values[key]
	return ok
}

// Env lets an environment variable that is set and not empty take the place of a key.
// It comes before the key is read.
func (f *Fields) Env(key, name string) {
	if f.parse.env == nil {
		return
	}
	if text, ok := f.parse.env(name); ok && text != "" {
		f.values[key] = text
		f.fromEnv[key] = name
	}
}

// alias moves the value of another spelling to its key.
func (f *Fields) alias(alias, key string) {
	v, ok := f.values[alias]
	if !ok {
		return
	}
	delete(f.values, alias)
	f.order = slices.DeleteFunc(f.order, func(s string) bool { return s == alias })
	if f.Has(key) {
		f.Bad(alias, "is another name of %s, which is there too", key)
		return
	}
	f.values[key] = v
	f.aliases[key] = alias
}

// get finds the value of a key. null is the same as no value.
func (f *Fields) get(key string) (any, bool) {
	if !slices.Contains(f.known, key) {
		f.known = append(f.known, key)
	}
	v, ok := f.values[key]
	if v == nil {
		return nil, false
	}
	return v, ok
}

// kindOf names the type of a JSON value in messages; values are not shown, since they
// may be secrets.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "true or false"
	case string:
		return "a text"
	case json.Number:
		return "a number"
	case []any:
		return "a list"
	default:
		return "an object"
	}
}

// String reads a text.
func (f *Fields) String(key, def string) string {
	s := f.text(key, def)
	if s != "" {
		f.shown[key] = s
	}
	return s
}

func (f *Fields) text(key, def string) string {
	v, ok := f.get(key)
	if !ok {
		return def
	}
	s, ok := v.(string)
	if !ok {
		f.Bad(key, "must be a text, got %s", kindOf(v))
		return def
	}
	return s
}

// Secret reads a text that is never shown.
func (f *Fields) Secret(key string) string {
	s := f.text(key, "")
	if s != "" {
		f.shown[key] = "***"
	}
	return s
}

// Require reports a key that has no value.
func (f *Fields) Require(key string) {
	if _, ok := f.get(key); !ok {
		f.Bad(key, "is required")
	}
}

// Need reads a text that must be there and not be empty.
func (f *Fields) Need(key string) string {
	f.Require(key)
	s := f.String(key, "")
	if v, ok := f.get(key); ok && v == "" {
		f.Bad(key, "must not be empty")
	}
	return s
}

// OneOf reads one of several texts.
func (f *Fields) OneOf(key, def string, choices ...string) string {
	s := f.text(key, def)
	if !slices.Contains(choices, s) {
		hint := ""
		if n := suggest.Nearest(s, choices); n != "" {
			hint = fmt.Sprintf("; did you mean %q?", n)
		}
		f.Bad(key, "must be one of %s, got %s%s", strings.Join(choices, ", "), quoted(s), hint)
		s = def
	}
	if s != "" {
		f.shown[key] = s
	}
	return s
}

// NeedOneOf is OneOf for a key that must be there.
func (f *Fields) NeedOneOf(key string, choices ...string) string {
	if _, ok := f.get(key); !ok {
		f.Bad(key, "is required (%s)", strings.Join(choices, ", "))
		return ""
	}
	return f.OneOf(key, "", choices...)
}

// Bool reads true or false.
func (f *Fields) Bool(key string, def bool) bool {
	b := def
	if v, ok := f.get(key); ok {
		if b, ok = v.(bool); !ok {
			f.Bad(key, "must be true or false, got %s", kindOf(v))
			b = def
		}
	}
	f.shown[key] = b
	return b
}

// Neutral accepts a key of LMCache that has no effect here, with the value that has
// none there.
func (f *Fields) Neutral(key string, value any) {
	if v, ok := f.get(key); ok && v != value {
		f.Bad(key, "is not supported; only %v is accepted", value)
	}
}

// Bounds are the limits of a number.
type Bounds struct {
	Min, Max float64 // Max 0: none
	Above    bool    // Min itself is not allowed
}

func (b Bounds) holds(v float64) bool {
	return (v > b.Min || (v == b.Min && !b.Above)) && (b.Max == 0 || v <= b.Max)
}

// String says which numbers are allowed.
func (b Bounds) String() string {
	low := "at least "
	if b.Above {
		low = "more than "
	}
	low += short(b.Min)
	switch {
	case b.Max == 0:
		return low
	case b.Above:
		return low + " and at most " + short(b.Max)
	}
	return "between " + short(b.Min) + " and " + short(b.Max)
}

func short(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// number reads a number within bounds; the default need not be.
func (f *Fields) number(key string, def float64, b Bounds, whole bool) float64 {
	v, ok := f.get(key)
	if !ok {
		return def
	}
	n, ok := v.(json.Number)
	if text, isText := v.(string); isText && f.fromEnv[key] != "" {
		n, ok = json.Number(strings.TrimSpace(text)), true
	}
	what := "a number"
	if whole {
		what = "a whole number"
	}
	if !ok {
		f.Bad(key, "must be %s, got %s", what, kindOf(v))
		return def
	}
	x, err := strconv.ParseFloat(n.String(), 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) || (whole && (x != math.Trunc(x) || math.Abs(x) > 1<<53)) {
		f.Bad(key, "must be %s, got %s", what, quoted(n.String()))
		return def
	}
	if !b.holds(x) {
		f.Bad(key, "must be %v, got %s", b, n)
		return def
	}
	return x
}

// Int reads a whole number from least to most.
func (f *Fields) Int(key string, def, least, most int) int {
	n := int(f.number(key, float64(def), Bounds{Min: float64(least), Max: float64(most)}, true))
	f.shown[key] = n
	return n
}

// Float reads a number.
func (f *Fields) Float(key string, def float64, b Bounds) float64 {
	x := f.number(key, def, b, false)
	f.shown[key] = x
	return x
}

// maxGiB keeps sizes in bytes well inside of int64.
const maxGiB = 1 << 30

// GiB reads a size in GiB, with fractions, and returns bytes; 0 is allowed.
func (f *Fields) GiB(key string, def int64) int64 {
	x := f.number(key, float64(def)/(1<<30), Bounds{Max: maxGiB}, false)
	f.shown[key] = x
	return int64(math.Ceil(x * (1 << 30)))
}

// Seconds reads a duration in seconds, with fractions.
func (f *Fields) Seconds(key string, def time.Duration, b Bounds) time.Duration {
	x := f.number(key, def.Seconds(), b, false)
	f.shown[key] = x
	return time.Duration(math.Round(x * float64(time.Second)))
}

// Numbers reads a list of numbers.
func (f *Fields) Numbers(key string, b Bounds) []float64 { return f.list(key, b, false) }

// Ints reads a list of whole numbers from least to most.
func (f *Fields) Ints(key string, least, most int) []int {
	list := f.list(key, Bounds{Min: float64(least), Max: float64(most)}, true)
	all := make([]int, len(list))
	for i, x := range list {
		all[i] = int(x)
	}
	return all
}

func (f *Fields) list(key string, b Bounds, whole bool) []float64 {
	v, ok := f.get(key)
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		f.Bad(key, "must be a list of numbers, got %s", kindOf(v))
		return nil
	}
	all := make([]float64, 0, len(list))
	for i, e := range list {
		n, ok := e.(json.Number)
		x, err := strconv.ParseFloat(n.String(), 64)
		switch {
		case !ok || err != nil:
			f.Bad(key, "element %d must be a number, got %s", i+1, kindOf(e))
		case whole && x != math.Trunc(x):
			f.Bad(key, "element %d must be a whole number, got %s", i+1, n)
		case !b.holds(x):
			f.Bad(key, "element %d must be %v, got %s", i+1, b, n)
		default:
			all = append(all, x)
		}
	}
	f.shown[key] = all
	return all
}

// Object reads an object inside of this one. ok is false if it is not there or not an
// object.
func (f *Fields) Object(key string) (sub *Fields, ok bool) {
	v, ok := f.get(key)
	if !ok {
		return nil, false
	}
	o, ok := v.(object)
	if !ok {
		f.Bad(key, "must be an object, got %s", kindOf(v))
		return nil, false
	}
	sub = f.parse.fields(f.prefix+key+".", o)
	f.shown[key] = sub.shown
	return sub, true
}

// finish reports the keys that nobody has asked for.
func (f *Fields) finish() {
	for _, key := range f.order {
		if slices.Contains(f.known, key) {
			continue
		}
		hint := ""
		if n := suggest.Nearest(key, f.known); n != "" {
			hint = fmt.Sprintf("; did you mean %q?", n)
		}
		f.parse.bad("", "unknown key %s%s", quoted(f.prefix+key), hint)
	}
}

// quoted shows a value in a message, cut to a readable length.
func quoted(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}
