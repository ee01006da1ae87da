// Package faults holds tests only: the proof that wellkey goes on serving the key
// through what storage, process, clock and CA do to it. docs/reliability.md is
// its map: every fault, what wellkey does, and the tests that prove it, here and
// in the other rooms.
//
// Each test injects its fault for real: Pebble with faults before it, a tmpfs of
// a few kB, a read-only mount, another owner, an injected clock, SIGKILL of the
// real binary. While it goes on, a client fetches the key over TLS, and a wrong
// byte, or a failure where there was a certificate, fails the test.
//
// Two rigs: a sim has the certificates and the public face in this process, under
// a clock that jumps from wait to wait, so that a week takes seconds. A world has
// everything that the program needs around it, and runs the binary that ships.
//
// The suite wants root, in a container or not: it mounts file systems, in a mount
// namespace of its own that takes all of them with it.
package faults
