package flags

import (
	"strings"
	"testing"
	"time"

	"github.com/lmcache-go/lmcache/internal/cli"
)

type l2Command struct {
	nothing `kong:"-"`
	L1      `kong:"embed,set='l1_size_note=n',set='policy_note=n'"`
	L2
}

func (c *l2Command) Check(p *cli.Problems) { c.L2.Check(p, &c.L1) }

func TestL2Check(t *testing.T) {
	const adapter = "--l2-adapter {} "
	for _, c := range []struct{ args, want string }{
		{"", ""},
		{adapter, ""},
		{adapter + "--l2-store-policy skip_l1 --l2-prefetch-policy retain --l2-prefetch-max-in-flight 4 --l2-prefetch-load-timeout 5", ""},
		{adapter + "--l2-prefetch-max-inflight-bytes 1GiB --l2-store-max-inflight-bytes 4096 --l2-store-max-backlog 10 --disable-l1-retrieval", ""},
		{"--l2-store-policy skip_l1", "--l2-store-policy: has no effect without --l2-adapter"},
		{"--l2-prefetch-policy retain", "--l2-prefetch-policy: has no effect without --l2-adapter"},
		{"--l2-prefetch-max-in-flight 3", "--l2-prefetch-max-in-flight: has no effect without --l2-adapter"},
		{"--l2-prefetch-load-timeout 3", "--l2-prefetch-load-timeout: has no effect without --l2-adapter"},
		{"--l2-prefetch-max-inflight-bytes 3", "--l2-prefetch-max-inflight-bytes: has no effect without --l2-adapter"},
		{"--l2-store-max-inflight-bytes 3", "--l2-store-max-inflight-bytes: has no effect without --l2-adapter"},
		{"--l2-store-max-backlog 3", "--l2-store-max-backlog: has no effect without --l2-adapter"},
		{"--disable-l1-retrieval", "--disable-l1-retrieval: has no effect without --l2-adapter"},
		{adapter + "--l2-store-policy skip", `--l2-store-policy: must be one of default, skip_l1, got "skip"`},
		{adapter + "--l2-prefetch-policy keep", `--l2-prefetch-policy: must be one of default, retain, got "keep"`},
		{adapter + "--l2-prefetch-max-in-flight 0", "--l2-prefetch-max-in-flight: must be between 1 and 65536, got 0"},
		{adapter + "--l2-prefetch-load-timeout -1", "--l2-prefetch-load-timeout: must be at least 0, got -1"},
		{adapter + "--l2-store-max-backlog 0", "--l2-store-max-backlog: must be at least 1, got 0"},
		{adapter + "--l2-store-max-inflight-bytes 0", "--l2-store-max-inflight-bytes: must be more than 0, got 0"},
		{adapter + "--l2-prefetch-max-inflight-bytes -1", "--l2-prefetch-max-inflight-bytes: must be more than 0, got -1"},
		{adapter + "--l1-read-ttl-seconds 30", "--l1-read-ttl-seconds: must be more than --l2-prefetch-load-timeout, 30s; got 30s"},
		{"--l1-read-ttl-seconds 30", ""},
		{adapter + "--l1-read-ttl-seconds 30 --l2-prefetch-load-timeout 0", ""},
	} {
		grammar := struct {
			C l2Command `cmd:""`
		}{}
		got, code := check(t, &grammar, strings.Fields(c.args), nil)
		want, exit := "", cli.ExitOK
		if c.want != "" {
			want, exit = "lmcache: error: "+c.want, cli.ExitUsage
		}
		if got != want || code != exit {
			t.Errorf("%s: exit code %d, want %d; stderr:\n got %s\nwant %s", c.args, code, exit, got, want)
		}
	}
}

func TestL2Values(t *testing.T) {
	var l L2
	if l.Timeout() >= 0 || !l.Keeps() {
		t.Errorf("without a timeout: %v, keeps %v", l.Timeout(), l.Keeps())
	}
	l.PrefetchTimeout, l.StorePolicy = cli.Seconds(2*time.Second), StoreSkipL1
	if l.Timeout() != 2*time.Second || l.Keeps() {
		t.Errorf("timeout %v, keeps %v", l.Timeout(), l.Keeps())
	}
}
