// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
)

func TestKStatus_BeforeFirstReconciliation(t *testing.T) {
	object := mustCreate(t, `{"vectorStoreID":"vs_1","fileIDs":["file-1"]}`)
	result, err := status.Compute(object)
	if err != nil {
		t.Fatal(err)
	}
	if result.Status != status.InProgressStatus {
		t.Errorf("kstatus is %s (%s), want %s", result.Status, result.Message, status.InProgressStatus)
	}
}
