// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
)

// mutation breaks a promise of the manager on purpose, to see that the suite notices.
type mutation struct {
	name string
	// does says what is broken.
	does string
	// file is below the root of the repository; in it before is replaced by after.
	file, before, after string
	// runs are those that are made: what their names begin with, as a regular expression.
	runs string
}

var mutations = []mutation{
	{
		name: "no-intent", does: "the intent is not stored before the create",
		file:   "internal/controller/act.go",
		before: "if err := r.patchMetadata(storing, b, intent(b, now)); err != nil {",
		after:  "if err := storing.Err(); err != nil {",
		runs:   "(complete|delete)/(up.create.1|api.keep.1)/(kill|cut)",
	},
	{
		name: "no-lock", does: "the writes of metadata are not locked",
		file:   "internal/controller/metadata.go",
		before: "`json:\"resourceVersion\"`",
		after:  "`json:\"-\"`",
		runs:   "(complete|pair)/reference",
	},
	{
		name: "no-comparison", does: "the status is written without being compared",
		file:   "internal/controller/status.go",
		before: "if equality.Semantic.DeepEqual(b.Status, status) {",
		after:  "if equality.Semantic.DeepEqual(b.Status, status) && b.Generation < 0 {",
		runs:   "(complete|cancel)/reference",
	},
	{
		name: "no-id-check", does: "an answer about another object is taken for the batch",
		file:   "internal/upstream/openai/decode.go",
		before: "if err := checkIdentity(answer, ref); err != nil {",
		after:  "if err := checkIdentity(answer, ref); err != nil && len(body) == 0 {",
		runs:   "(cancel|delete)/.*/foreign-body",
	},
	{
		name: "no-memory", does: "an ID that could not be stored is forgotten",
		file:   "internal/controller/act.go",
		before: "	r.memories.keep(b.UID, seen.Memory)\n	log.FromContext(ctx)",
		after:  "	log.FromContext(ctx)",
		runs:   "complete/api.keep.1/",
	},
	{
		name: "no-count", does: "a batch that is made again is not counted",
		file:   "internal/controller/act.go",
		before: "if slices.Contains(seen.Took, batch.Probe) {",
		after:  "if slices.Contains(seen.Took, batch.Detach) {",
		runs:   "lost-create/reference",
	},
	{
		name: "no-remembered-cancel", does: "a cancel that could not be stored is forgotten",
		file:   "internal/controller/act.go",
		before: "seen.Batch, seen.Memory.CancelledID, seen.Memory.CancelledAt = &answer, batch.ID(b), r.Clock.Now()\n		r.memories.keep(b.UID, seen.Memory)",
		after:  "seen.Batch, seen.Memory.CancelledID, seen.Memory.CancelledAt = &answer, batch.ID(b), r.Clock.Now()",
		runs:   "delete/api.release.1/(outage|conflict)",
	},
	{
		name: "no-grace", does: "a shutdown interrupts a create that is under way",
		file:   "internal/controller/act.go",
		before: "	ctx = context.WithoutCancel(ctx)\n	storing, cancel",
		after:  "	storing, cancel",
		runs:   "complete/.*/terminate",
	},
}

// overlay writes the changed file, and the overlay that makes go build take it.
func (m *mutation) overlay(folder string) (string, error) {
	path := filepath.Join(controlplane.Root(), m.file)
	source, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading what is to be changed: %w", err)
	}
	if n := strings.Count(string(source), m.before); n != 1 {
		return "", fmt.Errorf("mutation %s: %s has %d places that read %q, want 1", m.name, m.file, n, m.before)
	}
	changed := filepath.Join(folder, "mutant.go")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(source), m.before, m.after, 1)), 0o600); err != nil {
		return "", fmt.Errorf("writing the changed file: %w", err)
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
