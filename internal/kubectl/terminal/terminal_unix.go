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

// understands says whether a terminal takes the sequences: here every one does.
func understands(*os.File) bool { return true }

// Resized is sent to when the size of the terminal has changed, until the context ends.
func Resized(ctx context.Context) <-chan os.Signal {
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	context.AfterFunc(ctx, func() { signal.Stop(resized) })
	return resized
}

// silence keeps the terminal from showing what is typed. It gives the function that undoes it.
func silence(in io.Reader) func() {
	file, isTerminal := Of(in, "")
	if !isTerminal {
		return func() {}
	}
	fd := int(file.Fd())
	before, err := unix.IoctlGetTermios(fd, readTermios)
	if err != nil {
		return func() {} // it is only for the looks
	}
	silent := *before
	silent.Lflag &^= unix.ECHO
	// From the background, setting it would stop the process.
	if group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err != nil || group != unix.Getpgrp() {
		return func() {}
	}
	if err := unix.IoctlSetTermios(fd, writeTermios, &silent); err != nil {
		return func() {}
	}
	return func() { _ = unix.IoctlSetTermios(fd, writeTermios, before) }
}
