// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// mutation breaks a guarantee of the manager on purpose, to prove that a validator detects it.
type mutation struct {
	name string
	// description is what is broken.
	description string
	// file is relative to the root of the repository; before is replaced by after in it.
	file, before, after string
	// runs is a regular expression for the beginning of the names of the runs to execute.
	runs string
	// slow means that the runs take longer than mutationTimeout without the mutation.
	slow bool
}

var mutations = []mutation{
	{
		name: "no-pending-mark", description: "the create-pending annotation is not written before the create",
		file:   "internal/controller/create.go",
		before: "err := r.patchReserved(ctx, b, createPending(b, startedAt, lost), func(whole",
		after:  "err := r.patchReserved(ctx, b, lockedPatch(b), func(whole",
		runs:   "(complete|delete)/(openai.create-batch.1|kube.record-batch-id.1)/(kill|cut)",
	},
	{
		name: "no-lock", description: "metadata is written without optimistic locking",
		file:   "internal/controller/patch.go",
		before: "`json:\"resourceVersion\"`",
		after:  "`json:\"-\"`",
		runs:   "(complete|pair)/reference",
	},
	{
		name: "no-comparison", description: "the status is written without a comparison",
		file:   "internal/controller/patch.go",
		before: "if equality.Semantic.DeepEqual(b.Status, status) {",
		after:  "if equality.Semantic.DeepEqual(b.Status, status) && b.Generation < 0 {",
		runs:   "(complete|cancel)/reference",
	},
	{
		name: "no-id-check", description: "a response about another object is accepted as the batch",
		file:   "internal/upstream/openai/decode.go",
		before: "if err := c.validateIdentity(response, ref); err != nil {",
		after:  "if err := c.validateIdentity(response, ref); err != nil && response.id.value == \"\" {",
		runs:   "(cancel|delete)/.*/foreign-body",
	},
	{
		name: "no-memory", description: "an ID that could not be recorded is forgotten",
		file:   "internal/controller/state.go",
		before: "	entry.state = state\n",
		after:  "	state.CreatedID = \"\"\n	entry.state = state\n",
		runs:   "complete/kube.record-batch-id.1/",
	},
	{
		name: "no-count", description: "a batch that is created again is not counted",
		file:   "internal/controller/create.go",
		before: "(recovery.Attached)).Inc()",
		after:  "(recovery.Attached)).Add(0)",
		runs:   "lost-create/reference",
	},
	{
		name: "no-remembered-cancel", description: "a cancel that could not be recorded is forgotten",
		file:   "internal/controller/state.go",
		before: "	entry.state = state\n",
		after:  "	state.CancelledID = \"\"\n	entry.state = state\n",
		runs:   "delete/kube.remove-finalizer.1/(outage|conflict)",
	},
	{
		name: "no-grace", description: "a shutdown interrupts a create that is in flight",
		file:   "internal/controller/create.go",
		before: "	ctx = context.WithoutCancel(ctx)\n	request, err := r.markCreatePending",
		after:  "	request, err := r.markCreatePending",
		runs:   "complete/.*/terminate",
	},
	{
		name: "no-file-list", description: "the list of its files does not replace a batch that the server does not return",
		file:   "internal/lifecycle/count.go",
		before: "if s.observed.State.OtherObjects >= otherObjects {",
		after:  "if s.observed.State.OtherObjects < 0 {",
		runs:   "answers-store/reference",
	},
	{
		name: "no-missing-files", description: "a completed batch is not judged by its missing files",
		file:   "internal/lifecycle/conditions.go",
		before: "counts.Completed+counts.Failed < files && !batch.Finished(s.b)",
		after:  "counts.Completed+counts.Failed < files && batch.Finished(s.b)",
		runs:   "files-ignored/reference",
	},
	{
		name: "no-400-not-found", description: "a 400 that states that a file does not exist is a refusal",
		file:   "internal/upstream/openai/errors.go",
		before: "case status == http.StatusBadRequest && failure.isNotFound():",
		after:  "case status == http.StatusBadRequest && failure.isNotFound() && notIdempotent:",
		runs:   "ogx-detach/reference",
	},
	{
		name: "no-binding", description: "the annotations of another object are believed",
		file:   "internal/batch/binding.go",
		before: "return recorded != \"\" && recorded == Digest(b)",
		after:  "return recorded != \"\"",
		runs:   "copied/reference",
	},
	{
		name: "no-sparing", description: "files are detached that another object attaches",
		file:   "internal/controller/detach.go",
		before: "if files, err = r.withoutSpared(ctx, b, files); err != nil {",
		after:  "if _, err = r.withoutSpared(ctx, b, files); err != nil {",
		runs:   "shared/reference",
	},
	{
		name: "no-confirmation", description: "a detach counts that the response does not confirm",
		file:   "internal/upstream/openai/decode.go",
		before: "case deleted.valid && !deleted.value:",
		after:  "case deleted.valid && !deleted.value && id.value == \"\":",
		runs:   "gateway-detach/reference",
	},
	{
		name: "no-last-create", description: "batches are created without end while the responses are lost",
		file:   "internal/lifecycle/create.go",
		before: "if lost >= maxLostCreates {",
		after:  "if lost >= 100*maxLostCreates {",
		runs:   "lost-creates/reference", slow: true,
	},
	{
		name: "no-last-untracked", description: "a batch that cannot be tracked is created a third time",
		file:   "internal/lifecycle/create.go",
		before: "case err.OtherObject && batch.LostCreates(s.b) > 0:",
		after:  "case err.OtherObject && batch.LostCreates(s.b) > 1:",
		runs:   "another-store/reference", slow: true,
	},
	{
		name: "no-patience", description: "a refusal just after a change is final",
		file:   "internal/lifecycle/backoff.go",
		before: "if s.recentlyChanged() && maybeTemporary(err) {",
		after:  "if s.recentlyChanged() && maybeTemporary(err) && err == nil {",
		runs:   "refused-first/reference",
	},
	{
		name: "no-removal", description: "a finished object keeps its finalizer",
		file:   "internal/lifecycle/finish.go",
		before: "batch.HasFinalizer(s.b) && !batch.NeedsFinalizer(s.b) && len(",
		after:  "batch.HasFinalizer(s.b) && !batch.NeedsFinalizer(s.b) && s.b.Generation < 0 && len(",
		runs:   "complete/reference",
	},
	{
		name: "no-second-list", description: "a list of failed files that failed is not asked for again",
		file:   "internal/lifecycle/finish.go",
		before: "if s.observed.lastAction() != ListFailedFiles || err == nil ||",
		after:  "if s.observed.lastAction() != ListFailedFiles || s.b != nil ||",
		runs:   "files-failed/openai.list-batch-files.1/(500|cut-before)",
	},
	{
		name: "no-end", description: "an object waits until the server accepts its cancel",
		file:   "internal/lifecycle/deadline.go",
		before: "return set && !s.now.Before(by)",
		after:  "return set && s.now.Before(by) && by.IsZero()",
		runs:   "(cancel-refused|server-away)/reference", slow: true,
	},
}

// overlay writes the mutated file and the overlay file for go build, and returns the overlay's path.
func (m *mutation) overlay(folder string) (string, error) {
	path := framework.Path(m.file)
	source, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the file to mutate: %w", err)
	}
	if n := strings.Count(string(source), m.before); n != 1 {
		return "", fmt.Errorf("mutation %s: %s contains %q %d times, want 1", m.name, m.file, m.before, n)
	}
	changed := filepath.Join(folder, "mutant.go")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(source), m.before, m.after, 1)), 0o600); err != nil {
		return "", fmt.Errorf("writing the mutated file: %w", err)
	}
	content, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		return "", fmt.Errorf("encoding the overlay: %w", err)
	}
	overlay := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(overlay, content, 0o600); err != nil {
		return "", fmt.Errorf("writing the overlay: %w", err)
	}
	return overlay, nil
}
