// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
)

// complete: a batch whose files are all processed.
func (d *demo) complete(ctx context.Context) error {
	d.show.heading("A batch that completes", "The manifest names fifteen files; the operator attaches them as one batch and follows it to its end.")
	if err := d.kubectl(ctx, "apply", "-f", "config/samples/handbook.yaml"); err != nil {
		return err
	}
	if err := d.watch(ctx, "handbook", nil); err != nil {
		return err
	}
	if err := d.kubectl(ctx, "wait", "--for=condition=Finished", "--timeout=30s", "vsfb/handbook"); err != nil {
		return err
	}
	return d.verify(ctx, "handbook", ending{
		status: "completed", reason: v1alpha1.ReasonCompleted, conditions: "Ready=True Reconciling=False Stalled=False Finished=True Succeeded=True",
		counts: v1alpha1.FileCounts{Completed: 15, Total: 15},
		events: []string{v1alpha1.ReasonInProgress, v1alpha1.ReasonCompleted},
	})
}

// fail: a batch with files that cannot be processed.
func (d *demo) fail(ctx context.Context) error {
	d.show.heading("A batch with files that fail", "Two of five files cannot be processed: the object says which, and why, and is not Ready.")
	if err := d.kubectl(ctx, "apply", "-f", "config/samples/failing.yaml"); err != nil {
		return err
	}
	if err := d.watch(ctx, "scans", nil); err != nil {
		return err
	}
	for _, path := range []string{
		`{range .status.failedFiles[*]}{.fileID}: {.code}: {.message}{"\n"}{end}`,
		`{.status.conditions[?(@.type=="Ready")].message}{"\n"}`,
	} {
		if err := d.kubectl(ctx, "get", "vsfb", "scans", "-o", "jsonpath="+path); err != nil {
			return err
		}
	}
	return d.verify(ctx, "scans", ending{
		status: "completed", reason: v1alpha1.ReasonFilesFailed, conditions: "Ready=False Reconciling=False Stalled=True Finished=True Succeeded=False",
		counts: v1alpha1.FileCounts{Completed: 3, Failed: 2, Total: 5},
		failed: []string{"file-fail-invalid-1=invalid_file", "file-fail-unsupported-1=unsupported_file"},
		events: []string{v1alpha1.ReasonInProgress, v1alpha1.ReasonFilesFailed},
	})
}

// cancel: a batch that is cancelled while it runs.
func (d *demo) cancel(ctx context.Context) error {
	d.show.heading("A batch that is cancelled", "Fifty files take too long? One field stops it, from the command line or from Git; what is done stays done.")
	if err := d.kubectl(ctx, "apply", "-f", "config/samples/archive.yaml"); err != nil {
		return err
	}
	asked := false
	err := d.watch(ctx, "archive", func(r row) error {
		if asked || r.completed < 3 {
			return nil
		}
		asked = true
		return d.kubectl(ctx, "patch", "vsfb", "archive", "--type=merge", "-p", `{"spec":{"cancel":true}}`)
	})
	if err != nil {
		return err
	}
	b, err := d.object(ctx, "archive")
	if err != nil {
		return err
	}
	counts := v1alpha1.FileCounts{}
	if b.Status.FileCounts != nil {
		counts = *b.Status.FileCounts
	}
	d.show.check("stopped in the middle", "yes", yesNo(counts.Completed >= 3 && counts.Completed < 50))
	return d.verify(ctx, "archive", ending{
		status: "cancelled", reason: v1alpha1.ReasonCancelled, conditions: "Ready=True Reconciling=False Stalled=False Finished=True Succeeded=False",
		counts: v1alpha1.FileCounts{Completed: counts.Completed, Cancelled: 50 - counts.Completed, Total: 50}, cancels: 1,
		events: []string{v1alpha1.ReasonInProgress, v1alpha1.ReasonCancelling, v1alpha1.ReasonCancelled},
	})
}

// adopt: a batch that somebody else created.
func (d *demo) adopt(ctx context.Context) error {
	d.show.heading("A batch that is adopted", "Somebody created this one with a call to the API; the operator follows it by its ID, and creates nothing.")
	body := `{"file_ids":["file-a","file-b","file-c","file-d","file-e","file-f"]}`
	d.show.command("curl -s $OPENAI_BASE_URL/vector_stores/" + vectorStore + "/file_batches -H \"Authorization: Bearer $OPENAI_API_KEY\" \\\n    -H 'Content-Type: application/json' -d '" + body + "'")
	id, err := d.upstream.create(ctx, []byte(body))
	if err != nil {
		return err
	}
	d.show.say(`{"id":"%s",…}`, id)
	sample := "config/samples/adopt.yaml"
	manifest, err := os.ReadFile(filepath.Join(controlplane.Root(), sample))
	if err != nil {
		return fmt.Errorf("reading the sample: %w", err)
	}
	const placeholder = "vsfb_abc123"
	adopted := strings.NewReader(strings.ReplaceAll(string(manifest), placeholder, id))
	if err := d.kubectlTyped(ctx, "sed s/"+placeholder+"/"+id+"/ "+sample+" | kubectl apply -f -", adopted, "apply", "-f", "-"); err != nil {
		return err
	}
	if err := d.watch(ctx, "adopted", nil); err != nil {
		return err
	}
	return d.verify(ctx, "adopted", ending{
		batchID: id,
		status:  "completed", reason: v1alpha1.ReasonCompleted, conditions: "Ready=True Reconciling=False Stalled=False Finished=True Succeeded=True",
		counts: v1alpha1.FileCounts{Completed: 6, Total: 6},
		events: []string{v1alpha1.ReasonInProgress, v1alpha1.ReasonCompleted},
	})
}

// sumUp: what the upstream received altogether.
func (d *demo) sumUp(ctx context.Context) error {
	d.show.heading("What the upstream received", "The emulator counted: one create for each batch, one cancel, and nothing twice.")
	if err := d.kubectl(ctx, "get", "vsfb", "-o", "wide"); err != nil {
		return err
	}
	calls, refused, err := d.upstream.calls(ctx)
	if err != nil {
		return err
	}
	d.show.check("requests that created a batch, the adopted one's included", "4", fmt.Sprint(calls["create"]))
	d.show.check("requests that cancelled one", "1", fmt.Sprint(calls["cancel"]))
	d.show.check("requests that were refused", "0", fmt.Sprint(refused))
	d.show.say("      looks at a batch: %d, at the files of one: %d", calls["retrieve"], calls["list_files"])
	if err := d.show.verdict(); err != nil {
		return err
	}
	d.show.say("\nAll as it should be, after %.0f s.", time.Since(d.started).Seconds())
	return nil
}
