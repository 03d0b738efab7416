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
)

type report struct {
	Name        string `json:"name"`
	BatchID     string `json:"batchID"`
	FailedFiles []struct {
		FileID  string `json:"fileID"`
		Name    string `json:"name"`
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"failedFiles"`
}

func TestFailures_AllPages(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	ids := append(fileIDs("file-fail-invalid-", 180), append(fileIDs("file-fail-unsupported-", 70), fileIDs("file-", 50)...)...)
	w.apply("git", manifest("scans", ids))
	w.await("scans", v1alpha1.ReasonFilesFailed)
	if listed := len(w.Get(w.T, "scans").Status.FailedFiles); listed != 100 {
		t.Fatalf("the status lists %d", listed)
	}
	table, said, err := w.try("failures", "scans")
	if err != nil {
		t.Fatal(err, said)
	}
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if len(lines) != 251 || strings.Join(strings.Fields(lines[0]), " ") != "FILE NAME CODE MESSAGE" {
		t.Errorf("%d lines, of which the first is %q", len(lines), lines[0])
	}
	if want := "250 failed files, read from " + strings.TrimSuffix(strings.TrimPrefix(w.URL, "http://"), "/v1") + " with the key from Secret " + w.Namespace + "/openai"; !strings.Contains(said, want) {
		t.Errorf("it prints %s, want %q in it", said, want)
	}
	w.wantReports()
}

// wantReports requires that the machine-readable formats have all the failed files.
func (w *workspace) wantReports() {
	w.Helper()
	for format, decode := range map[string]func([]byte, any) error{
		"json": json.Unmarshal,
		"yaml": func(text []byte, into any) error { return yaml.UnmarshalStrict(text, into) },
	} {
		var got struct {
			report
			Namespace     string `json:"namespace"`
			VectorStoreID string `json:"vectorStoreID"`
		}
		if err := decode([]byte(w.vsfb("failures", "scans", "-o", format)), &got); err != nil {
			w.Fatal(err)
		}
		if len(got.FailedFiles) != 250 || got.Name != "scans" || got.BatchID == "" || got.VectorStoreID != store {
			w.Errorf("%s: %d failed files of %+v", format, len(got.FailedFiles), got)
		}
		codes := map[string]int{}
		for _, file := range got.FailedFiles {
			codes[file.Code]++
			if file.Message == "" || file.FileID == "" || file.Name != file.FileID+".txt" {
				w.Errorf("%s: %+v", format, file)
			}
		}
		if codes["invalid_file"] != 180 || codes["unsupported_file"] != 70 {
			w.Errorf("%s: %v", format, codes)
		}
	}
}

func TestFailures_WithoutSecret(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.apply("git", manifest("few", fileIDs("file-fail-", 3)))
	w.apply("git", manifest("many", fileIDs("file-fail-x", 101)))
	w.await("few", v1alpha1.ReasonFilesFailed)
	w.await("many", v1alpha1.ReasonFilesFailed)
	w.kubectl("delete", "secret", "openai")
	output, said, err := w.try("failures", "few", "-o", "json")
	var got report
	if err != nil || json.Unmarshal([]byte(output), &got) != nil || len(got.FailedFiles) != 3 || !strings.Contains(said, "from the object's status") {
		t.Errorf("%v: %s: %s", err, said, output)
	}
	if complaint := w.refused("failures", "many"); !strings.Contains(complaint, "export OPENAI_API_KEY") {
		t.Errorf("it prints %s", complaint)
	}
	w.withKey()
	output, said, err = w.try("failures", "many", "-o", "json")
	if err != nil || json.Unmarshal([]byte(output), &got) != nil || len(got.FailedFiles) != 101 || !strings.Contains(said, "with the key from the environment") {
		t.Errorf("%v: %s", err, said)
	}
}

func TestFailures_None(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.apply("git", manifest("fine", []string{"file-a"}))
	w.await("fine", v1alpha1.ReasonCompleted)
	output, said, err := w.try("failures", "fine")
	if err != nil || output != "" || !strings.HasPrefix(said, "0 failed files") {
		t.Errorf("%v: %s%s", err, said, output)
	}
	w.apply("git", manifest("waiting", []string{"file-a"}, "  suspend: true"))
	w.await("waiting", v1alpha1.ReasonSuspended)
	if complaint := w.refused("failures", "waiting"); !strings.Contains(complaint, "has no batch yet") || !strings.Contains(complaint, "Suspended") {
		t.Errorf("it prints %s", complaint)
	}
}
