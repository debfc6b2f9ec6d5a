package gpu

import (
	"errors"
	"fmt"
)

// read finds the format of a tensor: the table of Discover.
func (r *Registration) read(t *TensorDesc) (Format, error) {
	hint, lists := r.Hints.KVLayout, r.Hints.KVListLayout
	kv := lists == listsKV
	headsFirst := hint == layoutHND || hint == layoutBLHNC
	packed := hint == layoutBLHNC || hint == layoutBLNHC
	refuse := func(why string) (Format, error) {
		return "", fmt.Errorf("unsupported layout: tensors %v of engine type %q, kv_layout %q, kv_list_layout %q: %s", t.Shape, r.Engine, hint, lists, why)
	}
	switch rank := len(t.Shape); {
	case rank == 6 && !r.joint():
		return refuse(fmt.Sprintf("6 dimensions mean one tensor for all layers, there are %d", len(r.Tensors)))
	case rank == 6 && kv:
		return refuse("one tensor for all layers is no pair of lists")
	case rank == 6 && t.Shape[2] != 2:
		return refuse(fmt.Sprintf("dimension 2 of one tensor for all layers is K and V: %d, must be 2", t.Shape[2]))
	case rank == 6 && headsFirst:
		return "", formatNBNLTwoNHBSHS.refusal(fmt.Sprint(t.Shape))
	case rank == 6:
		return FormatNBNLTwoBSNHHS, nil
	case rank == 5 && kv:
		return refuse("tensors that hold K and V are no pair of lists")
	case rank == 5 && packed:
		return refuse(fmt.Sprintf("kv_layout %s has K and V in the innermost dimension, or all layers in one tensor of 6; these have 5", hint))
	case rank == 5:
		return readFive(t, hint, refuse)
	case rank == 4 && r.Engine == EngineTRTLLM:
		return "", formatNBNLTwoNHBSHS.refusal(fmt.Sprint(t.Shape))
	case rank == 4 && (kv || r.Engine == EngineSGLang):
		return "", formatTwoNLNBBSNHHS.refusal(fmt.Sprint(t.Shape))
	case rank == 4 && headsFirst:
		return "", formatFusedHND.refusal(fmt.Sprint(t.Shape))
	case rank == 4:
		return "", formatFusedNHD.refusal(fmt.Sprint(t.Shape))
	case rank == 3:
		return r.readThree(t, refuse)
	}
	return refuse("no format has that many dimensions")
}

// readFive finds the format of a tensor of K and V of one layer. Heads come before
// tokens unless the host says otherwise, as in LMCache.
func readFive(t *TensorDesc, hint string, refuse func(string) (Format, error)) (Format, error) {
	nhd := hint == layoutNHD
	first, second := t.Shape[0] == 2, t.Shape[1] == 2
	switch {
	case first && second:
		return refuse("dimension 0 is 2 and dimension 1 is 2: either may be K and V")
	case first && nhd:
		return FormatTwoNBBSNHHS, nil
	case first:
		return FormatTwoNBNHBSHS, nil
	case second && nhd:
		return FormatNBTwoBSNHHS, nil
	case second:
		return FormatNBTwoNHBSHS, nil
	}
	return refuse(fmt.Sprintf("K and V: dimension 0 is %d and dimension 1 is %d, one must be 2", t.Shape[0], t.Shape[1]))
}

// readThree finds the format of a tensor of one latent, or of K or V alone.
func (r *Registration) readThree(t *TensorDesc, refuse func(string) (Format, error)) (Format, error) {
	lists := r.Hints.KVListLayout
	switch {
	case r.Engine == EngineVLLM && lists != listsKV:
		return FormatNBBSHS, nil
	case r.Engine != EngineSGLang:
		return refuse("3 dimensions are known of one list of vllm and of sglang")
	case lists == listsKV && r.Hints.KVLayout == layoutHND:
		return refuse("tokens come before heads in a dimension with the blocks")
	case lists == listsKV:
		return FormatTwoNLNBBSNHHS, nil
	case t.Shape[1] == 1:
		return FormatNBBSOneHS, nil
	}
	return refuse(fmt.Sprintf("one list of latents has 1 in dimension 1, not %d; two lists are told by kv_list_layout %s", t.Shape[1], listsKV))
}

// measure reads the dimensions of a tensor by its format, and compares them with
// all that the host says about them.
func (r *Registration) measure(f Format, t *TensorDesc, engine *EngineGroup) (Shape, error) {
	step := t.strides()
	last := len(t.Shape) - 1
	s := Shape{Format: f, Heads: 1, HeadSize: int(t.Shape[last]), DType: t.DType}
	var errs []error
	if step[last] != 1 && t.Shape[last] > 1 {
		errs = append(errs, fmt.Errorf("stride %v of shape %v: the innermost is %d, must be 1", step, t.Shape, step[last]))
	}
	paged := f == FormatTwoNLNBBSNHHS || f == FormatNBBSOneHS // blocks and tokens in one dimension
	h := &s.HostStrides
	at := func(dim int, size *int, stride *int64) { *size, *stride = int(t.Shape[dim]), step[dim] }
	switch f {
	case FormatTwoNBBSNHHS, FormatTwoNBNHBSHS:
		h.Plane = step[0]
		at(1, &s.Blocks, &h.Block)
	case FormatNBTwoBSNHHS, FormatNBTwoNHBSHS:
		at(0, &s.Blocks, &h.Block)
		h.Plane = step[1]
	case FormatNBNLTwoBSNHHS:
		at(0, &s.Blocks, &h.Block)
		h.Layer, h.Plane = step[1], step[2]
	case FormatNBBSHS:
		at(0, &s.Blocks, &h.Block)
		at(1, &s.BlockTokens, &h.Slot)
		h.Head = int64(s.HeadSize)
	}
	switch f {
	case FormatTwoNBBSNHHS, FormatNBTwoBSNHHS, FormatNBNLTwoBSNHHS:
		at(last-2, &s.BlockTokens, &h.Slot)
		at(last-1, &s.Heads, &h.Head)
	case FormatTwoNBNHBSHS, FormatNBTwoNHBSHS:
		at(last-2, &s.Heads, &h.Head)
		at(last-1, &s.BlockTokens, &h.Slot)
	case FormatTwoNLNBBSNHHS, FormatNBBSOneHS:
		at(1, &s.Heads, &h.Head)
		errs = append(errs, r.cut(&s, t.Shape[0], step[0], engine)...)
	}
	if !paged {
		errs = append(errs, contradiction("tokens per block", s.BlockTokens, "tokens_per_block", r.Hints.BlockTokens),
			contradiction("tokens per block", s.BlockTokens, "engine group", engine.BlockTokens))
	}
	errs = append(errs, contradiction("heads", s.Heads, "num_kv_heads", r.Hints.Heads),
		contradiction("head size", s.HeadSize, "head_dim", r.Hints.HeadSize))
	return s, errors.Join(errs...)
}

// cut divides a dimension of blocks and tokens into blocks, of the size that the
// host must say.
func (r *Registration) cut(s *Shape, slots, step int64, engine *EngineGroup) (errs []error) {
	n := engine.BlockTokens
	switch hint := r.Hints.BlockTokens; {
	case n == 0 && hint == 0:
		return []error{fmt.Errorf("%d slots of blocks of unknown size: neither tokens_per_block nor the engine group says how many tokens", slots)}
	case n == 0:
		n = hint
	case hint != 0 && hint != n:
		return []error{fmt.Errorf("tokens per block: %d by the engine group, %d by tokens_per_block", n, hint)}
	}
	if slots%int64(n) != 0 {
		return []error{fmt.Errorf("%d slots are not a whole number of blocks of %d tokens", slots, n)}
	}
	if step > maxElements/int64(n) {
		return []error{fmt.Errorf("stride %d of %d tokens per block: more than %d elements", step, n, int64(maxElements))}
	}
	s.BlockTokens, s.Blocks = n, int(slots/int64(n))
	s.HostStrides.Slot, s.HostStrides.Block = step, step*int64(n)
	return nil
}

// contradiction is nil where the host says nothing else.
func contradiction(what string, got int, source string, said int) error {
	if said == 0 || said == got {
		return nil
	}
	return fmt.Errorf("%s: %d in the tensors, %d by %s", what, got, said, source)
}
