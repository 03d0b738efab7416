// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package samples_test applies each file of config/samples to a real API server and lets the
// built manager carry it out against the emulator. What is replaced is what a user replaces
// too: keys, endpoints and IDs.
package samples_test

import (
	"encoding/json"
	"encoding/pem"
	"flag"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/races/stage"
)

// store is the vector store of the samples.
const store = "vs_demo"

var shared *stage.Stage

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(stage.Main(m, &shared))
}

// user is somebody who tries a sample, in a namespace with the Secret that the README makes.
type user struct {
	*stage.Tenant
	t *testing.T
	// secret leads to the emulator.
	secret map[string][]byte
}

func newUser(t *testing.T) *user {
	t.Helper()
	u := &user{Tenant: shared.NewTenant(t, emulator.Options{VectorStores: []string{store}}), t: t}
	var secret corev1.Secret
	u.must(u.Client.Get(t.Context(), client.ObjectKey{Namespace: u.Namespace, Name: "openai"}, &secret))
	u.secret = secret.Data
	u.Start(t, "samples", stage.Setup{Flags: []string{"--watch-namespaces=team-search,team-support"}})
	return u
}

func (u *user) must(err error) {
	u.t.Helper()
	if err != nil {
		u.t.Fatal(err)
	}
}

// apply applies a sample with kubectl, after its objects were changed as a user would.
func (u *user) apply(sample string, change func(object *unstructured.Unstructured)) {
	u.t.Helper()
	content, err := os.ReadFile(filepath.Join(controlplane.Root(), "config", "samples", sample))
	u.must(err)
	var manifests []string
	for _, document := range strings.Split(string(content), "\n---\n") {
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
	command := u.Plane.Kubectl(u.t.Context(), "apply", "--server-side", "--validate=strict", "-f", "-")
	command.Stdin = strings.NewReader(strings.Join(manifests, "---\n"))
	if output, err := command.CombinedOutput(); err != nil {
		u.t.Fatalf("%s: %v: %s", sample, err, output)
	}
}

// set sets a text of an object.
func (u *user) set(object *unstructured.Unstructured, value string, path ...string) {
	u.t.Helper()
	u.must(unstructured.SetNestedField(object.Object, value, path...))
}

// end waits until an object is over, for a reason.
func (u *user) end(name, reason string) *v1alpha1.VectorStoreFileBatch {
	u.t.Helper()
	return u.WaitReason(u.t, name, reason)
}

// hold keeps files in progress.
func (u *user) hold(fileIDs ...string) {
	for _, id := range fileIDs {
		u.Emulator.SetOutcome(id, emulator.Outcome{Stuck: true})
	}
}

// batchFor makes a batch without the operator, and gives its ID.
func (u *user) batchFor(files ...string) string {
	u.t.Helper()
	body, err := json.Marshal(map[string]any{"file_ids": files})
	u.must(err)
	var batch struct {
		ID string `json:"id"`
	}
	u.ask(http.MethodPost, "/vector_stores/"+store+"/file_batches", string(body), &batch)
	return batch.ID
}

// ask makes a call to the emulator's API.
func (u *user) ask(method, path, body string, into any) {
	u.t.Helper()
	request, err := http.NewRequestWithContext(u.t.Context(), method, string(u.secret["OPENAI_BASE_URL"])+path, strings.NewReader(body))
	u.must(err)
	request.Header.Set("Authorization", "Bearer "+string(u.secret["OPENAI_API_KEY"]))
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	u.must(err)
	defer response.Body.Close()
	u.must(json.NewDecoder(response.Body).Decode(into))
	if response.StatusCode != http.StatusOK {
		u.t.Fatalf("%s %s: HTTP %d: %v", method, path, response.StatusCode, into)
	}
}

// adopting puts the ID of a batch in the place of the sample's.
func (u *user) adopting(id string) func(*unstructured.Unstructured) {
	return func(object *unstructured.Unstructured) { u.set(object, id, "spec", "batchID") }
}

// endpoint leads the Secret of a sample to a server, and leaves the path of its endpoint.
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

// simple are samples that need nothing changed, with their ends.
var simple = map[string]map[string]string{
	"smallest.yaml":          {"smallest": "Completed"},
	"handbook.yaml":          {"handbook": "Completed"},
	"archive.yaml":           {"archive": "Completed"},
	"failing.yaml":           {"scans": "FilesFailed"},
	"per-file.yaml":          {"contracts": "Completed"},
	"deadline.yaml":          {"nightly": "Completed"},
	"deletion-policies.yaml": {"stops": "Completed", "runs-on": "Completed", "cleans-up": "Completed"},
}

// special are samples that something is changed in first.
var special = map[string]func(t *testing.T, u *user){
	"kustomization.yaml": func(t *testing.T, u *user) {
		folder := filepath.Join(controlplane.Root(), "config", "samples")
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
		if b := u.end("adopted", "Completed"); b.Status.BatchID != id || u.Emulator.CreateCount() != 1 {
			t.Errorf("batchID is %s after %d creates, want %s, and no other batch", b.Status.BatchID, u.Emulator.CreateCount(), id)
		}
	},
	"adopt-and-cancel.yaml": func(t *testing.T, u *user) {
		id := u.batchFor("file-one", "file-stuck-two")
		u.apply("adopt-and-cancel.yaml", u.adopting(id))
		want := &v1alpha1.FileCounts{Completed: 1, Cancelled: 1, Total: 2}
		if diff := cmp.Diff(want, u.end("adopted-to-cancel", "Cancelled").Status.FileCounts); diff != "" {
			t.Errorf("fileCounts (-want +got):\n%s", diff)
		}
	},
	"azure.yaml": func(t *testing.T, u *user) {
		server := httptest.NewServer(http.StripPrefix("/openai", u.Emulator))
		t.Cleanup(server.Close)
		u.apply("azure.yaml", u.endpoint(server, nil))
		u.end("azure", "Completed")
	},
	"compatible.yaml": func(t *testing.T, u *user) {
		server := httptest.NewTLSServer(u.Emulator)
		t.Cleanup(server.Close)
		authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		u.apply("compatible.yaml", u.endpoint(server, map[string]string{"ca.crt": string(authority)}))
		u.end("inhouse", "Completed")
	},
	"teams.yaml": func(t *testing.T, u *user) {
		server := httptest.NewServer(u.Emulator)
		t.Cleanup(server.Close)
		u.apply("teams.yaml", u.endpoint(server, nil))
		for namespace, name := range map[string]string{"team-search": "catalogue", "team-support": "tickets"} {
			output, err := u.Plane.Run(t.Context(), "--namespace", namespace, "wait", "vsfb/"+name, "--for=condition=Succeeded", "--timeout="+stage.Patience.String())
			if err != nil {
				t.Errorf("%v: %s", err, output)
			}
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
	files, err := filepath.Glob(filepath.Join(controlplane.Root(), "config", "samples", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are %d samples: %v", len(files), err)
	}
	for _, file := range files {
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
				t.Fatalf("there is no test of %s", sample)
			}
			u.apply(sample, nil)
			for name, reason := range ends {
				u.end(name, reason)
			}
		})
	}
}

// TestPerFileSettingsArrive looks at what stands in the store after per-file.yaml.
func TestPerFileSettingsArrive(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.apply("per-file.yaml", nil)
	u.end("contracts", "Completed")
	var file struct {
		Attributes       map[string]any `json:"attributes"`
		ChunkingStrategy map[string]any `json:"chunking_strategy"`
	}
	u.ask(http.MethodGet, "/vector_stores/"+store+"/files/file-contract-2", "", &file)
	if diff := cmp.Diff(map[string]any{"customer": "Sample Inc", "pages": 180.0}, file.Attributes); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	want := map[string]any{"type": "static", "static": map[string]any{"max_chunk_size_tokens": 1200.0, "chunk_overlap_tokens": 200.0}}
	if diff := cmp.Diff(want, file.ChunkingStrategy); diff != "" {
		t.Errorf("chunking (-want +got):\n%s", diff)
	}
}

// TestToleranceAndDeadline lets files of deadline.yaml fail, and then one never end.
func TestToleranceAndDeadline(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		failed, stuck []string
		reason        string
	}{
		"as many failed files as are tolerated": {failed: []string{"file-nightly-1", "file-nightly-2"}, reason: "Completed"},
		"one more":                              {failed: []string{"file-nightly-1", "file-nightly-2", "file-nightly-3"}, reason: "FilesFailed"},
		"a file that never is done":             {stuck: []string{"file-nightly-3"}, reason: "DeadlineExceeded"},
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
			u.end("nightly", test.reason)
		})
	}
}

// TestDeletionPolicies deletes the objects of deletion-policies.yaml while their batches run.
func TestDeletionPolicies(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status string
		files  []string // that are left in the store
	}{
		"stops":     {"cancelled", []string{"file-stops-1", "file-stops-2"}},
		"runs-on":   {"in_progress", []string{"file-runs-on-1", "file-runs-on-2"}},
		"cleans-up": {"cancelled", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUser(t)
			u.hold("file-stops-2", "file-runs-on-2", "file-cleans-up-2")
			u.apply("deletion-policies.yaml", nil)
			b := u.end(name, "InProgress")
			u.must(u.Client.Delete(t.Context(), b))
			stage.Eventually(t, name+" to be gone", func() bool { return u.Read(t, name) == nil })
			if batch, _ := u.Emulator.Batch(b.Status.BatchID); batch.Status != test.status {
				t.Errorf("the batch is %s, want %s", batch.Status, test.status)
			}
			left := slices.DeleteFunc(u.Emulator.AttachedFileIDs(store), func(id string) bool { return !strings.HasPrefix(id, "file-"+name) })
			if diff := cmp.Diff(test.files, left); diff != "" && len(test.files)+len(left) > 0 {
				t.Errorf("files in the store (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTheCancelOfTheReadme cancels archive.yaml by the line of the README.
func TestTheCancelOfTheReadme(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.hold("file-archive-50")
	u.apply("archive.yaml", nil)
	b := u.end("archive", "InProgress")
	u.must(u.Client.Patch(t.Context(), b, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"cancel":true}}`))))
	u.end("archive", "Cancelled")
}
