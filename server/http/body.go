package httpserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxBody is the most bytes of a request's body.
const maxBody = 16 << 20

// invalid is what is wrong with one value of a request.
type invalid struct {
	Type string `json:"type"`
	Loc  []any  `json:"loc"`
	Msg  string `json:"msg"`
}

// form is the values of a request by name. What is wrong with them is collected, so
// that one answer tells all of it. Unknown names are ignored.
type form struct {
	place string // "body" or "query"
	json  map[string]json.RawMessage
	query url.Values
	bad   []invalid

	unread bool // the body is not an object: nothing is missing from it
}

// readBody reads a body that is a JSON object. An empty one is an empty object. If the
// body cannot be read at all, the request has been answered.
func readBody(w http.ResponseWriter, r *http.Request) (f *form, ok bool) {
	f = &form{place: "body"}
	data, ok := readAll(w, r)
	if !ok {
		return nil, false
	}
	if len(data) == 0 {
		return f, true
	}
	if err := json.Unmarshal(data, &f.json); err != nil {
		f.unread = true
		at := []any{"body"}
		if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			f.bad = append(f.bad, invalid{"model_attributes_type", at, "must be a JSON object"})
			return f, true
		}
		if s, ok := errors.AsType[*json.SyntaxError](err); ok {
			at = append(at, s.Offset)
		}
		f.bad = append(f.bad, invalid{"json_invalid", at, "JSON decode error: " + err.Error()})
	}
	return f, true
}

// readAll reads a body of at most maxBody.
func readAll(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		return data, true
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		answer(w, r, http.StatusRequestEntityTooLarge, detail{fmt.Sprintf("the body has more than %d bytes", maxBody)})
	} else {
		answer(w, r, http.StatusBadRequest, detail{"the body did not arrive"})
	}
	return nil, false
}

// readQuery reads the query of a request.
func readQuery(r *http.Request) *form { return &form{place: "query", query: r.URL.Query()} }

// refuse adds a problem with the value of a name.
func (f *form) refuse(kind, name, msg string) {
	f.bad = append(f.bad, invalid{kind, []any{f.place, name}, msg})
}

// ok reports whether all values are as they should; if not, the request is answered.
func (f *form) ok(w http.ResponseWriter, r *http.Request) bool {
	if len(f.bad) == 0 {
		return true
	}
	answer(w, r, http.StatusUnprocessableEntity, struct {
		Detail []invalid `json:"detail"`
	}{f.bad})
	return false
}

// raw is the text of a value, "" if there is none or it is null where that is allowed.
func (f *form) raw(name string, null bool) (value json.RawMessage, given bool) {
	value, given = f.json[name]
	if given && null && string(value) == "null" {
		return nil, false
	}
	return value, given
}

// optional is a text that may be null or absent.
func (f *form) optional(name string) string { return f.text(name, "", true) }

// needed is raw of a value that must be there.
func (f *form) needed(name string) (value json.RawMessage, given bool) {
	if value, given = f.raw(name, false); !given && !f.unread {
		f.refuse("missing", name, "is required")
	}
	return value, given
}

// required is a text that must be there.
func (f *form) required(name string) (v string) {
	if _, given := f.needed(name); given {
		v = f.text(name, "", false)
	}
	return v
}

// choice is one of several texts.
func (f *form) choice(name, def string, of ...string) string {
	n := len(f.bad)
	v := f.text(name, def, false)
	if len(f.bad) == n && !slices.Contains(of, v) {
		f.refuse("literal_error", name, "must be one of: "+strings.Join(of, ", "))
	}
	return v
}

func (f *form) text(name, def string, null bool) (v string) {
	if f.query != nil {
		if f.query.Has(name) {
			return f.query.Get(name)
		}
		return def
	}
	raw, given := f.raw(name, null)
	if !given {
		return def
	}
	if !isKind(raw, '"') || json.Unmarshal(raw, &v) != nil {
		f.refuse("string_type", name, "must be a string")
	}
	return v
}

// flag is true or false.
func (f *form) flag(name string, def bool) (v bool) {
	raw, given := f.raw(name, false)
	if !given {
		return def
	}
	if string(raw) != "true" && string(raw) != "false" {
		f.refuse("bool_type", name, "must be true or false")
	}
	return string(raw) == "true"
}

// count is a whole number of a query.
func (f *form) count(name string, def, least, most int) int {
	if !f.query.Has(name) {
		return def
	}
	v, err := strconv.Atoi(f.query.Get(name))
	if err != nil {
		f.refuse("int_parsing", name, "must be a whole number")
		return def
	}
	f.within(name, v, least, most)
	return v
}

// within refuses a number that is too small or too large.
func (f *form) within(name string, v, least, most int) {
	switch {
	case v < least:
		f.refuse("greater_than_equal", name, fmt.Sprintf("must be at least %d", least))
	case v > most:
		f.refuse("less_than_equal", name, fmt.Sprintf("must be at most %d", most))
	}
}

// list is a list that must be there.
func (f *form) list(name string, most int) (v []json.RawMessage) {
	raw, given := f.needed(name)
	switch {
	case !given:
	case !isKind(raw, '[') || json.Unmarshal(raw, &v) != nil:
		f.refuse("list_type", name, "must be a list")
	case len(v) > most:
		f.refuse("too_long", name, fmt.Sprintf("must have at most %d elements, got %d", most, len(v)))
	}
	return v
}

// tokens is a list of token ids that must be there.
func (f *form) tokens(name string) (v []int32) {
	const must = "must be a list of whole numbers from 0 to 2147483647"
	raw, given := f.needed(name)
	switch {
	case !given:
	case !isKind(raw, '[') || json.Unmarshal(raw, &v) != nil:
		f.refuse("list_type", name, must)
	case slices.ContainsFunc(v, func(t int32) bool { return t < 0 }):
		f.refuse("greater_than_equal", name, must)
	}
	return v
}

// whole is a whole number that must be there.
func (f *form) whole(name string, least, most int) (v int) {
	raw, given := f.needed(name)
	switch {
	case !given:
	case string(raw) == "null" || json.Unmarshal(raw, &v) != nil:
		f.refuse("int_type", name, "must be a whole number")
	default:
		f.within(name, v, least, most)
	}
	return v
}

// isKind tells what a JSON value is by its first byte.
func isKind(raw json.RawMessage, first byte) bool { return len(raw) > 0 && raw[0] == first }
