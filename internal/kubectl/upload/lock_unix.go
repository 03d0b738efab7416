// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package upload

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lock locks a file exclusively until it is closed.
func lock(file *os.File) error {
	err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrInUse
	}
	if err != nil {
		return fmt.Errorf("locking: %w", err)
	}
	return nil
}
