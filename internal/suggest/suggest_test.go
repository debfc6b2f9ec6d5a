package suggest

import "testing"

func TestNearest(t *testing.T) {
	names := []string{"chunk-size", "l1-size-gb", "http-port", "http-host", "version"}
	for s, want := range map[string]string{
		"chunk-sise": "chunk-size", "chunksize": "chunk-size", "chnuk-size": "chunk-size", "l1-size": "l1-size-gb", "http": "", "l1-size-g": "l1-size-gb",
		"http-prot": "http-port", "versio": "version", "v": "", "something-else": "", "": "",
	} {
		if got := Nearest(s, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", s, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"abcd", "acbd", 1}, {"flaw", "lawn", 2},
	} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := distance(c.b, c.a); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.b, c.a, got, c.want)
		}
	}
}
