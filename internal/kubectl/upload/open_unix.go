// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package upload

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// openJournal opens a file without following a symbolic link, and without waiting for the other end of a
// pipe.
func openJournal(path string, flags int) (*os.File, error) {
	file, err := os.OpenFile(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if errors.Is(err, unix.ELOOP) {
		return nil, errNotRegular
	}
	return file, err
}
