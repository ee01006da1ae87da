//go:build !unix

package reach

import "syscall"

// canLimitSegments is false where a program has no say in the size of segments.
const canLimitSegments = false

func limitSegments(string, string, syscall.RawConn) error { return nil }
