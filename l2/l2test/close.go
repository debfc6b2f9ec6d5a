package l2test

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/lmcache-go/lmcache/l2"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// closeDuringCalls closes from several sides while calls are running. When Close
// has returned, the memory of calls that began before is theirs no more.
func closeDuringCalls(s *suite) {
	const workers = 6
	all := s.objects(8, 128<<10)
	s.store(all...)
	reads := make([]*batch, workers)
	writes := make([]*batch, workers)
	for w := range workers {
		reads[w] = s.reading(all...)
		var own []object
		for i := range 4 {
			own = append(own, s.object(key("own", w*10+i), 64<<10, 0))
		}
		writes[w] = s.writing(own...)
	}
	var wg sync.WaitGroup
	var turns atomic.Int64
	warm := make(chan struct{})
	var once sync.Once
	for w := range workers {
		wg.Go(func() {
			for range 1_000_000 { // until Close ends it
				err := s.a.Load(s.t.Context(), reads[w].items)
				if err == nil {
					err = s.a.Store(s.t.Context(), writes[w].items)
				}
				for _, it := range writes[w].items {
					err = errors.Join(err, it.Err)
				}
				if err != nil {
					if !errors.Is(err, l2.ErrClosed) {
						s.t.Errorf("a call during Close: %v", err)
					}
					once.Do(func() { close(warm) })
					return
				}
				if turns.Add(1) > 2*workers {
					once.Do(func() { close(warm) })
				}
			}
			s.t.Error("calls go on after Close")
		})
	}
	<-warm
	s.soon("Close during calls", func() {
		var closers sync.WaitGroup
		for range 3 {
			closers.Go(func() {
				if err := s.a.Close(); err != nil {
					s.t.Errorf("Close: %v", err)
				}
			})
		}
		closers.Wait()
	})
	wg.Wait()
	for w := range workers {
		reads[w].giveBack(s.t)
		writes[w].giveBack(s.t)
	}
	for w := range workers {
		reads[w].untouched(s.t)
		writes[w].untouched(s.t)
	}
}

func callsAfterClose(s *suite) {
	o := s.object(key("m", 1), 5000, 0)
	s.store(o)
	for range 3 {
		if err := s.a.Close(); err != nil {
			s.t.Fatalf("Close: %v", err)
		}
	}
	w, r := s.writing(o), s.reading(o)
	ctx := s.t.Context()
	s.isError(s.a.Store(ctx, w.items), l2.ErrClosed)
	s.isError(s.a.Load(ctx, r.items), l2.ErrClosed)
	s.isError(s.a.Lookup(ctx, []kv.Key{o.key}, make([]l2.Found, 1)), l2.ErrClosed)
	s.isError(s.a.Delete(ctx, []kv.Key{o.key}, make([]int64, 1)), l2.ErrClosed)
	if l, ok := l2.AbilityOf[l2.Lister](s.a); ok {
		_, err := l.List(ctx, l2.ListQuery{PageSize: 1})
		s.isError(err, l2.ErrClosed)
	}
	if sc, ok := l2.AbilityOf[l2.Scanner](s.a); ok {
		for _, err := range sc.Scan(ctx) {
			s.isError(err, l2.ErrClosed)
		}
	}
	if to, ok := l2.AbilityOf[l2.Toucher](s.a); ok {
		to.Touch(ctx, []kv.Key{o.key}, touched)
	}
	w.giveBack(s.t)
	r.giveBack(s.t)
}
