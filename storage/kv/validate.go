package kv

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The limits of the text fields of a Key.
const (
	MaxModelBytes = 512 // bytes of a model name
	MaxSaltRunes  = 128 // characters of a salt
	MaxSaltBytes  = 256 // bytes of a salt
)

// Validate reports everything that is wrong with k, each problem with the name
// of its field; nil means that k is valid. Rank and Group may have any value.
func (k Key) Validate() error {
	var hash error
	if k.Hash.IsZero() {
		hash = fmt.Errorf("kv: chunk_hash is missing: it has 1 to %d bytes", MaxHashLen)
	}
	return errors.Join(hash, ValidateModel(k.Model), ValidateSalt(k.Salt))
}

// ValidateModel reports everything that keeps s from being the model name of a
// Key: it is UTF-8 of at most MaxModelBytes without "@" and NUL.
func ValidateModel(s string) error {
	var errs []error
	if len(s) > MaxModelBytes {
		errs = append(errs, fmt.Errorf("kv: model_name has %d bytes, the limit is %d", len(s), MaxModelBytes))
	}
	if !utf8.ValidString(s) {
		errs = append(errs, errors.New("kv: model_name is not valid UTF-8"))
	}
	return errors.Join(appendForbidden(errs, "model_name", s, "@\x00")...)
}

// ValidateSalt reports everything that keeps s from being the salt of a Key: it
// is UTF-8 of at most MaxSaltRunes and MaxSaltBytes without "@", "/", "\" and
// NUL. The empty salt is valid.
func ValidateSalt(s string) error {
	var errs []error
	if len(s) > MaxSaltBytes {
		errs = append(errs, fmt.Errorf("kv: cache_salt has %d bytes, the limit is %d", len(s), MaxSaltBytes))
	}
	if n := utf8.RuneCountInString(s); n > MaxSaltRunes {
		errs = append(errs, fmt.Errorf("kv: cache_salt has %d characters, the limit is %d", n, MaxSaltRunes))
	}
	if !utf8.ValidString(s) {
		errs = append(errs, errors.New("kv: cache_salt is not valid UTF-8"))
	}
	return errors.Join(appendForbidden(errs, "cache_salt", s, "@/\\\x00")...)
}

func appendForbidden(errs []error, field, s, set string) []error {
	for _, c := range []byte(set) {
		switch {
		case strings.IndexByte(s, c) < 0:
		case c == 0:
			errs = append(errs, fmt.Errorf("kv: %s contains NUL, which is not allowed", field))
		default:
			errs = append(errs, fmt.Errorf("kv: %s contains %q, which is not allowed", field, string(c)))
		}
	}
	return errs
}
