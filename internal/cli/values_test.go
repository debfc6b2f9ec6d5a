package cli

import (
	"testing"
	"time"
)

func TestParseBytes(t *testing.T) {
	for _, c := range []struct {
		text, unit string
		want       Bytes
		bad        bool
	}{
		{text: "64", unit: "GiB", want: 64 << 30},
		{text: "0.5", unit: "GiB", want: 512 << 20},
		{text: "64GiB", unit: "GiB", want: 64 << 30},
		{text: "512MiB", unit: "GiB", want: 512 << 20},
		{text: "512 mib", unit: "GiB", want: 512 << 20},
		{text: "1.5TiB", unit: "", want: 3 << 39},
		{text: "17B", unit: "GiB", want: 17},
		{text: "4KiB", unit: "", want: 4096},
		{text: "17", unit: "", want: 17},
		{text: "-1", unit: "GiB", want: -1 << 30},
		{text: "64GB", unit: "GiB", bad: true},
		{text: "GiB", unit: "GiB", bad: true},
		{text: "", unit: "GiB", bad: true},
		{text: "inf", unit: "GiB", bad: true},
		{text: "1e300", unit: "GiB", bad: true},
		{text: "1 2", unit: "GiB", bad: true},
	} {
		got, err := parseBytes(c.text, c.unit)
		if (err != nil) != c.bad || got != c.want {
			t.Errorf("parseBytes(%q, %q) = %d, %v; want %d, error %v", c.text, c.unit, got, err, c.want, c.bad)
		}
	}
}

func TestBytesString(t *testing.T) {
	for b, want := range map[Bytes]string{
		0: "0 bytes", 1023: "1023 bytes", 1536: "1.5 KiB", 64 << 30: "64 GiB", 1<<40 + 1<<38: "1.25 TiB", -1 << 20: "-1 MiB",
	} {
		if got := b.String(); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", int64(b), got, want)
		}
	}
}

func TestParseSeconds(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Duration
		bad  bool
	}{
		{text: "30", want: 30 * time.Second},
		{text: "0.5", want: 500 * time.Millisecond},
		{text: "30s", want: 30 * time.Second},
		{text: "5m", want: 5 * time.Minute},
		{text: "1h30m", want: 90 * time.Minute},
		{text: "0", want: 0},
		{text: "-3", want: -3 * time.Second},
		{text: "nan", bad: true},
		{text: "inf", bad: true},
		{text: "1e20", bad: true},
		{text: "soon", bad: true},
		{text: "", bad: true},
	} {
		got, err := parseSeconds(c.text)
		if (err != nil) != c.bad || got.Duration() != c.want {
			t.Errorf("parseSeconds(%q) = %v, %v; want %v, error %v", c.text, got, err, c.want, c.bad)
		}
	}
}
