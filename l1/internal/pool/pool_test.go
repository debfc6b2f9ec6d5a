package pool

import (
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// small is a piece in these tests.
const small = 1 << 20

func newPool(tb testing.TB, o Options) *Pool {
	tb.Helper()
	if o.Piece == 0 {
		o.Piece = small
	}
	p, err := Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		for range 2 {
			if err := p.Close(); err != nil {
				tb.Error(err)
			}
		}
	})
	return p
}

// faults reports whether touching a byte is a fault.
func faults(b []byte) (fault bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { fault = recover() != nil }()
	b[0]++
	b[0]--
	return false
}

func TestPieces(t *testing.T) {
	p := newPool(t, Options{Bytes: 3*small + 5000})
	if p.Pieces() != 4 || p.PieceBytes() != small || len(p.Bytes()) != 3*small+5000 || p.Committed() != 0 || p.Name() != "" {
		t.Errorf("%d pieces of %d, %d bytes, %d committed, name %q", p.Pieces(), p.PieceBytes(), len(p.Bytes()), p.Committed(), p.Name())
	}
	if p.Base()%hugePage != 0 {
		t.Errorf("the base %#x is not that of a huge page", p.Base())
	}
	for i, n := range []int{small, small, small, 5000} {
		mem := p.Piece(i)
		if len(mem) != n || cap(mem) != n || &mem[0] != &p.Bytes()[i*small] {
			t.Errorf("piece %d has %d bytes, want %d", i, len(mem), n)
		}
		if !faults(mem) {
			t.Errorf("piece %d can be used before it is committed", i)
		}
	}
	for _, i := range []int{3, 1, 1} {
		if err := errors.Join(p.Commit(i), p.Populate(i)); err != nil {
			t.Fatal(err)
		}
		if mem := p.Piece(i); faults(mem) || faults(mem[len(mem)-1:]) {
			t.Errorf("piece %d cannot be used", i)
		}
	}
	if p.Committed() != small+5000 {
		t.Errorf("%d bytes are committed, want %d", p.Committed(), small+5000)
	}
	if !faults(p.Piece(0)) || !faults(p.Piece(2)) {
		t.Error("committing one piece opened another")
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"no bytes":   {},
		"negative":   {Bytes: -1},
		"odd pieces": {Bytes: small, Piece: 1000},
		"too much":   {Bytes: 1 << 61},
	} {
		if p, err := Open(o); err == nil {
			t.Errorf("%s: opened %d bytes", name, len(p.Bytes()))
		}
	}
}

// resident is the memory of this process in bytes.
func resident(t *testing.T) int64 {
	t.Helper()
	pages, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for _, c := range strings.Fields(string(pages))[1] {
		n = 10*n + int64(c-'0')
	}
	return n * int64(os.Getpagesize())
}

// Reserving and committing cost no memory, populating costs what it says.
func TestOnlyPopulatingTakesMemory(t *testing.T) {
	if runtime.GOOS != "linux" || strconv.IntSize < 64 {
		t.Skip("reads /proc, and maps 8 GiB")
	}
	for _, touching := range []bool{false, true} {
		before := resident(t)
		p := newPool(t, Options{Bytes: 8 << 30, Piece: PieceBytes, Touch: touching})
		if err := p.Commit(7); err != nil {
			t.Fatal(err)
		}
		if got := resident(t) - before; got > 16<<20 {
			t.Errorf("8 GiB of untouched memory take %d bytes", got)
		}
		if err := p.Populate(7); err != nil {
			t.Fatal(err)
		}
		if got := resident(t) - before; got < PieceBytes-1<<20 || got > PieceBytes+16<<20 {
			t.Errorf("a populated piece takes %d bytes, want %d", got, PieceBytes)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if got := resident(t) - before; got > 16<<20 {
			t.Errorf("after Close %d bytes are left", got)
		}
	}
}

// Populating memory that is in use changes nothing in it, also where the kernel
// does not do it.
func TestPopulateLosesNoWrite(t *testing.T) {
	for _, touching := range []bool{false, true} {
		p := newPool(t, Options{Bytes: 4 * int64(os.Getpagesize()), Touch: touching})
		if err := p.Commit(0); err != nil {
			t.Fatal(err)
		}
		mem := p.Piece(0)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for round := range 200_000 {
				for i := 0; i < len(mem); i += os.Getpagesize() {
					mem[i] = byte(round)
				}
				for i := 0; i < len(mem); i += os.Getpagesize() {
					if mem[i] != byte(round) {
						t.Errorf("byte %d is %d after %d was written", i, mem[i], byte(round))
						return
					}
				}
			}
		}()
		for running := true; running; {
			if err := p.Populate(0); err != nil {
				t.Error(err)
			}
			select {
			case <-done:
				running = false
			default:
			}
		}
	}
}

// A piece is committed once; all who ask get that one's error.
func TestCommitOnce(t *testing.T) {
	broken := errors.New("broken")
	calls := 0
	p := newPool(t, Options{Bytes: 2 * small, Fault: func(s Step) error {
		if s == StepCommit {
			calls++
			return broken
		}
		return nil
	}})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := p.Commit(1); !errors.Is(err, broken) {
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
	if calls != 1 || p.Committed() != 0 {
		t.Errorf("%d calls, %d bytes committed", calls, p.Committed())
	}
}
