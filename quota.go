package lmcache

import "github.com/lmcache-go/lmcache/storage"

// SetQuota limits the bytes that the objects of a salt have in L1; see
// storage.Manager.SetQuota.
func (e *Engine) SetQuota(salt string, bytes int64) error {
	return closedError(e.sm.SetQuota(salt, bytes))
}

// DeleteQuota takes the limit of a salt away and reports whether it had one.
func (e *Engine) DeleteQuota(salt string) bool { return e.sm.DeleteQuota(salt) }

// Quota is the limit of a salt in bytes; 0 if it has none, which HasQuota tells
// apart.
func (e *Engine) Quota(salt string) int64 { return e.sm.Quota(salt) }

// HasQuota reports whether a salt has a limit.
func (e *Engine) HasQuota(salt string) bool { return e.sm.HasQuota(salt) }

// Quotas lists all limits, by salt.
func (e *Engine) Quotas() []storage.Quota { return e.sm.Quotas() }
