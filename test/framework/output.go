// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Output runs a program in the root of the repository, and returns what it writes to both outputs.
func Output(ctx context.Context, program string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, program, args...)
	command.Dir = Root()
	text, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("running %s %s: %w: %s", program, strings.Join(args, " "), err, text)
	}
	return strings.TrimSpace(string(text)), nil
}
