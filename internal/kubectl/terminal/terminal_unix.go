// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package terminal

import (
	"context"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// enableControlSequences reports whether a terminal supports control sequences. On Unix, all do.
func enableControlSequences(*os.File) bool { return true }

// Resized returns a channel that receives a value when the terminal is resized, until ctx is done.
func Resized(ctx context.Context) <-chan os.Signal {
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	context.AfterFunc(ctx, func() { signal.Stop(resized) })
	return resized
}

// disableEcho disables the echo of typed characters. It returns a function that restores the echo.
func disableEcho(in io.Reader) func() {
	file, isTerminal := FromStream(in, "")
	if !isTerminal {
		return func() {}
	}
	fd := int(file.Fd())
	original, err := unix.IoctlGetTermios(fd, readTermios)
	if err != nil {
		return func() {} // the echo is cosmetic
	}
	noEcho := *original
	noEcho.Lflag &^= unix.ECHO
	// In the background, changing the terminal would stop the process.
	if group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err != nil || group != unix.Getpgrp() {
		return func() {}
	}
	if err := unix.IoctlSetTermios(fd, writeTermios, &noEcho); err != nil {
		return func() {}
	}
	return func() { _ = unix.IoctlSetTermios(fd, writeTermios, original) }
}
