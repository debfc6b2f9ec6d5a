package trace

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/tinylib/msgp/msgp"
)

// Versions that are written, and the newest schema that is read.
const (
	FormatVersion    = 1
	SchemaVersion    = 1
	maxSchemaVersion = 2
)

// LevelStorage is the one level that is recorded.
const LevelStorage = "storage"

const magic = "LMCT"

// Header is the first frame of a file.
type Header struct {
	Level         string
	FormatVersion int
	SchemaVersion int     // 0: an early draft, which Draft names
	MonoStart     float64 // monotonic clock when recording began, in seconds
	WallStart     float64 // Unix time of the same moment, in seconds
	Config        string  // of the storage manager, as JSON; may be empty
	Digest        string  // SHA-256 of Config in lower-case hexadecimal digits, or empty

	Meta     map[string]string // further facts of other levels, as texts
	Draft    string            // lmcache_version of an early draft
	Extended bool              // the file may have what only this project writes
	Writer   string            // of an extended file
	Part     int               // of an extended recording in several files, from 0
}

// appendHeader appends the frame of h.
func appendHeader(b []byte, h *Header) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	n := uint32(9)
	if h.Extended {
		n++
	}
	b = msgp.AppendMapHeader(b, n)
	b = appendText(appendText(b, "type"), "header")
	b = msgp.AppendBytes(appendText(b, "magic"), []byte(magic))
	b = appendInt(appendText(b, "format_version"), int64(h.FormatVersion))
	b = appendText(appendText(b, "level"), h.Level)
	b = appendInt(appendText(b, "trace_schema_version"), int64(h.SchemaVersion))
	b = msgp.AppendFloat64(appendText(b, "t_mono_start"), h.MonoStart)
	b = msgp.AppendFloat64(appendText(b, "t_wall_start"), h.WallStart)
	b = appendText(appendText(b, "sm_config_json"), h.Config)
	b = appendText(appendText(b, "sm_config_digest"), h.Digest)
	if h.Extended {
		b = msgp.AppendMapHeader(appendText(b, "x"), 2)
		b = appendText(appendText(b, "writer"), h.Writer)
		b = appendInt(appendText(b, "part"), int64(h.Part))
	}
	putLength(b, start)
	return b
}

func appendText(b []byte, s string) []byte { return msgp.AppendString(b, s) }

// decodeHeader reads the body of the first frame.
func decodeHeader(body []byte) (Header, error) {
	var h Header
	if rest, err := skip(body, 0); err != nil {
		return h, fmt.Errorf("header: %w", err)
	} else if len(rest) > 0 {
		return h, fmt.Errorf("header: %d bytes behind its end", len(rest))
	}
	fields, err := headerFields(body)
	if err != nil {
		return h, err
	}
	if got := fields["magic"]; !isMagic(got) {
		return h, fmt.Errorf("bad magic (got %s, expected b'%s')", pythonText(got), magic)
	}
	f := headerReader{fields: fields}
	h.FormatVersion = int(f.int("format_version"))
	if f.err == nil && h.FormatVersion != FormatVersion {
		return h, fmt.Errorf("unsupported format_version %d (this build expects %d)", h.FormatVersion, FormatVersion)
	}
	if _, draft := fields["lmcache_version"]; draft && fields["trace_schema_version"] == nil {
		h.Draft = f.text("lmcache_version")
	} else {
		h.SchemaVersion = int(f.int("trace_schema_version"))
		if f.err == nil && (h.SchemaVersion < 1 || h.SchemaVersion > maxSchemaVersion) {
			return h, fmt.Errorf("unsupported trace_schema_version %d (this build supports 1 to %d)", h.SchemaVersion, maxSchemaVersion)
		}
	}
	if kind := f.text("type"); f.err == nil && kind != "header" {
		return h, fmt.Errorf("header: type: must be header, got %q", kind)
	}
	h.Level = f.text("level")
	h.MonoStart, h.WallStart = f.float("t_mono_start"), f.float("t_wall_start")
	h.Config, h.Digest = f.text("sm_config_json"), f.text("sm_config_digest")
	h.Meta = f.meta()
	f.extension(&h)
	return h, f.err
}

// headerFields are the raw values of the header by key.
func headerFields(body []byte) (map[string][]byte, error) {
	c := cursor{b: body}
	n, err := c.mapLen()
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	fields := make(map[string][]byte)
	for range n {
		key, err := c.key()
		if err != nil {
			return nil, fmt.Errorf("header: %w", err)
		}
		value, err := c.raw()
		if err != nil {
			return nil, fmt.Errorf("header: %s: %w", key, err)
		}
		fields[string(key)] = value
	}
	return fields, nil
}

func isMagic(raw []byte) bool {
	c := cursor{b: raw}
	v, err := c.bytes()
	return err == nil && string(v) == magic
}

// pythonText is a raw value as Python shows it, as far as texts and bytes go.
func pythonText(raw []byte) string {
	if raw == nil {
		return "None"
	}
	c := cursor{b: raw}
	v, err := c.bytes()
	prefix := "b"
	if err != nil {
		c = cursor{b: raw}
		if v, err = c.text(); err != nil {
			return "0x" + strconv.FormatUint(uint64(raw[0]), 16) + "…"
		}
		prefix = ""
	}
	const most = 32
	more := ""
	if len(v) > most {
		v, more = v[:most], "…"
	}
	var s strings.Builder
	s.WriteString(prefix + "'")
	for _, b := range v {
		switch {
		case b == '\'' || b == '\\':
			s.WriteString("\\" + string(rune(b)))
		case b < ' ' || b > '~':
			fmt.Fprintf(&s, "\\x%02x", b)
		default:
			s.WriteByte(b)
		}
	}
	return s.String() + "'" + more
}

// headerReader reads required fields and keeps the first error.
type headerReader struct {
	fields map[string][]byte
	err    error
}

var errMissing = errors.New("it is missing")

// field begins to read a field; nil if it is missing.
func (r *headerReader) field(key string) *cursor {
	raw, ok := r.fields[key]
	if !ok {
		r.fail(key, errMissing)
		return nil
	}
	return &cursor{b: raw}
}

func (r *headerReader) fail(key string, err error) {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("header: %s: %w", key, err)
	}
}

func (r *headerReader) int(key string) (v int64) {
	if c := r.field(key); c != nil {
		var err error
		v, err = c.int()
		r.fail(key, err)
	}
	return v
}

func (r *headerReader) float(key string) (v float64) {
	if c := r.field(key); c != nil {
		var err error
		v, err = c.float()
		r.fail(key, err)
	}
	return v
}

func (r *headerReader) text(key string) string {
	if c := r.field(key); c != nil {
		v, err := c.text()
		r.fail(key, err)
		return string(v)
	}
	return ""
}

// meta reads level_meta, which may be missing.
func (r *headerReader) meta() map[string]string {
	raw, ok := r.fields["level_meta"]
	if !ok || (&cursor{b: raw}).isNil() {
		return nil
	}
	fields, err := headerFields(raw)
	if err != nil {
		r.fail("level_meta", err)
		return nil
	}
	if len(fields) == 0 {
		return nil
	}
	m := make(map[string]string, len(fields))
	for key, value := range maps.All(fields) {
		m[key] = plainText(value)
	}
	return m
}

// plainText is a value for people: a text as it is, everything else as JSON.
func plainText(raw []byte) string {
	c := cursor{b: raw}
	if v, err := c.text(); err == nil {
		return string(v)
	}
	return string(appendJSON(nil, &cursor{b: raw}))
}

// extension reads what the extended format adds.
func (r *headerReader) extension(h *Header) {
	raw, ok := r.fields["x"]
	if !ok {
		return
	}
	fields, err := headerFields(raw)
	if err != nil {
		r.fail("x", err)
		return
	}
	h.Extended = true
	x := headerReader{fields: fields}
	if _, ok := fields["writer"]; ok {
		h.Writer = x.text("writer")
	}
	if _, ok := fields["part"]; ok {
		h.Part = int(x.int("part"))
	}
	r.fail("x", x.err)
}
