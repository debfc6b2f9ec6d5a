package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/lmcache-go/lmcache"
	"github.com/lmcache-go/lmcache/gpu"
	"github.com/lmcache-go/lmcache/gpu/fake"
	"github.com/lmcache-go/lmcache/l1"
)

const (
	batch  = 3 // requests that run at once
	blocks = 40
	answer = 12 // tokens
)

// request is one turn of a conversation.
type request struct {
	id      string
	tenant  string
	tokens  []int32
	prompt  int // of tokens
	hit     int // of prompt
	turns   int // that follow
	blocks  []gpu.BlockID
	session *lmcache.Session
	stored  *lmcache.Transfer
}

type server struct {
	engine  *lmcache.Engine
	worker  *lmcache.Worker
	model   tiny
	free    []gpu.BlockID
	waiting []*request
	running []*request
	out     io.Writer
	asked   int // tokens
	hit     int
}

func main() {
	if err := run(context.Background(), os.Stdout, 1<<20); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves a few conversations with so many bytes of cache.
func run(ctx context.Context, out io.Writer, bytes int64) (err error) {
	device := fake.New(fake.Options{})
	defer func() { err = errors.Join(err, device.Close()) }()
	paged, err := device.NewPaged(gpu.Shape{
		Layers: layers, Blocks: blocks, BlockTokens: blockTokens, Heads: 1, HeadSize: headSize, DType: "int8",
	})
	if err != nil {
		return err
	}
	engine, err := lmcache.Open(ctx, lmcache.Options{ChunkTokens: 2 * blockTokens, L1: l1.Options{Bytes: bytes}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close(ctx)) }()
	worker, err := engine.Attach(lmcache.WorkerOptions{Model: modelName, Backend: device, Cache: paged})
	if err != nil {
		return err
	}
	s := &server{engine: engine, worker: worker, model: tiny{device, paged}, out: out}
	for i := range blocks {
		s.free = append(s.free, gpu.BlockID(i))
	}
	for i, tenant := range []string{"red", "red", "blue", "red"} {
		s.waiting = append(s.waiting, &request{id: fmt.Sprintf("chat%d.1", i+1), tenant: tenant, turns: 2, tokens: text(100, i+1, 20)})
	}
	return s.serve(ctx)
}

// text is a system prompt of so many tokens and a question.
func text(system, seed, question int) []int32 {
	var tokens []int32
	for i := range system {
		tokens = append(tokens, int32(i))
	}
	for i := range question {
		tokens = append(tokens, int32(1000*seed+i))
	}
	return tokens
}

// serve runs all requests: in each step, those that run get one token each, and
// those that wait get in as soon as there is room.
func (s *server) serve(ctx context.Context) error {
	for len(s.waiting)+len(s.running) > 0 {
		for len(s.waiting) > 0 && len(s.running) < batch {
			if ok, err := s.start(ctx, s.waiting[0]); err != nil {
				return err
			} else if !ok {
				break
			}
			s.waiting = s.waiting[1:]
		}
		going := s.running[:0]
		for _, r := range s.running {
			s.decode(r)
			if len(r.tokens) < r.prompt+answer {
				going = append(going, r)
			} else if err := s.finish(ctx, r); err != nil {
				return err
			}
		}
		s.running = going
	}
	stats := s.engine.Stats()
	_, err := fmt.Fprintf(s.out, "%d of %d prompt tokens from the cache, which holds %d chunks\n", s.hit, s.asked, stats.Storage.L1.Objects)
	return err
}

// start begins a request if there are blocks for it.
func (s *server) start(ctx context.Context, r *request) (ok bool, err error) {
	need := (len(r.tokens) + answer + blockTokens - 1) / blockTokens
	if len(s.free) < need {
		return false, nil
	}
	r.blocks, s.free = s.free[:need:need], s.free[need:]
	r.prompt = len(r.tokens)
	if r.hit, err = s.admit(ctx, r); err != nil {
		return false, err
	}
	s.model.compute(r.blocks, r.tokens, r.hit)
	s.asked, s.hit = s.asked+r.prompt, s.hit+r.hit
	s.running = append(s.running, r)
	if err := s.keep(ctx, r); err != nil {
		return false, err
	}
	return true, r.stored.Wait(ctx) // so that the next one finds it, each time the same
}

// decode adds one token.
func (s *server) decode(r *request) {
	r.tokens = append(r.tokens, s.model.next(r.blocks, len(r.tokens)))
	s.model.compute(r.blocks, r.tokens, len(r.tokens)-1)
}

// finish ends a request; the next turn of its conversation goes to the end of the
// queue.
func (s *server) finish(ctx context.Context, r *request) error {
	if err := s.keep(ctx, r); err != nil {
		return err
	}
	if err := s.retire(ctx, r); err != nil {
		return err
	}
	s.free = append(s.free, r.blocks...)
	if r.turns > 0 {
		n := len(r.id) - 1
		s.waiting = append(s.waiting, &request{
			id: r.id[:n] + string(r.id[n]+1), tenant: r.tenant, turns: r.turns - 1,
			tokens: append(slices.Clip(r.tokens), text(0, r.turns, 25)...),
		})
	}
	_, err := fmt.Fprintf(s.out, "%s: %d of %d tokens from the cache, answer %v\n", r.id, r.hit, r.prompt, r.tokens[r.prompt:])
	return err
}
