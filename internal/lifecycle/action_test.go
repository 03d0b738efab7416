// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"testing"

	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
)

func TestAction_String(t *testing.T) {
	names := make(map[string]bool)
	for action := lifecycle.Requeue; action <= lifecycle.RemoveFinalizer; action++ {
		names[action.String()] = true
	}
	if len(names) != 12 || names["Action(?)"] || (lifecycle.RemoveFinalizer+1).String() != "Action(?)" {
		t.Errorf("the names of the actions are %v", names)
	}
}
