package l1

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lmcache-go/lmcache/internal/runtime"
	"github.com/lmcache-go/lmcache/l1/internal/arena"
	"github.com/lmcache-go/lmcache/l1/internal/pool"
)

// ShmNamePrefix is what the names of segments begin with.
const ShmNamePrefix = "lmcache_l1_pool_"

// ShmNameAuto as Options.ShmName stands for a name with the process id.
const ShmNameAuto = "auto"

// SegmentName is the name of the segment that a name in Options.ShmName stands for:
// with the prefix, once, and the process id in place of ShmNameAuto. It is empty for
// private memory.
func SegmentName(name string) string {
	switch {
	case name == "":
		return ""
	case name == ShmNameAuto:
		return ShmNamePrefix + strconv.Itoa(os.Getpid())
	case strings.HasPrefix(name, ShmNamePrefix):
		return name
	default:
		return ShmNamePrefix + name
	}
}

// memory is the bytes of a manager: what is committed, ready to be handed out and
// pinned, by pieces, and the goroutines that see to it. Manager.mu guards the
// fields below it.
type memory struct {
	m      *Manager
	pool   *pool.Pool
	base   uintptr
	cancel context.CancelFunc
	work   sync.WaitGroup // of workers, and of calls that commit; Close waits for it
	next   atomic.Int64   // piece for a worker
	end    atomic.Int64   // workers see to the pieces before it: all, or those before one that is lost

	// Guarded by Manager.mu.
	pieces   []piece
	front    int // pieces before are ready
	done     bool
	pinnings []*Pinning
	pinned   int64 // bytes that all pinnings have pinned
	unpinned int64 // bytes that one of them could not pin
	told     bool  // that memory could not be had
}

// piece is what is known of one piece of the memory.
type piece struct {
	committed bool
	ready     bool // to be handed out
	lost      bool // could not be committed
	pins      int  // pinnings that have pinned it
	refusals  int  // pinnings that could not
}

// openMemory gets the memory and the allocator over it. Nothing stays behind if it
// fails. Without a live runtime there are no goroutines: all is committed at once,
// so that what is handed out depends on the calls alone.
func openMemory(ctx context.Context, m *Manager) error {
	o := &m.o
	ao := arena.Options{Bytes: o.Bytes, Align: int64(o.Align)}
	if o.NoBytes {
		a, err := arena.New(ao)
		if err != nil {
			return fmt.Errorf("l1: %w", err)
		}
		m.arena, m.mu.arena = a, a
		return nil
	}
	if o.InitBytes > o.Bytes && o.InitBytes != DefaultInitBytes {
		o.Logger.Info("the initial size of L1 is more than its size; all of it is committed at once",
			slog.Int64("init_bytes", o.InitBytes), slog.Int64("bytes", o.Bytes))
	}
	align := int64(o.Align)
	p, err := pool.Open(pool.Options{
		Bytes: (o.Bytes + align - 1) &^ (align - 1), Piece: o.piece, HugePages: o.HugePages, Fault: o.fault,
		Name: SegmentName(o.ShmName), Dir: o.ShmDir, Mode: o.ShmMode,
	})
	if err != nil {
		return fmt.Errorf("l1: %w", err)
	}
	g := &memory{m: m, pool: p, base: p.Base(), pieces: make([]piece, p.Pieces())}
	g.end.Store(int64(p.Pieces()))
	ao.Memory, ao.HoldBack = p.Bytes(), true
	m.mem = g
	if m.arena, err = arena.New(ao); err == nil {
		m.mu.arena = m.arena
		err = g.start(ctx)
	}
	if err != nil {
		return fmt.Errorf("l1: %w", errors.Join(err, p.Close()))
	}
	return nil
}

// start commits what must be there at once and lets workers do the rest.
func (g *memory) start(ctx context.Context) error {
	o := &g.m.o
	_, live := g.m.rt.(*runtime.Live)
	eager := o.Eager || o.HugePages
	n := g.pool.Pieces()
	if live && !eager {
		n = int((min(o.InitBytes, o.Bytes) + g.pool.PieceBytes() - 1) / g.pool.PieceBytes())
	}
	if !eager {
		ctx = context.WithoutCancel(ctx) // it takes no time but for shared memory, a few seconds
	}
	total := int64(len(g.pool.Bytes()))
	done := int64(0)
	err := forEach(ctx, n, goruntime.GOMAXPROCS(0), func(i int) error {
		if err := g.commit(i); err != nil || !eager {
			return err
		}
		return g.populate(i)
	}, func(i int) {
		if done += int64(len(g.pool.Piece(i))); eager && o.Progress != nil {
			o.Progress(done, total)
		}
	})
	if err != nil {
		return err
	}
	for i := range g.pieces[:n] {
		g.pieces[i].committed = true
	}
	if eager || !live {
		for i := range g.pieces {
			g.pieces[i].ready = true
		}
		g.front, g.done = len(g.pieces), true
		g.m.arena.Advance(g.m.arena.Size())
		return nil
	}
	//nolint:forbidigo // the life of the workers, ended by Close; the caller's context is that of the start
	ctx, g.cancel = context.WithCancel(context.Background())
	for range min(len(g.pieces), max(2, goruntime.GOMAXPROCS(0)/4)) {
		g.work.Go(func() { g.grow(ctx) })
	}
	return nil
}

// forEach calls f for the numbers below n in order, from several goroutines, and
// then done from its own. It stops at the first error or the end of ctx, and
// returns when no call runs any more.
func forEach(ctx context.Context, n, workers int, f func(i int) error, done func(i int)) error {
	type result struct {
		i   int
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan result)
	var next atomic.Int64
	var work sync.WaitGroup
	for range min(n, workers) {
		work.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1) - 1)
				if i >= n {
					return
				}
				results <- result{i, f(i)}
			}
		})
	}
	go func() {
		work.Wait()
		close(results)
	}()
	var err error
	finished := 0
	for r := range results {
		if r.err != nil {
			err = cmp.Or(err, r.err)
			cancel()
			continue
		}
		finished++
		done(r.i)
	}
	if err == nil && finished < n {
		err = context.Cause(ctx)
	}
	return err
}

// stop ends the workers and waits for them and for calls that commit. The manager
// is closed, so none begins.
func (g *memory) stop() {
	if g == nil {
		return
	}
	if g.cancel != nil {
		g.cancel()
	}
	g.work.Wait()
}

// close gives the memory back, after stop.
func (g *memory) close() error {
	if g == nil {
		return nil
	}
	g.m.mu.mustBeFree("unmapping memory")
	if err := g.pool.Close(); err != nil {
		return fmt.Errorf("l1: close: %w", err)
	}
	return nil
}

// Memory describes the memory of a Manager to those who share it or register it
// with a device.
type Memory struct {
	Name           string  // of the segment of shared memory, a file in Options.ShmDir; empty: private
	Base           uintptr // address in this process; it never changes. 0: there are no bytes
	Bytes          int64   // from the base; offsets of objects are below
	Align          int64   // of the offsets of objects
	CommittedBytes int64   // from the base, without a gap
	PinnedBytes    int64   // from the base, without a gap
}

// Memory returns the current description. Only the last two fields ever change.
func (m *Manager) Memory() Memory {
	d := Memory{Bytes: m.arena.Size(), Align: m.arena.Align()}
	g := m.mem
	if g == nil {
		return d
	}
	d.Name, d.Base = g.pool.Name(), g.base
	m.mu.Lock()
	defer m.mu.Unlock()
	d.CommittedBytes = g.prefixLocked(func(p *piece) bool { return p.committed })
	d.PinnedBytes = g.prefixLocked((*piece).pinned)
	return d
}

func (g *memory) prefixLocked(has func(*piece) bool) int64 {
	n := 0
	for n < len(g.pieces) && has(&g.pieces[n]) {
		n++
	}
	return min(int64(n)*g.pool.PieceBytes(), g.m.arena.Size())
}

// bytes is the size of piece i.
func (g *memory) bytes(i int) int64 {
	return min(g.pool.PieceBytes(), g.m.arena.Size()-int64(i)*g.pool.PieceBytes())
}

// logger is the manager's.
func (g *memory) logger() *slog.Logger { return g.m.logger() }
