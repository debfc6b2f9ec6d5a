package trace

import (
	"fmt"
	"slices"

	"github.com/tinylib/msgp/msgp"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// maxLayouts is how many layouts are remembered, in each direction.
const maxLayouts = 1024

// layouts remembers how layouts are written.
type layouts struct {
	last  kv.Layout
	bytes []byte // of last
	all   map[kv.Fingerprint][]byte
}

// append appends a layout.
func (l *layouts) append(b []byte, layout kv.Layout) []byte {
	if l.bytes == nil || layout != l.last {
		l.find(layout)
	}
	return append(b, l.bytes...)
}

func (l *layouts) find(layout kv.Layout) {
	l.last = layout
	at := layout.Fingerprint()
	if l.bytes = l.all[at]; l.bytes != nil {
		return
	}
	if l.all == nil || len(l.all) >= maxLayouts {
		l.all = make(map[kv.Fingerprint][]byte)
	}
	l.bytes = appendLayout(nil, layout)
	l.all[at] = l.bytes
}

func appendLayout(b []byte, layout kv.Layout) []byte {
	tensors := layout.Tensors()
	b = append(b, wrapLayout...)
	b = msgp.AppendMapHeader(b, 2)
	b = msgp.AppendArrayHeader(appendText(b, "shapes"), uint32(len(tensors)))
	for _, t := range tensors {
		b = msgp.AppendArrayHeader(b, uint32(len(t.Shape)))
		for _, n := range t.Shape {
			b = appendInt(b, n)
		}
	}
	b = msgp.AppendArrayHeader(appendText(b, "dtypes"), uint32(len(tensors)))
	for _, t := range tensors {
		b = appendText(b, t.DType.Torch())
	}
	return b
}

// layout reads a layout. Equal bytes give one Layout, which is made once.
func (d *decoder) layout(c *cursor) (kv.Layout, error) {
	raw, err := c.raw()
	if err != nil {
		return kv.Layout{}, err
	}
	if l, ok := d.layouts[string(raw)]; ok {
		return l, nil
	}
	l, err := d.newLayout(&cursor{b: raw})
	if err != nil {
		return kv.Layout{}, err
	}
	if len(d.layouts) >= maxLayouts {
		clear(d.layouts)
	}
	d.layouts[string(raw)] = l
	return l, nil
}

func (d *decoder) newLayout(c *cursor) (kv.Layout, error) {
	if err := c.unwrap("MemoryLayoutDesc"); err != nil {
		return kv.Layout{}, err
	}
	n, err := c.mapLen()
	if err != nil {
		return kv.Layout{}, err
	}
	var shapes [][]int64
	var types []kv.DType
	for range n {
		name, err := c.key()
		if err != nil {
			return kv.Layout{}, err
		}
		switch string(name) {
		case "shapes":
			shapes, err = c.shapes()
		case "dtypes":
			types, err = d.types(c)
		default:
			err = c.skip()
		}
		if err != nil {
			return kv.Layout{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return kv.NewLayout(shapes, types)
}

func (c *cursor) shapes() ([][]int64, error) {
	if err := c.untuple(); err != nil {
		return nil, err
	}
	n, err := c.listLen()
	if err != nil {
		return nil, err
	}
	shapes := make([][]int64, 0, min(n, maxLayouts))
	for range n {
		if err := c.untuple(); err != nil {
			return nil, err
		}
		dims, err := c.listLen()
		if err != nil {
			return nil, err
		}
		shape := make([]int64, 0, min(dims, maxLayouts))
		for range dims {
			v, err := c.int()
			if err != nil {
				return nil, err
			}
			shape = append(shape, v)
		}
		shapes = append(shapes, slices.Clip(shape))
	}
	return shapes, nil
}

func (d *decoder) types(c *cursor) ([]kv.DType, error) {
	if err := c.untuple(); err != nil {
		return nil, err
	}
	n, err := c.listLen()
	if err != nil {
		return nil, err
	}
	types := make([]kv.DType, 0, min(n, maxLayouts))
	for range n {
		name, err := c.name()
		if err != nil {
			return nil, err
		}
		types = append(types, kv.DType(d.names.of(name)))
	}
	return types, nil
}

// layoutsRead are the layouts that were read, by their bytes.
type layoutsRead map[string]kv.Layout
