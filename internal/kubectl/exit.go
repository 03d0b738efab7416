// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"errors"
	"fmt"
	"io"

	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/terminal"
)

// The exit codes of the commands. docs/guides/kubectl.md lists them.
const (
	exitFailed = 1
	// exitPartial is that of create if files were left out.
	exitPartial = 2
	// exitTimeout is that of a command that waited for batches that are not finished.
	exitTimeout = 2
)

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return "" // the output explains the exit code
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// Report prints the error of a command and returns the exit code. Errors can contain file names and texts
// of servers.
func Report(out io.Writer, err error) int {
	if err == nil {
		return 0
	}
	if text := err.Error(); text != "" {
		_, _ = fmt.Fprintln(out, "error:", terminal.EscapeLines(text))
	}
	return exitCode(err)
}

// exitCode returns the exit code of an error. Among several errors, one without a code of its own decides.
func exitCode(err error) int {
	if joined, isJoined := err.(interface{ Unwrap() []error }); isJoined {
		code := 0
		for _, e := range joined.Unwrap() {
			if c := exitCode(e); code == 0 || c == exitFailed {
				code = c
			}
		}
		return code
	}
	var own *exitError
	if errors.As(err, &own) {
		return own.code
	}
	return exitFailed
}
