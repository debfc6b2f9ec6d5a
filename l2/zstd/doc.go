// Package zstd is a lossless serde for outer tiers (type zstd).
//
// Attention state hardly shrinks as it is: exponents repeat, mantissas do not, and
// they lie side by side. So each tensor is split into byte planes first: plane k has
// byte k of every element. All planes of all tensors, in order, are one zstd frame with
// its content size (RFC 8878).
//
// Whether that pays depends on the data and on the store. A [Serde] counts what it
// saves and says once in the log if that is next to nothing.
package zstd
