// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package seed chooses the seeds of tests that draw what they do by lot.
package seed

import (
	"hash/fnv"
	"math/rand/v2"
	"os/exec"

	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
)

// OfCommit is the same for everybody who tests the same commit, so that a run that failed fails
// again, and a commit that passed does not fail by a lot that nobody can draw again; the next
// commit draws another lot. Outside a git repository it is random.
func OfCommit() uint64 {
	command := exec.Command("git", "rev-parse", "HEAD") //nolint:noctx // it ends at once
	command.Dir = controlplane.Root()
	commit, err := command.Output()
	if err != nil {
		return rand.Uint64() //nolint:gosec // nothing secret depends on it
	}
	hash := fnv.New64a()
	_, _ = hash.Write(commit) // it never fails
	return hash.Sum64()
}
