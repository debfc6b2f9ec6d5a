package resp

import (
	"context"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// List implements [l2.Lister], with SCAN. What comes and goes meanwhile may be in it
// or not, and while the server rehashes its table an object may be in it twice.
func (a *Adapter) List(ctx context.Context, q l2.ListQuery) (page l2.Page, err error) {
	at, err := parseCursor(q.Cursor)
	if err != nil {
		return l2.Page{}, err
	}
	err = a.do(ctx, 1, func(ctx context.Context, c *link) error {
		page, err = a.page(ctx, c, q.Model, max(q.PageSize, 1), at)
		return err
	})
	return page, err
}

// scanPage is how many objects a page of a scan has.
const scanPage = 1000

// Scan implements [l2.Scanner]. The server does not tell when an object was used.
func (a *Adapter) Scan(ctx context.Context) iter.Seq2[l2.Entry, error] {
	return l2.ScanPages(ctx, a, scanPage)
}

// ScanPageSize implements [l2.PageScanner].
func (a *Adapter) ScanPageSize() int { return scanPage }

// cursor is a place in a listing: the node, the cursor of its SCAN, and the last name
// of that answer that has been listed, empty for none. It is of one of several servers.
type cursor struct {
	server uint32 // a checksum of the address; 0: there is one server, or a cluster
	node   int
	scan   uint64
	after  string
}

func (c cursor) String() string {
	return fmt.Sprintf("%d.%d.%d.%s", c.server, c.node, c.scan, base64.RawURLEncoding.EncodeToString([]byte(c.after)))
}

func parseCursor(s string) (c cursor, err error) {
	if s == "" {
		return c, nil
	}
	bad := fmt.Errorf("resp: list: cursor %q: %w", s, l2.ErrCursor)
	parts := strings.Split(s, ".")
	if len(parts) != 4 {
		return c, bad
	}
	server, err0 := strconv.ParseUint(parts[0], 10, 32)
	node, err1 := strconv.ParseUint(parts[1], 10, 16)
	scan, err2 := strconv.ParseUint(parts[2], 10, 64)
	after, err3 := base64.RawURLEncoding.DecodeString(parts[3])
	if err0 != nil || err1 != nil || err2 != nil || err3 != nil {
		return c, bad
	}
	return cursor{uint32(server), int(node), scan, string(after)}, nil
}

// maxScans is how often a page asks on when it is not full: of a server that holds much
// else it comes with what there is, before its time is over.
const maxScans = 100

// page collects entries from a place on.
func (a *Adapter) page(ctx context.Context, c *link, model string, size int, at cursor) (l2.Page, error) {
	nodes, err := a.masters(ctx, c)
	if err != nil {
		return l2.Page{}, err
	}
	if a.conn.choice() {
		if server := crc32.ChecksumIEEE([]byte(c.addr)); at.server != server {
			at = cursor{server: server} // its SCAN has other cursors: from the start, and some twice
		}
	}
	pattern := escape(a.prefix()+a.o.Format.ModelPrefix(model)) + "*"
	if model == "" {
		pattern = escape(strings.TrimSuffix(a.prefix()+a.o.Format.ModelPrefix(""), "@")) + "*"
	}
	var page l2.Page
	for scans := 0; at.node < len(nodes) && len(page.Entries) < size && scans < maxScans; scans++ {
		n := nodes[at.node]
		names, next, err := scan(ctx, n, at.scan, pattern, size)
		if err != nil {
			return l2.Page{}, err
		}
		keys := a.ours(names, model, at.after)
		if room := size - len(page.Entries); len(keys) > room {
			keys = keys[:room]
			at.after = a.name(keys[room-1])
		} else {
			at.scan, at.after = next, ""
			if next == 0 {
				at.node++
			}
		}
		if len(keys) == 0 {
			continue
		}
		values, err := a.sizes(ctx, c, n, keys)
		if err != nil {
			return l2.Page{}, err
		}
		for i, k := range keys {
			switch v := values[i]; {
			case v.err != nil:
				return l2.Page{}, v.err
			case v.size > 0:
				page.Entries = append(page.Entries, l2.Entry{Key: k, Size: v.size})
			}
		}
	}
	if at.node < len(nodes) {
		page.Next = at.String()
	}
	return page, nil
}

// ours are the keys of a model among names, each once and in order of their names, from
// the one behind after on. So a page goes on behind the last name, whatever has come or
// gone before it meanwhile.
func (a *Adapter) ours(names []string, model, after string) (keys []kv.Key) {
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if name <= after {
			continue
		}
		if k, err := a.parse(name); err == nil && (model == "" || k.Model == model) {
			keys = append(keys, k)
		}
	}
	return keys
}

func scan(ctx context.Context, c rueidis.Client, at uint64, pattern string, count int) (names []string, next uint64, err error) {
	e, err := c.Do(ctx, c.B().Scan().Cursor(at).Match(pattern).Count(int64(max(count, 100))).Build()).AsScanEntry()
	return e.Elements, e.Cursor, err
}

// masters are the servers that hold objects, in one order.
func (a *Adapter) masters(ctx context.Context, c rueidis.Client) ([]rueidis.Client, error) {
	if !a.o.Cluster {
		return []rueidis.Client{c}, nil
	}
	nodes := c.Nodes()
	addrs := make([]string, 0, len(nodes))
	for addr := range nodes {
		addrs = append(addrs, addr)
	}
	slices.Sort(addrs)
	var masters []rueidis.Client
	for _, addr := range addrs {
		role, err := nodes[addr].Do(ctx, nodes[addr].B().Role().Build()).ToArray()
		if err != nil || len(role) == 0 {
			return nil, fmt.Errorf("%s: role: %w", addr, err)
		}
		if s, err := role[0].ToString(); err == nil && s == "master" {
			masters = append(masters, nodes[addr])
		}
	}
	return masters, nil
}

// escape makes a text stand for itself in a pattern of SCAN.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(`*?[]\^-`, s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
