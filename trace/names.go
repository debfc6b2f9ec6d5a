package trace

import (
	"strings"

	"github.com/lmcache-go/lmcache/storage"
)

// Names of the records that are not calls.
const (
	NameGap = "lmcache.trace.gap"
	NameEnd = "lmcache.trace.end"
)

// OwnPrefix begins the names of records that only the extended format has.
const OwnPrefix = "lmcache.trace."

// Qualname is the name of a call in a file, given a Call constant of package storage.
func Qualname(call string) string {
	if strings.HasPrefix(call, OwnPrefix) {
		return call
	}
	return storage.NamePrefix + call
}

// callName is the opposite of Qualname; a foreign name stays as it is.
func callName(qualname string) string {
	name, _ := strings.CutPrefix(qualname, storage.NamePrefix)
	return name
}

// names are the texts that repeat, so that each is made once. There are never more
// than maxNames of them: then it begins anew.
type names map[string]string

const maxNames = 4096

func (n names) of(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if s, ok := n[string(b)]; ok {
		return s
	}
	if len(n) >= maxNames {
		clear(n)
	}
	s := string(b)
	n[s] = s
	return s
}
