package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// MaxRequest is the most bytes of a request that a server reads.
const MaxRequest = 16 << 20

// ask sends a prompt, unless it is too long for a server.
func (c *Client) ask(ctx context.Context, path string, in Prompt, out any) error {
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if len(data) > MaxRequest {
		return fmt.Errorf("the prompt of %d tokens is too long: it makes a request of %d bytes, and a server takes %d at most", len(in.Tokens), len(data), MaxRequest)
	}
	_, err = c.do(ctx, http.MethodPost, path, json.RawMessage(data), out)
	return err
}

// Chunk is what is known of one chunk of a prompt.
type Chunk struct {
	Index  int     `json:"index"`
	Hash   kv.Hash `json:"hash"`   // zero: the prompt has no full chunk
	Tier   string  `json:"tier"`   // l1, l2 or none
	Reason string  `json:"reason"` // why a lookup would not supply it; empty: it would
}

// Explanation says what of a prompt is cached, and why not the rest.
type Explanation struct {
	Chunks []Chunk `json:"chunks"`
	Prefix int     `json:"prefix_chunks"` // leading chunks that a lookup would supply
	Tokens int     `json:"prefix_tokens"`
}

// Explain asks what of a prompt is cached. Nothing is changed by that.
func (c *Client) Explain(ctx context.Context, in Prompt) (out Explanation, err error) {
	err = c.ask(ctx, "/cache/explain", in, &out)
	return out, err
}
