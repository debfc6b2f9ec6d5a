package resp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/lmcache-go/lmcache/internal/leak"
	"github.com/lmcache-go/lmcache/internal/servertest"
	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/l2/l2test"
	"github.com/lmcache-go/lmcache/l2/resp"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// client is a plain client of a server.
func client(t testing.TB, addr string) rueidis.Client {
	t.Helper()
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, DisableCache: true, AlwaysRESP2: true, ForceSingleClient: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// An adapter of a server that is away opens, says why its calls fail, and works once
// the server is there; so it does after the server was killed.
func TestServerComesAndGoes(t *testing.T) {
	leak.Check(t)
	s := servertest.Redis(t)
	s.Kill()
	a := open(t, resp.Options{Addrs: []string{s.Addr}})
	l2test.Closing(t, a)
	for range 2 {
		err := a.Store(t.Context(), []l2.Item{l2test.Item(t, 1, "payload")})
		if !errors.Is(err, l2.ErrConnection) || !l2.Unreachable(err) {
			t.Fatalf("without a server: %v", err)
		}
		s.Restart()
		items := []l2.Item{l2test.Item(t, 1, "payload")}
		servertest.Eventually(t, func() error { return a.Store(t.Context(), items) })
		if items[0].Err != nil || items[0].N != 7 {
			t.Fatalf("with a server: %+v", items[0])
		}
		s.Kill()
		servertest.Eventually(t, func() error {
			if err := a.Lookup(t.Context(), []kv.Key{l2test.Key(t, 1)}, make([]l2.Found, 1)); err == nil {
				return errors.New("a dead server answers")
			}
			return nil
		})
	}
}

// A server that accepts connections and does not answer costs a call its time limit,
// not more, and is a timeout.
func TestServerThatHangs(t *testing.T) {
	s := servertest.Redis(t)
	a := open(t, resp.Options{Addrs: []string{s.Addr}, RequestTimeout: 100 * time.Millisecond})
	l2test.Closing(t, a)
	items := []l2.Item{l2test.Item(t, 1, strings.Repeat("p", 1<<20))}
	if err := a.Store(t.Context(), items); err != nil || items[0].Err != nil {
		t.Fatal(err, items[0].Err)
	}
	s.Hang()
	calls := map[string]func(context.Context) error{
		"Lookup": func(ctx context.Context) error { return a.Lookup(ctx, []kv.Key{l2test.Key(t, 1)}, make([]l2.Found, 1)) },
		"Load":   func(ctx context.Context) error { return a.Load(ctx, []l2.Item{l2test.Room(t, 1, 1<<20)}) },
		"Store":  func(ctx context.Context) error { return a.Store(ctx, []l2.Item{l2test.Item(t, 2, "other")}) },
		"Delete": func(ctx context.Context) error { return a.Delete(ctx, []kv.Key{l2test.Key(t, 1)}, make([]int64, 1)) },
	}
	for name, call := range calls {
		if err := call(t.Context()); l2.ReasonOf(err) != l2.ReasonTimeout {
			t.Errorf("%s: %v, want a timeout", name, err)
		}
	}
	s.Resume()
	servertest.Eventually(t, func() error {
		items := []l2.Item{l2test.Room(t, 1, 1<<20)}
		if err := a.Load(t.Context(), items); err != nil {
			return err
		}
		return items[0].Err
	})
}

func TestWrongPassword(t *testing.T) {
	s := servertest.Redis(t, "--requirepass", "secret")
	for password, said := range map[string]string{"": "NOAUTH ", "not-the-secret": "WRONGPASS "} {
		a := open(t, resp.Options{Addrs: []string{s.Addr}, Password: password})
		l2test.Closing(t, a)
		err := a.Lookup(t.Context(), []kv.Key{l2test.Key(t, 1)}, make([]l2.Found, 1))
		if password == "" && err == nil {
			continue // a command's own refusal is about its key
		}
		if err == nil || l2.Unreachable(err) || strings.Contains(err.Error(), "secret") {
			t.Errorf("password %q: %v", password, err)
			continue
		}
		if want := "resp: " + s.Addr + ": refused by the store: " + said; !strings.HasPrefix(err.Error(), want) || !errors.Is(err, l2.ErrRefused) || !errors.Is(err, l2.ErrIO) {
			t.Errorf("password %q: %v, want %s…", password, err, want)
		}
	}
	a := open(t, resp.Options{Addrs: []string{s.Addr}, Password: "secret"})
	l2test.Closing(t, a)
	items := []l2.Item{l2test.Item(t, 1, "payload")}
	if err := a.Store(t.Context(), items); err != nil || items[0].Err != nil {
		t.Errorf("the right password: %v, %v", err, items[0].Err)
	}
}

// A server that is full and evicts nothing says so per key.
func TestServerIsFull(t *testing.T) {
	s := servertest.Redis(t, "--maxmemory", "4mb", "--maxmemory-policy", "noeviction")
	a := open(t, resp.Options{Addrs: []string{s.Addr}})
	l2test.Closing(t, a)
	full := 0
	for n := range 8 {
		items := []l2.Item{l2test.Item(t, n, strings.Repeat("p", 1<<20))}
		if err := a.Store(t.Context(), items); err != nil {
			t.Fatal(err)
		}
		if err := items[0].Err; err != nil {
			full++
			if l2.ReasonOf(err) != l2.ReasonNoSpace {
				t.Errorf("object %d: %v", n, err)
			}
		}
	}
	if full == 0 {
		t.Error("eight objects of 1 MiB fit 4 MB")
	}
	if got := a.Describe()["maxmemory_policy"]; got != "noeviction" {
		t.Errorf("policy %v", got)
	}
}

// What somebody else keeps under the name is not an object, and a value that is too long is
// not read.
func TestForeignValues(t *testing.T) {
	s := servertest.Redis(t)
	a := open(t, resp.Options{Addrs: []string{s.Addr}})
	l2test.Closing(t, a)
	c := client(t, s.Addr)
	name := func(n int) string { return l2.Format{}.RemoteName(l2test.Key(t, n)) }
	for _, cmd := range []rueidis.Completed{
		c.B().Sadd().Key(name(1)).Member("a set").Build(),
		c.B().Set().Key(name(2)).Value(strings.Repeat("x", 5000)).Build(),
		c.B().Set().Key(name(3)).Value("short").Build(),
		c.B().Set().Key("something else").Value("x").Build(),
		c.B().Set().Key("@v1@m@zz@0@00").Value("x").Build(),
	} {
		if err := c.Do(t.Context(), cmd).Error(); err != nil {
			t.Fatal(err)
		}
	}
	items := []l2.Item{l2test.Room(t, 1, 100), l2test.Room(t, 2, 100), l2test.Room(t, 3, 100)}
	if err := a.Load(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	for i, want := range []l2.Reason{l2.ReasonNotFound, l2.ReasonCorrupt, l2.ReasonCorrupt} {
		if got := l2.ReasonOf(items[i].Err); got != want {
			t.Errorf("value %d: %v, want %s", i+1, items[i].Err, want)
		}
	}
	page, err := a.List(t.Context(), l2.ListQuery{PageSize: 100})
	if err != nil || len(page.Entries) != 2 { // 2 and 3 have names of ours
		t.Errorf("listing: %v, %v", page, err)
	}
}

// An object that stays is listed although others that were listed before it go. The
// pages are smaller than what one SCAN gives.
func TestListWhileObjectsGo(t *testing.T) {
	s := servertest.Redis(t)
	a := open(t, resp.Options{Addrs: []string{s.Addr}})
	l2test.Closing(t, a)
	const n = 60
	left := map[kv.Key]bool{}
	for i := range n {
		if err := a.Store(t.Context(), []l2.Item{l2test.Item(t, i, "payload")}); err != nil {
			t.Fatal(err)
		}
		left[l2test.Key(t, i)] = true
	}
	q := l2.ListQuery{PageSize: 7}
	for pages := 0; pages == 0 || q.Cursor != ""; pages++ {
		page, err := a.List(t.Context(), q)
		if err != nil || pages > n {
			t.Fatalf("page %d: %v", pages, err)
		}
		for _, e := range page.Entries {
			if !left[e.Key] {
				t.Errorf("%v is listed twice", e.Key)
			}
			delete(left, e.Key)
			if err := a.Delete(t.Context(), []kv.Key{e.Key}, make([]int64, 1)); err != nil {
				t.Fatal(err)
			}
		}
		q.Cursor = page.Next
	}
	if len(left) > 0 {
		t.Errorf("%d of %d objects are not listed", len(left), n)
	}
}

// On a server with much else a page comes with what there is, and the next one goes on.
func TestListAmongOthers(t *testing.T) {
	s := servertest.Redis(t)
	a := open(t, resp.Options{Addrs: []string{s.Addr}})
	l2test.Closing(t, a)
	const others = 30_000
	c := client(t, s.Addr)
	var cmds rueidis.Commands
	for i := range others {
		cmds = append(cmds, c.B().Set().Key("other:"+strconv.Itoa(i)).Value("x").Build())
	}
	for _, r := range c.DoMulti(t.Context(), cmds...) {
		if err := r.Error(); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Store(t.Context(), []l2.Item{l2test.Item(t, 1, "payload")}); err != nil {
		t.Fatal(err)
	}
	found, pages := 0, 0
	for q := (l2.ListQuery{PageSize: 10}); pages == 0 || q.Cursor != ""; pages++ {
		page, err := a.List(t.Context(), q)
		if err != nil || pages > others {
			t.Fatalf("page %d: %v", pages, err)
		}
		found += len(page.Entries)
		q.Cursor = page.Next
	}
	if found != 1 || pages < 2 {
		t.Errorf("%d objects on %d pages", found, pages)
	}
}

// Of several servers the first that answers is used, and another one when that is lost.
func TestSeveralServers(t *testing.T) {
	first, second := servertest.Redis(t), servertest.Redis(t)
	first.Kill()
	a := open(t, resp.Options{Addrs: []string{first.Addr, second.Addr}})
	l2test.Closing(t, a)
	items := []l2.Item{l2test.Item(t, 1, "payload")}
	if err := a.Store(t.Context(), items); err != nil || items[0].Err != nil {
		t.Fatal(err, items[0].Err)
	}
	if got := a.Describe()["server"]; got != second.Addr {
		t.Errorf("server %v, want the second", got)
	}
	first.Restart()
	second.Kill()
	servertest.Eventually(t, func() error {
		items := []l2.Item{l2test.Item(t, 2, "payload")}
		if err := a.Store(t.Context(), items); err != nil {
			return err
		}
		return items[0].Err
	})
	if got := a.Describe()["server"]; got != first.Addr {
		t.Errorf("server %v, want the first", got)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool := servertest.Certificate(t, cert, key, 1)
	tlsPort := freePort(t)
	servertest.Redis(t, "--tls-port", strconv.Itoa(tlsPort), "--tls-auth-clients", "no",
		"--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(tlsPort))
	a := open(t, resp.Options{Addrs: []string{addr}, TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}})
	l2test.Closing(t, a)
	items := []l2.Item{l2test.Item(t, 1, strings.Repeat("p", 1<<20))}
	if err := a.Store(t.Context(), items); err != nil || items[0].Err != nil {
		t.Fatal(err, items[0].Err)
	}
	loads := []l2.Item{l2test.Room(t, 1, 1<<20)}
	if err := a.Load(t.Context(), loads); err != nil || loads[0].Err != nil || string(loads[0].Data) != string(items[0].Data) {
		t.Error(err, loads[0].Err)
	}

	stranger := open(t, resp.Options{Addrs: []string{addr}, TLS: &tls.Config{MinVersion: tls.VersionTLS12}})
	l2test.Closing(t, stranger)
	err := stranger.Lookup(t.Context(), []kv.Key{l2test.Key(t, 1)}, make([]l2.Found, 1))
	if !l2.Unreachable(err) {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func TestValidate(t *testing.T) {
	for name, tc := range map[string]struct {
		o    resp.Options
		want []string
	}{
		"nothing": {resp.Options{}, []string{"Addrs: none given"}},
		"everything": {
			resp.Options{
				Addrs: []string{"host", ":1", "h:0"}, Username: "u", Database: 2, Cluster: true, Prefix: "a@b",
				ConnectTimeout: -1, RequestTimeout: -1, Connections: -1,
			},
			[]string{
				`"host" is not HOST:PORT`, `":1" has no host`, `"h:0": port must be 1 to 65535`, "Password: must be set", "Database: 2, but a cluster has only 0",
				`Prefix: "a@b" contains "@"`, "ConnectTimeout", "RequestTimeout", "Connections",
			},
		},
	} {
		_, err := resp.Open(tc.o)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q in it", name, err, want)
			}
		}
	}
}

func TestTooLarge(t *testing.T) {
	s := servertest.Redis(t)
	a := open(t, resp.Options{Addrs: []string{s.Addr}})
	l2test.Closing(t, a)
	it := l2test.Item(t, 1, "x")
	it.Data = make([]byte, resp.MaxValue) // never touched: it costs no memory
	items := []l2.Item{it, l2test.Item(t, 2, "payload")}
	if err := a.Store(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	if l2.ReasonOf(items[0].Err) != l2.ReasonTooLarge || items[1].Err != nil {
		t.Errorf("%v, %v", items[0].Err, items[1].Err)
	}
}

// An attempt to connect takes its own time: a call that waits for it, the one that has
// begun it included, ends with its own limit or context, and the attempt goes on.
func TestWaitingForAConnection(t *testing.T) {
	leak.Check(t)
	s := servertest.Redis(t)
	s.Hang() // connections are accepted, and nobody answers
	a := open(t, resp.Options{Addrs: []string{s.Addr}, TLS: &tls.Config{}, RequestTimeout: 50 * time.Millisecond, ConnectTimeout: time.Hour})
	l2test.Closing(t, a)
	lookup := func(ctx context.Context) error {
		return a.Lookup(ctx, []kv.Key{l2test.Key(t, 1)}, make([]l2.Found, 1))
	}
	for range 2 {
		if err := lookup(t.Context()); l2.ReasonOf(err) != l2.ReasonTimeout || !l2.Unreachable(err) {
			t.Errorf("a call without a connection: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := lookup(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a call whose context has ended: %v", err)
	}
	if !a.Connecting() {
		t.Error("nobody connects any more")
	}
	s.Kill() // the attempt fails, and the next call begins another one
	servertest.Eventually(t, func() error {
		if err := lookup(t.Context()); l2.ReasonOf(err) == l2.ReasonTimeout || !errors.Is(err, l2.ErrConnection) {
			return fmt.Errorf("the server is gone, and a call ends with: %w", err)
		}
		return nil
	})
}

// The end of an adapter ends its attempt to connect.
func TestCloseEndsTheAttemptToConnect(t *testing.T) {
	leak.Check(t)
	s := servertest.Redis(t)
	s.Hang()
	a := open(t, resp.Options{Addrs: []string{s.Addr}, TLS: &tls.Config{}, RequestTimeout: 50 * time.Millisecond, ConnectTimeout: time.Hour})
	if err := a.Lookup(t.Context(), []kv.Key{l2test.Key(t, 1)}, make([]l2.Found, 1)); l2.ReasonOf(err) != l2.ReasonTimeout {
		t.Errorf("a call without a connection: %v", err)
	}
	if !a.Connecting() {
		t.Error("nobody connects")
	}
	if err := a.Close(); err != nil || a.Connecting() {
		t.Errorf("after Close: %v, an attempt under way: %v", err, a.Connecting())
	}
	if err := a.Lookup(t.Context(), []kv.Key{l2test.Key(t, 1)}, make([]l2.Found, 1)); !errors.Is(err, l2.ErrClosed) {
		t.Errorf("a call after Close: %v", err)
	}
	s.Resume()
}
