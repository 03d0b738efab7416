// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package samples_test applies each file of config/samples to a real API server, and runs the built
// manager against the OpenAI emulator. It replaces what a user replaces, too: keys, endpoints and IDs.
package samples_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// store is the vector store of the samples.
const store = "vs_demo"

var env *framework.Env

func TestMain(m *testing.M) {
	os.Exit(framework.Suite{Options: framework.Options{Install: []string{"crd", "policy"}, Build: []string{"manager"}}}.Run(m, &env))
}

// user tries a sample, in a namespace with the Secret of the README.
type user struct {
	*framework.Fixture

	t *testing.T
}

func newUser(t *testing.T) *user {
	t.Helper()
	u := &user{Fixture: env.NewFixture(t, emulator.Options{VectorStores: []string{store}}), t: t}
	u.StartManager(t, "samples", framework.Setup{Flags: []string{"--watch-namespaces=team-search,team-support"}})
	return u
}

func (u *user) must(err error) {
	u.t.Helper()
	if err != nil {
		u.t.Fatal(err)
	}
}

// apply applies a sample with kubectl, after change has changed its objects.
func (u *user) apply(sample string, change func(object *unstructured.Unstructured)) {
	u.t.Helper()
	var manifests []string
	for _, document := range strings.Split(framework.ReadFile(u.t, "config", "samples", sample), "\n---\n") {
		object := &unstructured.Unstructured{}
		u.must(yaml.UnmarshalStrict([]byte(document), &object.Object))
		if change != nil {
			change(object)
		}
		if object.GetNamespace() == "" && object.GetKind() != "Namespace" {
			object.SetNamespace(u.Namespace)
		}
		text, err := yaml.Marshal(object.Object)
		u.must(err)
		manifests = append(manifests, string(text))
	}
	env.Kubectl.Apply(u.t, strings.Join(manifests, "---\n"), "--validate=strict")
}

// set sets a string in an object.
func (u *user) set(object *unstructured.Unstructured, value string, path ...string) {
	u.t.Helper()
	u.must(unstructured.SetNestedField(object.Object, value, path...))
}

// hold keeps files in progress.
func (u *user) hold(fileIDs ...string) {
	for _, id := range fileIDs {
		u.Emulator.SetOutcome(id, emulator.Outcome{Stuck: true})
	}
}

// batchFor creates a batch without the operator, and returns its ID.
func (u *user) batchFor(files ...string) string {
	u.t.Helper()
	id, err := u.EmulatorClient().CreateBatch(u.t.Context(), store, files...)
	u.must(err)
	return id
}

// adopting replaces the ID of a batch in a sample.
func (u *user) adopting(id string) func(*unstructured.Unstructured) {
	return func(object *unstructured.Unstructured) { u.set(object, id, "spec", "batchID") }
}

// endpoint replaces the server in the Secret of a sample, and keeps the path of its endpoint.
func (u *user) endpoint(server *httptest.Server, extra map[string]string) func(*unstructured.Unstructured) {
	return func(object *unstructured.Unstructured) {
		if object.GetKind() != "Secret" {
			return
		}
		named, _, _ := unstructured.NestedString(object.Object, "stringData", "OPENAI_BASE_URL")
		if named == "" {
			named = "/v1"
		}
		parsed, err := url.Parse(named)
		u.must(err)
		u.set(object, server.URL+parsed.Path, "stringData", "OPENAI_BASE_URL")
		for key, value := range extra {
			u.set(object, value, "stringData", key)
		}
	}
}

// simple lists the samples that need no change, with the final reasons of their objects.
var simple = map[string]map[string]string{
	"smallest.yaml":          {"smallest": "Completed"},
	"handbook.yaml":          {"handbook": "Completed"},
	"archive.yaml":           {"archive": "Completed"},
	"failing.yaml":           {"scans": "FilesFailed"},
	"per-file.yaml":          {"contracts": "Completed"},
	"deadline.yaml":          {"nightly": "Completed"},
	"deletion-policies.yaml": {"stops": "Completed", "runs-on": "Completed", "cleans-up": "Completed"},
}

// special lists the samples that need a change.
var special = map[string]func(t *testing.T, u *user){
	"kustomization.yaml": func(t *testing.T, u *user) {
		folder := filepath.Join(framework.Root(), "config", "samples")
		content, err := os.ReadFile(filepath.Join(folder, "kustomization.yaml"))
		u.must(err)
		var kustomization struct {
			Resources []string `json:"resources"`
		}
		u.must(yaml.Unmarshal(content, &kustomization))
		samples, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
		u.must(err)
		var want []string
		for _, sample := range samples {
			if name := filepath.Base(sample); name != "kustomization.yaml" {
				want = append(want, name)
			}
		}
		if diff := cmp.Diff(want, kustomization.Resources); diff != "" {
			t.Errorf("resources (-want +got):\n%s", diff)
		}
	},
	"adopt.yaml": func(t *testing.T, u *user) {
		id := u.batchFor("file-one", "file-two")
		u.apply("adopt.yaml", u.adopting(id))
		if b := u.WaitForReason(u.t, "adopted", "Completed"); b.Status.BatchID != id || u.Emulator.CreateCount() != 1 {
			t.Errorf("batchID is %s after %d creates, want %s after one create", b.Status.BatchID, u.Emulator.CreateCount(), id)
		}
	},
	"adopt-and-cancel.yaml": func(t *testing.T, u *user) {
		id := u.batchFor("file-one", "file-stuck-two")
		u.apply("adopt-and-cancel.yaml", u.adopting(id))
		want := &v1alpha1.FileCounts{Completed: 1, Cancelled: 1, Total: 2}
		if diff := cmp.Diff(want, u.WaitForReason(u.t, "adopted-to-cancel", "Cancelled").Status.FileCounts); diff != "" {
			t.Errorf("fileCounts (-want +got):\n%s", diff)
		}
	},
	"azure.yaml": func(t *testing.T, u *user) {
		server := httptest.NewServer(http.StripPrefix("/openai", u.Emulator))
		t.Cleanup(server.Close)
		u.apply("azure.yaml", u.endpoint(server, nil))
		u.WaitForReason(u.t, "azure", "Completed")
	},
	"compatible.yaml": func(t *testing.T, u *user) {
		server := httptest.NewTLSServer(u.Emulator)
		t.Cleanup(server.Close)
		authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		u.apply("compatible.yaml", u.endpoint(server, map[string]string{"ca.crt": string(authority)}))
		u.WaitForReason(u.t, "inhouse", "Completed")
	},
	"teams.yaml": func(t *testing.T, u *user) {
		server := httptest.NewServer(u.Emulator)
		t.Cleanup(server.Close)
		u.apply("teams.yaml", u.endpoint(server, nil))
		for namespace, name := range map[string]string{"team-search": "catalogue", "team-support": "tickets"} {
			env.Kubectl.In(namespace).WaitFor(t, name, "condition=Succeeded")
		}
		keys := map[string]bool{}
		for _, call := range u.Emulator.Calls(emulator.Create) {
			keys[call.Key] = true
		}
		if len(keys) != 2 {
			t.Errorf("the two teams used %d keys", len(keys))
		}
	},
}

func TestSamples(t *testing.T) {
	for _, file := range framework.Glob(t, "config/samples/*.yaml") {
		sample := filepath.Base(file)
		t.Run(sample, func(t *testing.T) {
			t.Parallel()
			u := newUser(t)
			if run := special[sample]; run != nil {
				run(t, u)
				return
			}
			ends := simple[sample]
			if len(ends) == 0 {
				t.Fatalf("%s has no test", sample)
			}
			u.apply(sample, nil)
			for name, reason := range ends {
				u.WaitForReason(u.t, name, reason)
			}
		})
	}
}

// TestSamples_PerFileSettings compares a file in the vector store with per-file.yaml.
func TestSamples_PerFileSettings(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.apply("per-file.yaml", nil)
	u.WaitForReason(u.t, "contracts", "Completed")
	var file struct {
		Attributes       map[string]any `json:"attributes"`
		ChunkingStrategy map[string]any `json:"chunking_strategy"`
	}
	u.must(u.EmulatorClient().Call(t.Context(), http.MethodGet, "/v1/vector_stores/"+store+"/files/file-contract-2", nil, &file))
	if diff := cmp.Diff(map[string]any{"customer": "Sample Inc", "pages": 180.0}, file.Attributes); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	want := map[string]any{"type": "static", "static": map[string]any{"max_chunk_size_tokens": 1200.0, "chunk_overlap_tokens": 200.0}}
	if diff := cmp.Diff(want, file.ChunkingStrategy); diff != "" {
		t.Errorf("chunking (-want +got):\n%s", diff)
	}
}

// TestSamples_ToleranceAndDeadline makes files of deadline.yaml fail, or never finish.
func TestSamples_ToleranceAndDeadline(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		failed, stuck []string
		reason        string
	}{
		"as many failed files as allowed": {failed: []string{"file-nightly-1", "file-nightly-2"}, reason: "Completed"},
		"one more failed file":            {failed: []string{"file-nightly-1", "file-nightly-2", "file-nightly-3"}, reason: "FilesFailed"},
		"a file that never finishes":      {stuck: []string{"file-nightly-3"}, reason: "DeadlineExceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUser(t)
			u.hold(test.stuck...)
			for _, id := range test.failed {
				u.Emulator.SetOutcome(id, emulator.Outcome{Code: emulator.InvalidFile})
			}
			u.apply("deadline.yaml", func(object *unstructured.Unstructured) {
				if len(test.stuck) > 0 { // half an hour is too long for a test
					u.must(unstructured.SetNestedField(object.Object, int64(1), "spec", "activeDeadlineSeconds"))
				}
			})
			u.WaitForReason(u.t, "nightly", test.reason)
		})
	}
}
