// Package servertest starts real servers for tests: Redis, alone or as a cluster, and S3. A
// test that needs one is skipped with one line where its program is missing; `make
// tools` installs it. Servers listen on free ports of the loopback interface, keep their
// files in the test's directory, and end with the test. Certificate is for those that
// speak TLS, real or the project's own.
package servertest
