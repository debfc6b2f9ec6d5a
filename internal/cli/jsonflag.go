package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A repeatable flag with the tag json has JSON objects as values. On the command line
// each is one text; the environment has one object or an array of them; a
// configuration file has YAML objects, or texts. Commands read the objects.

// maxJSONDepth is how deep objects of a configuration file may be nested.
const maxJSONDepth = 16

// jsonTexts takes an array of objects apart. What is no array is one value.
func jsonTexts(text string) []string {
	var list []json.RawMessage
	if !strings.HasPrefix(strings.TrimSpace(text), "[") || json.Unmarshal([]byte(text), &list) != nil {
		return []string{text}
	}
	texts := make([]string, len(list))
	for i, e := range list {
		texts[i] = string(e)
	}
	return texts
}

// jsonValues turns the value of such a flag in a file into JSON texts.
func (f *configFile) jsonValues(key, value *yaml.Node) (texts []string, ok bool) {
	elements := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		elements = value.Content
	}
	for _, e := range elements {
		e = target(e)
		switch e.Kind {
		case yaml.MappingNode:
			var b bytes.Buffer
			if err := f.writeJSON(&b, e, 0); err != nil {
				if !errors.Is(err, errReported) {
					f.problems.Usage("%s: %s: %v", f.where(e), key.Value, err)
				}
				return nil, false
			}
			texts = append(texts, b.String())
		case yaml.ScalarNode:
			text, ok := f.expand(e)
			if !ok {
				return nil, false
			}
			texts = append(texts, text)
		default:
			f.problems.Usage("%s: %s must be a list of objects, got %s", f.where(e), key.Value, kindName(e))
			return nil, false
		}
	}
	return texts, true
}

var errReported = errors.New("reported")

// writeJSON writes a YAML value as JSON, with variables expanded.
func (f *configFile) writeJSON(b *bytes.Buffer, n *yaml.Node, depth int) error {
	if depth > maxJSONDepth {
		return fmt.Errorf("more than %d levels", maxJSONDepth)
	}
	if b.Len() > maxConfig { // aliases can make much of little
		return fmt.Errorf("more than %d bytes", maxConfig)
	}
	switch n = target(n); n.Kind {
	case yaml.MappingNode:
		var keys []string
		b.WriteByte('{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			name := n.Content[i].Value
			if slices.Contains(keys, name) {
				f.problems.Usage("%s: key %s is there already", f.where(n.Content[i]), quote(name))
				return errReported
			}
			if keys = append(keys, name); i > 0 {
				b.WriteByte(',')
			}
			putJSON(b, name)
			b.WriteByte(':')
			if err := f.writeJSON(b, n.Content[i+1], depth+1); err != nil {
				return err
			}
		}
		b.WriteByte('}')
		return nil
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, e := range n.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := f.writeJSON(b, e, depth+1); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	case yaml.DocumentNode, yaml.ScalarNode, yaml.AliasNode:
	}
	text, ok := f.expand(n)
	if !ok {
		return errReported
	}
	if n.Tag == "!!str" {
		putJSON(b, text)
		return nil
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return errors.New("a value cannot be read")
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%s has no JSON form", kindName(n))
	}
	b.Write(raw)
	return nil
}

// putJSON writes a text as JSON.
func putJSON(b *bytes.Buffer, s string) {
	raw, _ := json.Marshal(s) // a text can always be written
	b.Write(raw)
}

// maskJSON is a JSON text with the values of keys that are named like secrets
// replaced, for showing. A text that is no JSON is not shown.
func maskJSON(text string) string {
	var v any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if dec.Decode(&v) != nil {
		return "(not valid JSON)"
	}
	raw, err := json.Marshal(masked(v))
	if err != nil {
		return "(not valid JSON)"
	}
	return string(raw)
}

func masked(v any) any {
	switch x := v.(type) {
	case map[string]any:
		for k, e := range x {
			if text, ok := e.(string); ok && text != "" && secretName.MatchString(k) && !fileName.MatchString(k) {
				x[k] = "***"
			} else {
				x[k] = masked(e)
			}
		}
	case []any:
		for i, e := range x {
			x[i] = masked(e)
		}
	}
	return v
}
