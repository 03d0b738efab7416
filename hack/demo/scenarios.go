// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// complete shows a batch whose files are all processed.
func (d *demo) complete(ctx context.Context) error {
	d.show.heading("A batch that completes", "The manifest names fifteen files; the operator attaches them as one batch, and polls it until it is finished.")
	if err := d.kubectl(ctx, "apply", "-f", "config/samples/handbook.yaml"); err != nil {
		return err
	}
	if err := d.watch(ctx, "handbook", nil); err != nil {
		return err
	}
	if err := d.kubectl(ctx, "wait", "--for=condition=Finished", "--timeout=30s", "vsfb/handbook"); err != nil {
		return err
	}
	return d.verify(ctx, "handbook", result{
		status: "completed", reason: v1alpha1.ReasonCompleted, conditions: "Ready=True Reconciling=False Stalled=False Finished=True Succeeded=True",
		counts: v1alpha1.FileCounts{Completed: 15, Total: 15},
		events: []string{v1alpha1.ReasonInProgress, v1alpha1.ReasonCompleted},
	})
}

// fail shows a batch with files that cannot be processed.
func (d *demo) fail(ctx context.Context) error {
	d.show.heading("A batch with files that fail", "Two of five files cannot be processed: the status lists them with their errors, and the object is not Ready.")
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
	return d.verify(ctx, "scans", result{
		status: "completed", reason: v1alpha1.ReasonFilesFailed, conditions: "Ready=False Reconciling=False Stalled=True Finished=True Succeeded=False",
		counts: v1alpha1.FileCounts{Completed: 3, Failed: 2, Total: 5},
		failed: []string{"file-fail-invalid-1=invalid_file", "file-fail-unsupported-1=unsupported_file"},
		events: []string{v1alpha1.ReasonInProgress, v1alpha1.ReasonFilesFailed},
	})
}

// cancel shows a batch that is cancelled while it runs.
func (d *demo) cancel(ctx context.Context) error {
	d.show.heading("A batch that is cancelled", "One field cancels a batch of fifty files, from the command line or from Git. The processed files stay.")
	if err := d.kubectl(ctx, "apply", "-f", "config/samples/archive.yaml"); err != nil {
		return err
	}
	cancelled := false
	err := d.watch(ctx, "archive", func(r row) error {
		if cancelled || r.completed < 3 {
			return nil
		}
		cancelled = true
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
	d.show.check("cancelled before it completed", "yes", yesNo(counts.Completed >= 3 && counts.Completed < 50))
	return d.verify(ctx, "archive", result{
		status: "cancelled", reason: v1alpha1.ReasonCancelled, conditions: "Ready=True Reconciling=False Stalled=False Finished=True Succeeded=False",
		counts: v1alpha1.FileCounts{Completed: counts.Completed, Cancelled: 50 - counts.Completed, Total: 50}, cancels: 1,
		events: []string{v1alpha1.ReasonInProgress, v1alpha1.ReasonCancelling, v1alpha1.ReasonCancelled},
	})
}

// adopt shows a batch that another client created.
func (d *demo) adopt(ctx context.Context) error {
	d.show.heading("A batch that is adopted", "Another client created this batch. The operator polls it by its ID, and creates nothing.")
	files := []string{"file-a", "file-b", "file-c", "file-d", "file-e", "file-f"}
	body := `{"file_ids":["` + strings.Join(files, `","`) + `"]}`
	d.show.command("curl -s $OPENAI_BASE_URL/vector_stores/" + vectorStore + "/file_batches -H \"Authorization: Bearer $OPENAI_API_KEY\" \\\n    -H 'Content-Type: application/json' -d '" + body + "'")
	id, err := d.emulator.CreateBatch(ctx, vectorStore, files...)
	if err != nil {
		return err
	}
	d.show.say(`{"id":"%s",…}`, id)
	sample := "config/samples/adopt.yaml"
	manifest, err := os.ReadFile(framework.Path(sample))
	if err != nil {
		return fmt.Errorf("reading the sample: %w", err)
	}
	const placeholder = "vsfb_abc123"
	adopted := strings.ReplaceAll(string(manifest), placeholder, id)
	if err := d.kubectlWithInput(ctx, "sed s/"+placeholder+"/"+id+"/ "+sample+" | kubectl apply -f -", adopted, "apply", "-f", "-"); err != nil {
		return err
	}
	if err := d.watch(ctx, "adopted", nil); err != nil {
		return err
	}
	return d.verify(ctx, "adopted", result{
		batchID: id,
		status:  "completed", reason: v1alpha1.ReasonCompleted, conditions: "Ready=True Reconciling=False Stalled=False Finished=True Succeeded=True",
		counts: v1alpha1.FileCounts{Completed: 6, Total: 6},
		events: []string{v1alpha1.ReasonInProgress, v1alpha1.ReasonCompleted},
	})
}

// sumUp shows the calls of the API.
func (d *demo) sumUp(ctx context.Context) error {
	d.show.heading("The calls of the API", "The emulator counts one create for each batch, one cancel, and no repetition.")
	if err := d.kubectl(ctx, "get", "vsfb", "-o", "wide"); err != nil {
		return err
	}
	calls, rejected, err := d.countCalls(ctx)
	if err != nil {
		return err
	}
	d.show.check("calls that create a batch, with that of the adopted one", "4", fmt.Sprint(calls[emulator.Create]))
	d.show.check("calls that cancel a batch", "1", fmt.Sprint(calls[emulator.Cancel]))
	d.show.check("rejected calls", "0", fmt.Sprint(rejected))
	d.show.say("      calls that poll a batch: %d, that list its files: %d", calls[emulator.Retrieve], calls[emulator.ListFiles])
	if err := d.show.result(); err != nil {
		return err
	}
	d.show.say("\nAll checks passed after %.0f s.", time.Since(d.started).Seconds())
	return nil
}
