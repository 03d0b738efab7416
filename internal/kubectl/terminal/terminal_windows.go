// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"context"
	"io"
	"os"

	"golang.org/x/sys/windows"
)

// enableControlSequences enables control sequences and reports whether the console supports them.
// Consoles before Windows 10 do not.
func enableControlSequences(console *os.File) bool {
	handle := windows.Handle(console.Fd())
	var mode uint32
	if err := windows.GetConsoleMode(handle, &mode); err != nil {
		return false
	}
	if mode&windows.ENABLE_PROCESSED_OUTPUT == 0 {
		return true // an input, which needs none
	}
	return windows.SetConsoleMode(handle, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}

// Resized returns nil, because Windows has no signal for a resize: the next redraw reads the size.
func Resized(context.Context) <-chan os.Signal { return nil }

// disableEcho does nothing: a Windows console echoes a line only when the line is complete.
func disableEcho(io.Reader) func() { return func() {} }
