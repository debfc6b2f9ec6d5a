package cli

import (
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxAttr is the longest value, in bytes, that follows a message.
const maxAttr = 200

// tierName says which outer tier a logger tells about.
type tierName struct{ name, index string }

// take keeps a if it is part of the name.
func (n *tierName) take(a slog.Attr) bool {
	switch a.Key {
	case "l2_name":
		n.name = a.Value.String()
	case "adapter_index":
		n.index = a.Value.String()
	default:
		return false
	}
	return true
}

// String is the name that commands take: fs#1 is the tier at index 1.
func (n tierName) String() string {
	if n.name == "" || n.index == "" {
		return n.name
	}
	return n.name + "#" + n.index
}

// message is the record's message in one line, with the tier and what it does not quote:
// errors, and of a warning the other attributes too.
func message(r slog.Record, tier tierName, attrs []slog.Attr) string {
	text, all := r.Message, append([]slog.Attr(nil), attrs...)
	r.Attrs(func(a slog.Attr) bool {
		if !tier.take(a) {
			all = append(all, a)
		}
		return true
	})
	if name := tier.String(); name != "" {
		text += " (" + name + ")"
	}
	var values []string
	for _, a := range all {
		switch {
		case isError(a):
			if err := a.Value.String(); !strings.Contains(text, err) {
				text += ": " + err
			}
		case r.Level >= slog.LevelWarn:
			if v := attrText(a.Value); v != "" && len(v) <= maxAttr && !quotes(r.Message, v) {
				values = append(values, a.Key+"="+word(v))
			}
		}
	}
	if len(values) > 0 {
		text += " [" + strings.Join(values, " ") + "]"
	}
	return plain(text)
}

func isError(a slog.Attr) bool {
	_, ok := a.Value.Any().(error)
	return ok
}

// attrText is a value for people.
func attrText(v slog.Value) string {
	v = v.Resolve()
	if v.Kind() != slog.KindDuration {
		return v.String()
	}
	d := v.Duration()
	if d.Abs() >= time.Second {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Microsecond).String()
}

// word is v, in quotes where it would not be read as one word.
func word(v string) string {
	if strings.ContainsAny(v, " \t\n\"[]=") {
		return strconv.Quote(v)
	}
	return v
}

// quotes reports whether text has v in it, not as a part of a longer word.
func quotes(text, v string) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], v)
		if i < 0 {
			return false
		}
		i += from
		before, _ := utf8.DecodeLastRuneInString(text[:i])
		after, _ := utf8.DecodeRuneInString(text[i+len(v):])
		if !wordRune(before) && !wordRune(after) {
			return true
		}
		from = i + 1
	}
}

func wordRune(r rune) bool {
	return r != utf8.RuneError && (r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r))
}
