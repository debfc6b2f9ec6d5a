package l2_test

import (
	"testing"

	"github.com/lmcache-go/lmcache/l2"
)

type plain struct{ l2.Adapter }

type described struct{ l2.Adapter }

func (described) Describe() map[string]any { return map[string]any{"inner": true} }
func (described) Format() l2.Format        { return l2.Format{Raw: true} }

type wrapper struct{ inner l2.Adapter }

func (w wrapper) Unwrap() l2.Adapter { return w.inner }

type wrapping struct {
	plain
	wrapper
}

type outer struct{ wrapping }

func (outer) Describe() map[string]any { return map[string]any{"inner": false} }

func TestAbilityOf(t *testing.T) {
	deep := wrapping{wrapper: wrapper{wrapping{wrapper: wrapper{described{}}}}}
	d, ok := l2.AbilityOf[l2.Describer](deep)
	if !ok || d.Describe()["inner"] != true {
		t.Errorf("an ability two wrappers down: %v", ok)
	}
	if d, ok := l2.AbilityOf[l2.Describer](outer{deep}); !ok || d.Describe()["inner"] != false {
		t.Errorf("the outermost ability counts: %v", ok)
	}
	if _, ok := l2.AbilityOf[l2.Lister](deep); ok {
		t.Error("an ability that nobody has")
	}
	if !l2.FormatOf(deep).Raw || l2.FormatOf(plain{}).Raw {
		t.Error("the format is not that of the adapter")
	}
}
