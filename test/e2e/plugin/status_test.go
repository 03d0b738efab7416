// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"encoding/json"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/internal/telemetry"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{Settings: emulator.Settings{Behaviors: emulator.Behaviors{FailingContent: []string{"blank"}}}})
	w.put("docs/fine.md", "x")
	w.put("docs/blank.md", " ")
	w.wantExit(0, w.creating("handbook", "docs", "--attribute=team=docs")...)
	w.await("handbook", v1alpha1.ReasonFilesFailed)
	b := w.Get(t, "handbook")
	trace := telemetry.TraceID(b.UID).String()
	w.until("an Event", func() bool { return strings.Contains(w.vsfb("status", "handbook"), "Events:") })
	text := w.vsfb("status", "handbook")
	for _, want := range []string{
		"Name:          handbook\n", "Vector store:  " + store, "Batch:         " + b.Status.BatchID, "1/2 completed, 1 failed, 0 cancelled, 0 in progress",
		`attributes team="docs"`, "Secret openai", "Last change:", "Trace ID:      " + trace, "Conditions:\n  TYPE ", "Failed files: 1 invalid_file\n",
		"docs/blank.md  invalid_file", "Succeeded", "FilesFailed", "Warning",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it prints\n%s, want %q in it", text, want)
		}
	}
	for format, decode := range map[string]func([]byte, any) error{
		"json": json.Unmarshal,
		"yaml": func(text []byte, into any) error { return yaml.Unmarshal(text, into) },
	} {
		var got struct {
			report
			Conditions     []any          `json:"conditions"`
			Events         []any          `json:"events"`
			FailuresByCode map[string]int `json:"failuresByCode"`
			TraceID        string         `json:"traceID"`
		}
		if err := decode([]byte(w.vsfb("status", "handbook", "-o", format)), &got); err != nil {
			t.Fatal(err)
		}
		if got.Name != "handbook" || got.BatchID != b.Status.BatchID || len(got.Conditions) != 5 || len(got.Events) == 0 ||
			got.FailuresByCode["invalid_file"] != 1 || got.TraceID != trace || got.FailedFiles[0].Name != "docs/blank.md" {
			t.Errorf("%s: %+v", format, got)
		}
	}
}

func TestStatus_NotCreated(t *testing.T) {
	t.Parallel()
	w := newWorkspaceWithoutSecret(t, emulator.Options{})
	w.apply("git", manifest("handbook", fileIDs("file-", 3), "  suspend: true", "  activeDeadlineSeconds: 90", "  ttlSecondsAfterFinished: 0", "  deletionPolicy: Orphan",
		"  chunkingStrategy: {type: Static, static: {maxChunkSizeTokens: 800, chunkOverlapTokens: 0}}"))
	w.await("handbook", v1alpha1.ReasonSuspended)
	text := w.vsfb("status", "handbook")
	for _, want := range []string{
		"Batch:         -\n", "Status:        -\n", "[..............] 0/3 completed",
		"Settings:      suspend; deadline 1m30s; deleted 0s after it is finished; deletion policy Orphan; chunking 800 tokens with an overlap of 0\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it prints\n%s, want %q in it", text, want)
		}
	}
	if complaint := w.refused("status", "missing"); !strings.Contains(complaint, `"missing" not found`) {
		t.Errorf("it prints %s", complaint)
	}
}
