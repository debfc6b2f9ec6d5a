// Package unittest shows how a host tests its use of the cache against a device in
// host memory: the test is the package.
package unittest
