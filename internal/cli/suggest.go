package cli

import (
	"fmt"

	"github.com/lmcache-go/lmcache/internal/suggest"
)

// didYouMean is the end of a message about an unknown name.
func didYouMean(prefix, s string, candidates []string) string {
	if n := suggest.Nearest(s, candidates); n != "" {
		return fmt.Sprintf("; did you mean %q?", prefix+n)
	}
	return ""
}
