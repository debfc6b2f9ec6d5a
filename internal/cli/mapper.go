package cli

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// mapper decodes flags and arguments. It reports what it cannot decode to
// problems and lets kong go on, so that one run finds every bad value.
type mapper struct{ problems *Problems }

// options makes kong decode every supported type through m.
func (m mapper) options() []kong.Option {
	opts := make([]kong.Option, 0, 12)
	for _, kind := range []reflect.Kind{
		reflect.Int, reflect.Int64, reflect.Uint64, reflect.Float64, reflect.String, reflect.Slice, reflect.Pointer,
	} {
		opts = append(opts, kong.KindMapper(kind, m))
	}
	return append(opts,
		kong.KindMapper(reflect.Bool, boolMapper{m}),
		kong.TypeMapper(reflect.TypeFor[Bytes](), m),
		kong.TypeMapper(reflect.TypeFor[Seconds](), m))
}

// boolMapper tells kong that a flag stands alone.
type boolMapper struct{ mapper }

// IsBool implements kong.BoolMapper.
func (boolMapper) IsBool() bool { return true }

// Decode implements kong.Mapper. It returns an error only for what the scan of
// the arguments cannot let through.
func (m mapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	if target.Kind() == reflect.Bool && ctx.Scan.Peek().Type != kong.FlagValueToken {
		target.SetBool(true)
		return nil
	}
	token, err := ctx.Scan.PopValue("text")
	if err != nil {
		return err
	}
	name := ctx.Value.Name
	tags := tagsOf(ctx.Value.Tag)
	texts, many := token.Value.([]string)
	if !many {
		texts = []string{fmt.Sprint(token.Value)}
	}
	if ctx.Value.Flag == nil && target.Kind() == reflect.Slice {
		for ctx.Scan.Peek().Type == kong.PositionalArgumentToken {
			texts = append(texts, fmt.Sprint(ctx.Scan.Pop().Value))
		}
	}
	for _, text := range texts {
		if err := tags.set(target, text); err != nil {
			m.reject(ctx, target, name, err)
			return nil
		}
	}
	return nil
}

// reject notes a bad value and leaves the zero value behind, or, for a lenient
// flag whose value comes from the environment, the default.
func (m mapper) reject(ctx *kong.DecodeContext, target reflect.Value, name string, err error) {
	if ctx.Value.Flag == nil {
		m.problems.Usage("%s: %v", ctx.Value.ShortSummary(), err)
		return
	}
	from := m.problems.origins[name]
	if from.source == fromEnv && ctx.Value.Tag.Has("lenientenv") {
		m.problems.Warn("--%s: %v%s; %s is used", name, err, from.suffix(), ctx.Value.Default)
		if tagsOf(ctx.Value.Tag).set(target, ctx.Value.Default) == nil {
			return
		}
	}
	m.problems.Flag(name, "%v", err)
}

// tags are the rules for one value.
type tags struct {
	unit                      string
	min, max, above           string
	choices, later, refused   []string
	fold                      bool
	hasMin, hasMax, hasStrict bool
}

func tagsOf(t *kong.Tag) tags {
	return tags{
		unit: t.Get("unit"),
		min:  t.Get("min"), hasMin: t.Has("min"),
		max: t.Get("max"), hasMax: t.Has("max"),
		above: t.Get("above"), hasStrict: t.Has("above"),
		choices: listTag(t, "choices"), later: listTag(t, "later"), refused: listTag(t, "refused"),
		fold: t.Has("fold"),
	}
}

func listTag(t *kong.Tag, key string) []string {
	if v := t.Get(key); v != "" {
		return strings.Split(v, ",")
	}
	return nil
}

// set parses text into target, which must be of one of the supported types.
func (t tags) set(target reflect.Value, text string) error {
	switch v := target.Addr().Interface().(type) {
	case *Bytes:
		b, err := parseBytes(text, t.unit)
		if err != nil {
			return err
		}
		*v = b
		scale, _ := unitSize(t.unit)
		return t.bounds(float64(b)/scale, text)
	case *Seconds:
		s, err := parseSeconds(text)
		if err != nil {
			return err
		}
		*v = s
		return t.bounds(s.Duration().Seconds(), text)
	case *bool:
		b, err := parseBool(text)
		*v = b
		return err
	case *string:
		c, err := t.choose(text)
		*v = c
		return err
	case **string:
		c, err := t.choose(text)
		*v = &c
		return err
	case *[]string:
		c, err := t.choose(text)
		*v = append(*v, c)
		return err
	}
	return t.setNumber(target, text)
}

func (t tags) setNumber(target reflect.Value, text string) error {
	trimmed := strings.TrimSpace(text)
	switch target.Kind() { //nolint:exhaustive // the kinds that options registers
	case reflect.Int, reflect.Int64:
		v, err := strconv.ParseInt(trimmed, 10, target.Type().Bits())
		if err != nil {
			return fmt.Errorf("must be a whole number, got %s", quote(text))
		}
		target.SetInt(v)
		return t.bounds(float64(v), text)
	case reflect.Uint64:
		v, err := strconv.ParseUint(trimmed, 10, 64)
		if err != nil {
			return fmt.Errorf("must be a whole number that is not negative, got %s", quote(text))
		}
		target.SetUint(v)
		return t.bounds(float64(v), text)
	case reflect.Float64:
		v, err := strconv.ParseFloat(trimmed, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("must be a finite number, got %s", quote(text))
		}
		target.SetFloat(v)
		return t.bounds(v, text)
	}
	return fmt.Errorf("has the unsupported type %v", target.Type())
}

// bounds checks v, which is in the flag's own unit.
func (t tags) bounds(v float64, text string) error {
	over := func(limit string) bool { f, _ := strconv.ParseFloat(limit, 64); return v > f }
	under := func(limit string) bool { f, _ := strconv.ParseFloat(limit, 64); return v < f }
	if (t.hasMin && under(t.min)) || (t.hasMax && over(t.max)) || (t.hasStrict && !over(t.above)) {
		return fmt.Errorf("must be %s, got %s", t.describe(), strings.TrimSpace(text))
	}
	return nil
}

// describe says which values are allowed, for messages and for help.
func (t tags) describe() string {
	unit := ""
	if t.unit != "" {
		unit = " " + t.unit
	}
	switch {
	case t.hasMin && t.hasMax:
		return fmt.Sprintf("between %s and %s%s", t.min, t.max, unit)
	case t.hasStrict && t.hasMax:
		return fmt.Sprintf("more than %s and at most %s%s", t.above, t.max, unit)
	case t.hasMin:
		return fmt.Sprintf("at least %s%s", t.min, unit)
	case t.hasStrict:
		return fmt.Sprintf("more than %s%s", t.above, unit)
	case t.hasMax:
		return fmt.Sprintf("at most %s%s", t.max, unit)
	case len(t.choices) > 0:
		return strings.Join(t.choices, ", ")
	}
	return ""
}

// choose checks a text against the choices and returns it as they spell it.
func (t tags) choose(text string) (string, error) {
	if len(t.choices) == 0 || slices.Contains(t.choices, text) {
		return text, nil
	}
	for _, c := range t.choices {
		if t.fold && strings.EqualFold(c, text) {
			return c, nil
		}
	}
	if slices.Contains(t.later, text) {
		return "", fmt.Errorf("%s is not available in this version yet (%s)", text, strings.Join(t.choices, ", "))
	}
	if slices.Contains(t.refused, text) {
		return "", fmt.Errorf("%s is not supported by lmcache-go (%s)", text, strings.Join(t.choices, ", "))
	}
	one := "one of "
	if len(t.choices) == 1 {
		one = ""
	}
	return "", fmt.Errorf("must be %s%s, got %s", one, strings.Join(t.choices, ", "), quote(text))
}

// parseBool reads the texts that booleans have in all three sources.
func parseBool(text string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, fmt.Errorf("must be true or false, got %s", quote(text))
}
