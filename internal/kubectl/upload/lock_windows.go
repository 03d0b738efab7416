// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// lock locks a file exclusively until it is closed. It locks a byte far behind the end, because
// Windows prevents other processes from reading a locked range.
func lock(file *os.File) error {
	const exclusive = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(file.Fd()), exclusive, 0, 1, 0, &windows.Overlapped{OffsetHigh: 1 << 30})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrInUse
	}
	if err != nil {
		return fmt.Errorf("locking: %w", err)
	}
	return nil
}
