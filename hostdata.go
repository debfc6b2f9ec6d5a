package lmcache

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/lmcache-go/lmcache/l1"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
)

// HostTensor is the KV of one chunk as a client sends it: elements in little-endian
// order. The zero HostTensor is one that is missing. It is read during a call and
// not kept.
type HostTensor struct {
	DType   kv.DType
	Shape   []int64
	Strides []int64 // in elements, not negative; nil: contiguous
	Data    []byte  // from the first element on
}

// CommitStoreData writes the chunks of a range from tensors, one for each of its
// chunks, in order, whether or not it was prepared: into what is pending under this
// key, and else into new memory. A tensor must have the object's shape; one of
// another floating point type is converted, rounded to the nearest even. Chunks that
// have no such tensor are discarded at once, and the others become readable; with
// more tensors than chunks, none does.
//
// The result is true exactly if every chunk of the range is in the cache now; what
// somebody else is still writing is not. An error means bad arguments or a closed
// worker. No tensors at all are CommitStore.
func (h *HostWorker) CommitStoreData(ctx context.Context, k HostKey, tensors []HostTensor) (bool, error) {
	if len(tensors) == 0 {
		return h.CommitStore(ctx, k)
	}
	m, err := h.begin(&k)
	if err != nil {
		return false, err
	}
	defer h.leave()
	s, done := h.e.SessionFor(k.Request)
	defer done()
	if err := m.serves(s); err != nil {
		return false, err
	}
	ok, err := h.commitData(ctx, s, m, &k, tensors)
	if err == nil && !ok {
		h.e.log.WarnContext(ctx, "not all chunks of a store were written", slog.String("session", k.Request.ID))
	}
	return ok, err
}

func (h *HostWorker) commitData(ctx context.Context, s *Session, m *member, k *HostKey, tensors []HostTensor) (bool, error) {
	from, to := k.Start/h.size, k.End/h.size
	if from == to {
		return false, nil // tensors of no chunk
	}
	st := h.newStore(s, m, hostKey{id: k.Request.ID}, from, to, k.Tokens)
	if pending, _ := h.reservation(st.key); pending != nil {
		pending.end.Lock()
		defer pending.end.Unlock()
		if pending.state == hostPending {
			st = pending
		}
	}
	if len(tensors) > to-from {
		if st.began {
			st.abort()
		}
		return false, nil
	}
	c := dataCommit{st: st, tensors: tensors}
	return c.run(ctx)
}

// dataCommit writes tensors into a store.
type dataCommit struct {
	st      *HostStore
	tensors []HostTensor
	stored  int
}

// run fills what is pending, and then, where chunks of the range are absent, new
// memory. It needs the end of the store.
func (c *dataCommit) run(ctx context.Context) (bool, error) {
	st := c.st
	n := len(st.hashes) - st.from
	whole := false
	if st.began {
		whole = c.fill(st.lease) && c.stored == n
	} else {
		st.submit()
	}
	var err error
	if !whole {
		whole, err = c.rest(ctx, n)
	}
	if !st.began && c.stored > 0 {
		st.start()
	}
	state := hostGone
	if whole {
		state = hostDone
	}
	st.settle(c.stored, whole, state)
	return whole, err
}

// rest reserves and fills what is not in the cache.
func (c *dataCommit) rest(ctx context.Context, n int) (whole bool, err error) {
	st := c.st
	lease, err := st.m.reserve(ctx, st.s, &st.m.groups[group], st.hashes, st.from, len(st.hashes))
	if err != nil {
		return false, err
	}
	whole = true
	for i := range n {
		whole = whole && lease.Code(i) != l1.OutOfMemory && !lease.Staged(i) // what another writes is not there yet
	}
	return c.fill(lease) && whole, nil
}

// fill writes the chunks of a lease that have a tensor, makes them readable and
// discards the others; false: there were others.
func (c *dataCommit) fill(lease storage.WriteLease) (all bool) {
	all = true
	target := c.st.h.o.Layout.Tensors()
	var drop []int
	for i, b := range lease.All() {
		if i >= len(c.tensors) || len(target) != 1 || c.tensors[i].write(b, &target[0]) != nil {
			drop = append(drop, i)
		}
	}
	for _, i := range drop { // not above: a lease that has ended forgets its codes
		lease.Drop(i)
		all = false
	}
	r := lease.Finish()
	c.stored += len(r.Finished)
	return all && len(r.Failed) == 0
}

// write puts the tensor's elements into an object.
func (t *HostTensor) write(dst []byte, to *kv.Tensor) error {
	if err := t.check(to); err != nil {
		return err
	}
	from, err := kv.ParseDType(string(t.DType))
	if err != nil {
		return err
	}
	copyElement, err := converter(from, to.DType)
	if err != nil {
		return err
	}
	strides := t.Strides
	if strides == nil {
		if copyElement == nil {
			copy(dst, t.Data)
			return nil
		}
		strides = contiguous(t.Shape)
	}
	w := tensorWalk{
		dst: dst, src: t.Data, shape: t.Shape, strides: strides,
		from: from.Size(), to: to.DType.Size(), convert: copyElement,
	}
	w.dim(0, 0)
	return nil
}

// check compares the tensor with what the object wants, and its data with its shape.
func (t *HostTensor) check(to *kv.Tensor) error {
	size := int64(t.DType.Size())
	if size == 0 {
		return fmt.Errorf("lmcache: tensor: unknown element type %q", t.DType)
	}
	if len(t.Shape) != len(to.Shape) || t.Strides != nil && len(t.Strides) != len(t.Shape) {
		return fmt.Errorf("lmcache: tensor: %d dimensions and %d strides for %d dimensions", len(t.Shape), len(t.Strides), len(to.Shape))
	}
	strides := t.Strides
	if strides == nil {
		strides = contiguous(t.Shape)
	}
	last, count := int64(0), int64(len(t.Data))/size
	for i, n := range t.Shape {
		if n != to.Shape[i] {
			return fmt.Errorf("lmcache: tensor: shape %v for an object of %v", t.Shape, to.Shape)
		}
		if n == 0 {
			return nil
		}
		if strides[i] < 0 || n > 1 && strides[i] > (count-1-last)/(n-1) {
			return fmt.Errorf("lmcache: tensor: strides %v do not fit its %d elements", strides, count)
		}
		last += (n - 1) * strides[i]
	}
	if last >= count {
		return fmt.Errorf("lmcache: tensor: shape %v does not fit its %d elements", t.Shape, count)
	}
	return nil
}

// contiguous are the strides of a tensor without gaps.
func contiguous(shape []int64) []int64 {
	strides := make([]int64, len(shape))
	n := int64(1)
	for i := len(shape) - 1; i >= 0; i-- {
		strides[i] = n
		n *= shape[i]
	}
	return strides
}

// tensorWalk writes the elements of a tensor one after the other.
type tensorWalk struct {
	dst, src       []byte
	shape, strides []int64
	from, to       int                   // bytes per element
	convert        func(dst, src []byte) // nil: they are equal
}

// dim writes the dimensions from d on, of which the first element is at off.
func (w *tensorWalk) dim(d int, off int64) {
	if d == len(w.shape) {
		w.run(off, 1, 1)
		return
	}
	if d == len(w.shape)-1 {
		w.run(off, w.shape[d], w.strides[d])
		return
	}
	for i := range w.shape[d] {
		w.dim(d+1, off+i*w.strides[d])
	}
}

// run writes n elements.
func (w *tensorWalk) run(off, n, stride int64) {
	if w.convert == nil && stride == 1 {
		size := int(n) * w.to
		at := int(off) * w.from
		copy(w.dst[:size], w.src[at:at+size])
		w.dst = w.dst[size:]
		return
	}
	for i := range n {
		at := int(off+i*stride) * w.from
		src := w.src[at : at+w.from]
		if w.convert == nil {
			copy(w.dst, src)
		} else {
			w.convert(w.dst, src)
		}
		w.dst = w.dst[w.to:]
	}
}
