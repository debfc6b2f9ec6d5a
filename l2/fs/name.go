package fs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

const (
	v1Dir         = "v1"
	quarantineDir = "quarantine"
	v1Ext         = ".kv1"
	rawExt        = ".data"
	hashedPrefix  = "h-"
	rawSlash      = "-SEP-" // stands for "/" in a raw name
	maxName       = 255     // bytes of a file name
	fanOut        = 256     // folders of v1
	hexDigits     = "0123456789ABCDEF"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// v1Name is the folder and the name of the file of a key in format v1. The folder is
// two hex digits.
func v1Name(key kv.Key) (dir, name string, err error) {
	b := make([]byte, 0, maxName+1)
	b = appendEscaped(b, key.Model)
	b = append(b, '@')
	b = hex.AppendEncode(b, []byte{byte(key.Rank >> 24), byte(key.Rank >> 16), byte(key.Rank >> 8), byte(key.Rank)})
	b = append(b, '@')
	b = strconv.AppendUint(b, uint64(key.Group), 16)
	b = append(b, '@')
	hash, n := key.Hash.Array()
	b = hex.AppendEncode(b, hash[:n])
	if key.Salt != "" {
		b = appendEscaped(append(b, '@'), key.Salt)
	}
	if len(b)+len(v1Ext) > maxName {
		canonical, err := key.AppendCanonical(nil)
		if err != nil {
			return "", "", err
		}
		sum := sha256.Sum256(canonical)
		b = hex.AppendEncode(append(b[:0], hashedPrefix...), sum[:])
	}
	dir = folder(b)
	return dir, string(append(b, v1Ext...)), nil
}

// folder is the name of the folder of a stem.
func folder(stem []byte) string {
	return hex.EncodeToString([]byte{byte(crc32.Checksum(stem, castagnoli) >> 24)})
}

func appendEscaped(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return b
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'
}

// unescape is the inverse of appendEscaped. What is not escaped as that does it may
// come back as anything; the caller compares.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(n))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// parseV1 is the key of a file name in a folder of v1. hashed tells that the name is
// that of a key that only the header knows. Errors wrap [kv.ErrNotKey]: it is not
// one of ours.
func parseV1(dir, name string) (key kv.Key, hashed bool, err error) {
	stem, ok := strings.CutSuffix(name, v1Ext)
	if !ok {
		return kv.Key{}, false, kv.ErrNotKey
	}
	if digits, ok := strings.CutPrefix(stem, hashedPrefix); ok && len(digits) == 2*sha256.Size && !strings.Contains(digits, "@") {
		if folder([]byte(stem)) != dir || digits != strings.ToLower(digits) {
			return kv.Key{}, false, kv.ErrNotKey
		}
		_, err := hex.DecodeString(digits)
		if err != nil {
			return kv.Key{}, false, kv.ErrNotKey
		}
		return kv.Key{}, true, nil
	}
	if key, err = kv.ParseKey(unescape(stem)); err != nil {
		return kv.Key{}, false, err
	}
	if d, n, err := v1Name(key); err != nil || d != dir || n != name {
		return kv.Key{}, false, kv.ErrNotKey
	}
	return key, false, nil
}

// rawName is the file name of a key in format raw. Some keys have none.
func rawName(key kv.Key) (string, error) {
	model := strings.ReplaceAll(key.Model, "/", rawSlash)
	if rawModel(model) != key.Model { // as of "a-SEP/b", whose name would be that of "a/SEP-b"
		return "", fmt.Errorf("l2/fs: %w: format raw cannot name model %q: %s in its name stands for a slash", l2.ErrIO, key.Model, rawSlash)
	}
	b := make([]byte, 0, maxName+1)
	b = append(b, model...)
	b = fmt.Appendf(b, "@0x%08x@%x@%v", key.Rank, key.Group, key.Hash)
	if key.Salt != "" {
		b = append(append(b, '@'), key.Salt...)
	}
	b = append(b, rawExt...)
	if len(b) > maxName {
		return "", fmt.Errorf("l2/fs: format raw: %w: the name has %d bytes, the limit is %d", l2.ErrTooLarge, len(b), maxName)
	}
	return string(b), nil
}

// rawModel is the model of its part of a raw name.
func rawModel(s string) string { return strings.ReplaceAll(s, rawSlash, "/") }

// parseRaw is the key of a file name in format raw. Errors wrap [kv.ErrNotKey].
func parseRaw(name string) (kv.Key, error) {
	stem, ok := strings.CutSuffix(name, rawExt)
	if !ok {
		return kv.Key{}, kv.ErrNotKey
	}
	model, rest, ok := strings.Cut(stem, "@")
	if !ok {
		return kv.Key{}, kv.ErrNotKey
	}
	rest, ok = strings.CutPrefix(rest, "0x")
	if !ok {
		return kv.Key{}, kv.ErrNotKey
	}
	key, err := kv.ParseKey(rawModel(model) + "@" + rest)
	if err != nil {
		return kv.Key{}, err
	}
	if n, err := rawName(key); err != nil || n != name {
		return kv.Key{}, kv.ErrNotKey
	}
	return key, nil
}
