package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/minio/minio-go/v7"

	"github.com/lmcache-go/lmcache/l2"
)

// plain is the library as it is: one PUT and one GET for each value.
type plain struct {
	a    *Adapter
	name string // of the values, before their numbers
}

var _ l2.Plain = (*Adapter)(nil)

// Plain implements [l2.Plain]. The values have names of their own, which no adapter takes
// for objects.
func (a *Adapter) Plain() l2.PlainClient {
	return &plain{a, "lmcache-plain-" + rand.Text() + "-"}
}

func (p *plain) key(i int) string { return fmt.Sprint(p.name, i) }

// each does f for n values, one after the other.
func (p *plain) each(ctx context.Context, n int, f func(i int) error) error {
	if err := p.a.gate.Enter(); err != nil {
		return err
	}
	defer p.a.gate.Leave()
	for i := range n {
		if err := f(i); err != nil {
			err, _ = broken(ctx, err)
			return err
		}
	}
	return nil
}

// Write implements [l2.PlainClient].
func (p *plain) Write(ctx context.Context, first int, values [][]byte) error {
	return p.each(ctx, len(values), func(i int) error {
		_, err := p.a.c.Client.PutObject(ctx, p.a.bucket, p.key(first+i), bytes.NewReader(values[i]), int64(len(values[i])), minio.PutObjectOptions{})
		return err
	})
}

// Read implements [l2.PlainClient].
func (p *plain) Read(ctx context.Context, first int, values [][]byte) error {
	return p.each(ctx, len(values), func(i int) error {
		o, err := p.a.c.Client.GetObject(ctx, p.a.bucket, p.key(first+i), minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		_, err = io.ReadFull(o, values[i])
		return errors.Join(err, o.Close())
	})
}

// Remove implements [l2.PlainClient].
func (p *plain) Remove(ctx context.Context, values int) error {
	return p.each(ctx, values, func(i int) error {
		return p.a.c.RemoveObject(ctx, p.a.bucket, p.key(i), minio.RemoveObjectOptions{})
	})
}
