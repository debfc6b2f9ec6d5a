package trace

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Digest is the digest of a configuration: SHA-256 of the text in hexadecimal
// digits, or empty for an empty text.
func Digest(config string) string {
	if config == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(config))
	return hex.EncodeToString(sum[:])
}

// Config is the text of a configuration as headers hold it: keys sorted at every
// level, ", " between elements, ": " behind keys. Equal values have equal texts.
// What has no form in JSON, such as a function, becomes the text that it prints as.
func Config(values map[string]any) string {
	return string(appendConfig(nil, values))
}

// appendConfig appends one value.
func appendConfig(dst []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		dst = append(dst, '{')
		for i, key := range sortedKeys(v) {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = appendQuoted(dst, key)
			dst = appendConfig(append(dst, ": "...), v[key])
		}
		return append(dst, '}')
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = appendConfig(dst, e)
		}
		return append(dst, ']')
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return appendQuoted(dst, fmt.Sprint(v))
	}
	return append(dst, bytes.TrimRight(b.Bytes(), "\n")...)
}
