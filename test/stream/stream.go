// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package stream hands on what comes through a connection, for proxies that are late with it.
package stream

import (
	"context"
	"io"
	"time"
)

// Piece is a part of a stream, and when it came.
type Piece struct {
	Bytes []byte
	At    time.Time
}

// Pieces gives what comes as soon as it comes, to a reader who may be late. The channel is closed
// at the end of the stream, or of the context.
func Pieces(ctx context.Context, body io.Reader) <-chan Piece {
	const mayWait, size = 100_000, 64 << 10
	pieces := make(chan Piece, mayWait)
	go func() {
		defer close(pieces)
		for {
			buffer := make([]byte, size)
			n, err := body.Read(buffer)
			if n > 0 {
				select {
				case pieces <- Piece{buffer[:n], time.Now()}:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return pieces
}

// Pause waits, and reports whether there is a reason to go on.
func Pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
