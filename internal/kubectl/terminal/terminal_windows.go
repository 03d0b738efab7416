// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"context"
	"io"
	"os"

	"golang.org/x/sys/windows"
)

// understands makes a console take the sequences, and says whether it does. Those before
// Windows 10 do not.
func understands(console *os.File) bool {
	handle := windows.Handle(console.Fd())
	var mode uint32
	if err := windows.GetConsoleMode(handle, &mode); err != nil {
		return false
	}
	if mode&windows.ENABLE_PROCESSED_OUTPUT == 0 {
		return true // it is the input, which nothing is written to
	}
	return windows.SetConsoleMode(handle, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}

// Resized is never sent to: Windows has no signal for it, so the size is seen with the next
// change.
func Resized(context.Context) <-chan os.Signal { return nil }

// silence leaves the console as it is: what is typed is shown when the line ends, and not before.
func silence(io.Reader) func() { return func() {} }
