// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

func TestAdopt(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.apply("git", manifest("created", fileIDs("file-", 3)))
	w.await("created", v1alpha1.ReasonCompleted)
	id := w.Get(t, "created").Status.BatchID
	name := strings.ReplaceAll(id, "_", "-")
	for _, want := range []string{"created", "unchanged"} {
		if output := w.vsfb("adopt", id, "--vector-store", store); output != "vectorstorefilebatch.vector-store-operator.dev/"+name+" "+want+"\n" {
			t.Errorf("it prints %s", output)
		}
	}
	w.await(name, v1alpha1.ReasonCompleted)
	text := w.vsfb("adopt", id, "--vector-store", store, "--name=again", "--secret=other", "--dry-run=client", "-o", "yaml")
	for _, want := range []string{"batchID: " + id, "name: again", "name: other"} {
		if !strings.Contains(text, want) {
			t.Errorf("it prints %s, want %q in it", text, want)
		}
	}
	for want, args := range map[string][]string{
		"choose another name":                     {"vsfb_other", "--vector-store", store, "--name=created"},
		`BATCH_ID "vsfb/1" is not`:                {"vsfb/1", "--vector-store", store},
		`--vector-store "" is not`:                {id, "--vector-store="},
		`"Again" is not a valid object name`:      {id, "--vector-store", store, "--name=Again"},
		`required flag(s) "vector-store" not set`: {id},
	} {
		if complaint := w.refused(append([]string{"adopt"}, args...)...); !strings.Contains(complaint, want) {
			t.Errorf("%q: it prints %s, want %q in it", args, complaint, want)
		}
	}
}
