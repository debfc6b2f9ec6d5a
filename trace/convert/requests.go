package convert

import (
	"io"
	"strconv"

	"github.com/lmcache-go/lmcache/internal/mooncake"
	"github.com/lmcache-go/lmcache/storage"
	"github.com/lmcache-go/lmcache/storage/kv"
	"github.com/lmcache-go/lmcache/trace"
)

// Result says what was converted.
type Result struct {
	Requests int64
	Chunks   int64 // of the requests; those that are not full do not count
	Calls    int64 // in the recording
	Skipped  int64 // requests without a full chunk; repeated lookups of one request
}

// FromRequests reads request traces, plain or compressed with gzip, and writes a
// recording. Equal input gives equal bytes. An error of the input names its line.
func FromRequests(w io.Writer, r io.Reader, o Options) (Result, error) {
	var res Result
	if err := o.Validate(); err != nil {
		return res, err
	}
	o = o.withDefaults()
	hasher, err := kv.NewHasher(o.HashAlgorithm, "")
	if err != nil {
		return res, err
	}
	layout, err := kv.RawLayout(int64(o.ChunkTokens) * int64(o.BytesPerToken))
	if err != nil {
		return res, err
	}
	out, err := trace.NewWriter(w, trace.WriterOptions{Format: o.Format, Args: o.Args, Name: o.Name})
	if err != nil {
		return res, err
	}
	c := caller{o: &o, out: out, layout: layout}
	request := kv.Request{Model: o.Model, World: 1, Worker: 0}
	var tokens []int32
	var hashes []kv.Hash
	for req, err := range mooncake.Read(r, o.BlockTokens) {
		if err != nil {
			return res, err
		}
		if res.Requests+res.Skipped == o.Limit && o.Limit > 0 {
			break
		}
		if req.InputLength < o.ChunkTokens {
			res.Skipped++
			continue
		}
		tokens = mooncake.Tokens(tokens[:0], req, o.BlockTokens)
		hashes = hasher.AppendChain(hashes[:0], hasher.Seed(), tokens, o.ChunkTokens)
		if c.keys, err = request.AppendKeys(c.keys[:0], 0, hashes); err != nil {
			return res, err
		}
		c.mono = req.Timestamp.Seconds()
		c.id = strconv.FormatInt(res.Requests, 10)
		if err := c.request(); err != nil {
			return res, err
		}
		res.Requests++
		res.Chunks += int64(len(hashes))
	}
	res.Calls = c.calls
	return res, out.Close()
}

// caller writes the calls of one request after the other.
type caller struct {
	o      *Options
	out    *trace.Writer
	layout kv.Layout
	keys   []kv.Key
	mono   float64
	id     string
	calls  int64
	err    error
}

func (c *caller) request() error {
	lookup := c.call(storage.Call{
		Name: storage.CallSubmitPrefetch, Keys: c.keys, Layout: c.layout, Readers: 1, RequestID: c.id, Warm: !c.o.Reads, Owner: storage.NoCall,
	})
	if c.o.Reads {
		for i := range c.keys {
			one := c.keys[i : i+1]
			c.call(storage.Call{Name: storage.CallReadEnter, Keys: one, Owner: lookup})
			c.call(storage.Call{Name: storage.CallReadExit, Keys: one, Owner: lookup})
		}
		c.call(storage.Call{Name: storage.CallFinishRead, Keys: c.keys, Readers: 1, Owner: lookup})
	}
	write := c.call(storage.Call{Name: storage.CallReserveWrite, Keys: c.keys, Layout: c.layout, Owner: storage.NoCall})
	c.call(storage.Call{Name: storage.CallFinishWrite, Keys: c.keys, Owner: write})
	return c.err
}

func (c *caller) call(call storage.Call) int64 {
	n, err := c.out.Call(&call, c.mono)
	if c.err == nil {
		c.err = err
	}
	c.calls++
	return n
}
