package admin

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/lmcache-go/lmcache/storage/kv"
)

// Ping asks a path for any answer that says yes.
func (c *Client) Ping(ctx context.Context, path string) error {
	_, err := c.do(ctx, http.MethodGet, path, nil, nil)
	return err
}

// Model is a model of an inference server. What the server does not tell is nil.
type Model struct {
	ID      string  `json:"id"`
	Root    *string `json:"root"`
	Parent  *string `json:"parent"` // of an adapter: the model that it changes
	Longest *int64  `json:"max_model_len"`
	Owner   *string `json:"owned_by"`
}

// Models lists what an inference server with the interface of OpenAI serves.
func (c *Client) Models(ctx context.Context) ([]Model, error) {
	var body struct {
		Data *[]Model `json:"data"`
	}
	if _, err := c.do(ctx, http.MethodGet, "/v1/models", nil, &body); err != nil {
		return nil, err
	}
	if body.Data == nil {
		return nil, &AnswerError{c.o.URL + "/v1/models", errors.New("no list of models (is this an inference server?)")}
	}
	return *body.Data, nil
}

// Clear empties L1; forced, also of what is in use.
func (c *Client) Clear(ctx context.Context, force bool) error {
	var in any
	if force {
		in = map[string]any{"tier": "l1", "force": true}
	}
	_, err := c.do(ctx, http.MethodPost, "/cache/clear", in, nil)
	return err
}

// Quota is the limit of one tenant. The empty salt is called _default.
type Quota struct {
	Salt   string  `json:"cache_salt"`
	Limit  float64 `json:"limit_gb"`
	Usage  float64 `json:"current_usage_gb"`
	Exists bool    `json:"exists"`
	Status string  `json:"status"`
}

// SetQuota limits a salt. The warning says what the limit lacks; empty: nothing.
func (c *Client) SetQuota(ctx context.Context, salt string, gb float64) (q Quota, warning string, err error) {
	h, err := c.do(ctx, http.MethodPut, quotaPath(salt), map[string]float64{"limit_gb": gb}, &q)
	return q, warningOf(h), err
}

// Quota asks for the limit of a salt.
func (c *Client) Quota(ctx context.Context, salt string) (q Quota, err error) {
	_, err = c.do(ctx, http.MethodGet, quotaPath(salt), nil, &q)
	return q, err
}

// DeleteQuota removes the limit of a salt; the status says whether it had one.
func (c *Client) DeleteQuota(ctx context.Context, salt string) (q Quota, err error) {
	_, err = c.do(ctx, http.MethodDelete, quotaPath(salt), nil, &q)
	return q, err
}

// Quotas lists all limits by salt.
func (c *Client) Quotas(ctx context.Context) ([]Quota, error) {
	var body struct {
		Users map[string]Quota `json:"users"`
	}
	if _, err := c.do(ctx, http.MethodGet, "/quota", nil, &body); err != nil {
		return nil, err
	}
	list := make([]Quota, 0, len(body.Users))
	for salt, q := range body.Users {
		q.Salt, q.Exists = salt, true
		list = append(list, q)
	}
	slices.SortFunc(list, func(a, b Quota) int { return cmp.Compare(a.Salt, b.Salt) })
	return list, nil
}

// quotaPath escapes a salt, also one of dots alone, which would otherwise be a step in
// the path.
func quotaPath(salt string) string {
	return "/quota/" + strings.ReplaceAll(url.PathEscape(salt), ".", "%2E")
}

// Listing asks for stored objects.
type Listing struct {
	Tier    string // empty: l2
	Adapter string // empty: the first one
	Model   string // empty: all
	Size    int    // of a page
	Token   string // of the page before; empty: the first one
}

// Object is one stored object.
type Object struct {
	Key   kv.Key `json:"key"`
	Bytes int64  `json:"size_bytes"`
}

// Page is a part of a listing.
type Page struct {
	Adapter string   `json:"adapter"`
	Entries []Object `json:"entries"`
	Next    string   `json:"next_page_token"` // empty: this was the last one
}

// Objects lists one page.
func (c *Client) Objects(ctx context.Context, l Listing) (p Page, err error) {
	q := url.Values{}
	for name, value := range map[string]string{"tier": l.Tier, "adapter": l.Adapter, "model_name": l.Model, "page_token": l.Token} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if l.Size > 0 {
		q.Set("page_size", strconv.Itoa(l.Size))
	}
	path := "/cache/objects"
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	_, err = c.do(ctx, http.MethodGet, path, nil, &p)
	return p, err
}

// Prompt is tokens of a model.
type Prompt struct {
	Model     string  `json:"model_name"`
	WorldSize int     `json:"world_size"`
	Tokens    []int32 `json:"token_ids"`
	Salt      string  `json:"cache_salt,omitempty"`
}

// Prefetch is how far a prefetch is.
type Prefetch struct {
	ID     string `json:"request_id"` // empty: there was nothing to do
	Chunks int    `json:"chunks"`     // when it was submitted
	Status string `json:"status"`     // submitted, noop, pending, completed
	Found  *int   `json:"found_keys"` // of one that is completed
	Total  *int   `json:"total_keys"`
}

// Runs reports whether there will be another state.
func (p *Prefetch) Runs() bool { return p.Status == "submitted" || p.Status == "pending" }

// Prefetch asks for a prompt to be brought into L1.
func (c *Client) Prefetch(ctx context.Context, in Prompt) (out Prefetch, err error) {
	err = c.ask(ctx, "/cache/prefetches", in, &out)
	return out, err
}

// PrefetchStatus asks how far a prefetch is.
func (c *Client) PrefetchStatus(ctx context.Context, id string) (out Prefetch, err error) {
	_, err = c.do(ctx, http.MethodGet, "/cache/prefetches/"+url.PathEscape(id), nil, &out)
	return out, err
}

// MaxDelete is the most keys of one Deletion.
const MaxDelete = 10_000

// Deletion names objects to remove.
type Deletion struct {
	Keys    []kv.Key `json:"keys"`
	Tier    string   `json:"tier,omitempty"` // empty: l2
	Force   bool     `json:"force,omitempty"`
	Adapter string   `json:"adapter,omitempty"` // empty: all
}

// Deleted is what became of a Deletion.
type Deleted struct {
	Deleted int    `json:"deleted"`
	Skipped int    `json:"skipped"` // in use
	OK      bool   `json:"ok"`
	Error   string `json:"error"`
}

// Delete removes objects.
func (c *Client) Delete(ctx context.Context, d Deletion) (out Deleted, err error) {
	if d.Keys == nil {
		d.Keys = []kv.Key{}
	}
	_, err = c.do(ctx, http.MethodDelete, "/cache/objects", d, &out)
	return out, err
}
