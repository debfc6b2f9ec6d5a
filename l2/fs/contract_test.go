package fs_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/fs"
	"github.com/lmcache-go/lmcache/l2/l2test"
)

// opener opens stores with these options, each in a folder of its own.
func opener(o fs.Options) l2test.Opener {
	return func(tb testing.TB) l2.Adapter {
		o := o
		o.BasePath = tb.TempDir()
		return open(tb, o)
	}
}

// persistent opens stores with these options in one folder.
func persistent(o fs.Options) l2test.Option {
	return l2test.Persistent(func(tb testing.TB) l2test.Opener {
		o := o
		o.BasePath = tb.TempDir()
		return func(tb testing.TB) l2.Adapter { return open(tb, o) }
	})
}

func TestContract(t *testing.T) {
	for name, o := range map[string]fs.Options{
		"v1":         {},
		"v1/direct":  {DirectIO: true, TempDir: "tmp/new"},
		"raw":        {Raw: true, ReadAhead: 10000},
		"direct/raw": {Raw: true, DirectIO: true},
	} {
		t.Run(name, func(t *testing.T) { l2test.Run(t, opener(o), persistent(o), l2test.Calls(400)) })
	}
}

// Neither memory nor open files nor goroutines grow with the number of calls.
// GROWTH_CALLS asks for more of them.
func TestREQ_S62_NothingGrows(t *testing.T) {
	calls := 8000
	if text := os.Getenv("GROWTH_CALLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("GROWTH_CALLS: %v", err)
		}
		calls = n
	}
	l2test.RunGrowth(t, opener(fs.Options{DirectIO: true}), calls)
}
