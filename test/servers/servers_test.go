// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package servers_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
	"github.com/vector-store-operator/vector-store-operator/test/framework/proxy"
)

// The documents that most tests attach, and what finds each of them.
var (
	payroll  = document{"payroll.md", "# Payroll\n\nSalaries are paid on the last Tuesday of each month.\n"}
	travel   = document{"travel.txt", "Book trains instead of flights, and keep every receipt.\n"}
	security = document{"security.pdf", pdf("Lock your screen before you leave the building")}
	queries  = []string{"when are salaries paid", "keep the receipt of trains", "lock the screen"}
)

// object returns an object for the fixture's store, whose calls do not take the proxy.
func (f *fixture) object(name string, spec v1alpha1.VectorStoreFileBatchSpec) *v1alpha1.VectorStoreFileBatch {
	spec.VectorStoreID = f.store
	if spec.CredentialsRef == nil {
		spec.CredentialsRef = &v1alpha1.CredentialsReference{Name: direct}
	}
	return f.Batch(name, spec)
}

// through is the default Secret, whose calls take the proxy.
func through() *v1alpha1.CredentialsReference {
	return &v1alpha1.CredentialsReference{Name: v1alpha1.DefaultCredentialsSecret}
}

// wantFound requires that a search finds each of the common documents.
func (f *fixture) wantFound(t *testing.T, ids []string) {
	t.Helper()
	for i, id := range ids {
		f.server.find(t, f.store, queries[i], id)
	}
}

// wantCondition requires a status of a condition.
func wantCondition(t *testing.T, b *v1alpha1.VectorStoreFileBatch, condition string, want metav1.ConditionStatus) {
	t.Helper()
	got := meta.FindStatusCondition(b.Status.Conditions, condition)
	if got == nil || got.Status != want {
		t.Errorf("condition %s = %+v, want %s", condition, got, want)
	}
}

// waitStalled waits until an object is Stalled for a reason. A new object is not at first, because the
// server may not know its files yet.
func (f *fixture) waitStalled(t *testing.T, name, reason string) {
	t.Helper()
	framework.Await(t, name+" to be stalled: "+reason, func() *v1alpha1.VectorStoreFileBatch { return f.Get(t, name) }, func(b *v1alpha1.VectorStoreFileBatch) bool {
		return framework.ReadyReason(b) == reason && meta.IsStatusConditionTrue(b.Status.Conditions, v1alpha1.ConditionStalled)
	})
}

func raw(value string) v1alpha1.AttributeValue { return v1alpha1.AttributeValue{Raw: []byte(value)} }

// TestOGX_MatchesProfile compares OGX with the emulator's profile. It slows the embeddings down for
// every test, so it runs before the others.
func TestOGX_MatchesProfile(t *testing.T) {
	requireOGX(t)
	command := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-run=^TestProfile_OGX", "./internal/emulator")
	command.Dir = framework.Root()
	command.Env = append(os.Environ(), "OGX_URL="+server.URL, "OGX_KEY="+server.Key, "OGX_SLOW_URL="+vectors.URL+"/delay/")
	output, err := command.CombinedOutput()
	if err != nil || strings.Contains(string(output), "--- SKIP") || !strings.Contains(string(output), "--- PASS") {
		t.Errorf("%v\n%s", err, output)
	}
}

// TestOGX_PluginUploadsDocuments uploads files as a user does.
func TestOGX_PluginUploadsDocuments(t *testing.T) {
	requireOGX(t)
	t.Parallel()
	f := newFixture(t, server)
	folder := t.TempDir()
	for _, d := range []document{payroll, travel, security} {
		framework.WriteFile(t, folder, d.name, d.content)
	}
	home, assets, separator := t.TempDir(), os.Getenv("KUBEBUILDER_ASSETS"), string(filepath.ListSeparator)
	kubectl := framework.Kubectl{Namespace: f.Namespace, Dir: folder, Env: []string{
		"PATH=" + env.Dir + separator + assets + separator + os.Getenv("PATH"), "HOME=" + home, "KUBECONFIG=" + env.Kubeconfig,
	}}
	kubectl.Must(t, "vsfb", "create", "handbook", ".", "--vector-store="+f.store, "--secret="+direct, "--endpoint="+f.server.BaseURL(), "--attribute=team=people")
	b := f.WaitForReason(t, "handbook", v1alpha1.ReasonCompleted)
	wantCondition(t, b, v1alpha1.ConditionSucceeded, metav1.ConditionTrue)
	for i, name := range []string{payroll.name, travel.name, security.name} {
		results := server.search(t, f.store, queries[i])
		if len(results) == 0 || results[0].Name != name || results[0].Attributes["team"] != "people" {
			t.Errorf("a search for %q found %+v, want %s first", queries[i], results, name)
		}
	}
}

func TestOGX_AttributesAndChunks(t *testing.T) {
	requireOGX(t)
	t.Parallel()
	f := newFixture(t, server)
	var long strings.Builder
	for chapter := range 40 {
		fmt.Fprintf(&long, "Chapter %d is about topic%d and nothing else.\n\n", chapter, chapter)
	}
	ids := server.upload(t, payroll, document{"long.md", long.String()})
	f.Create(t, f.object("chunks", v1alpha1.VectorStoreFileBatchSpec{
		FileIDs:    ids,
		Attributes: v1alpha1.Attributes{"team": raw(`"people"`), "year": raw("2026"), "public": raw("true")},
		ChunkingStrategy: &v1alpha1.ChunkingStrategy{
			Type: v1alpha1.ChunkingStatic, Static: &v1alpha1.StaticChunking{MaxChunkSizeTokens: 100, ChunkOverlapTokens: ptr.To[int32](20)},
		},
	}))
	b := f.WaitForReason(t, "chunks", v1alpha1.ReasonCompleted)
	if c := b.Status.FileCounts; c == nil || c.Completed != 2 || c.Total != 2 {
		t.Errorf("fileCounts = %+v, want 2 of 2 completed", c)
	}
	found := server.find(t, f.store, "which chapter is about topic33", ids[1])
	for name, want := range map[string]any{"team": "people", "year": 2026.0, "public": true} {
		if got := found.Attributes[name]; got != want {
			t.Errorf("attribute %s = %#v, want %#v", name, got, want)
		}
	}
	if len(found.Content) == 0 || !strings.Contains(found.Content[0].Text, "topic33") || strings.Contains(found.Content[0].Text, "topic1 ") {
		t.Errorf("the passage is %+v, want the chunk with chapter 33", found.Content)
	}
}

func TestOGX_FailedFiles(t *testing.T) {
	requireOGX(t)
	t.Parallel()
	f := newFixture(t, server)
	good := server.upload(t, payroll)
	bad := server.upload(t, document{"broken.pdf", "not a PDF"}, document{"blank.txt", " \n"})
	f.Create(t, f.object("mixed", v1alpha1.VectorStoreFileBatchSpec{FileIDs: append(bad, good...)}))
	b := f.WaitForReason(t, "mixed", v1alpha1.ReasonFilesFailed)
	wantCondition(t, b, v1alpha1.ConditionSucceeded, metav1.ConditionFalse)
	failed := map[string]string{}
	for _, file := range b.Status.FailedFiles {
		failed[file.FileID] = file.Code
	}
	if diff := cmp.Diff(map[string]string{bad[0]: "server_error", bad[1]: "server_error"}, failed); diff != "" {
		t.Errorf("failedFiles (-want +got):\n%s", diff)
	}
	f.wantFound(t, good)
}

// TestOGX_FailedFileAgain attaches a file that failed once more. OGX does not process it again until it
// was detached, which DetachFiles does.
func TestOGX_FailedFileAgain(t *testing.T) {
	requireOGX(t)
	t.Parallel()
	f := newFixture(t, server)
	refused := vectors.refuse(t, "unlucky")
	ids := server.upload(t, document{"unlucky.txt", "An unlucky text."})
	for _, name := range []string{"first", "second"} {
		f.Create(t, f.object(name, v1alpha1.VectorStoreFileBatchSpec{FileIDs: ids, DeletionPolicy: v1alpha1.DeletionPolicyDetachFiles}))
		f.WaitForReason(t, name, v1alpha1.ReasonFilesFailed)
		refused.end()
	}
	f.Kubectl.Must(t, "delete", "vsfb", "--all", "--timeout="+framework.Timeout.String())
	f.Create(t, f.object("third", v1alpha1.VectorStoreFileBatchSpec{FileIDs: ids}))
	f.WaitForReason(t, "third", v1alpha1.ReasonCompleted)
	server.find(t, f.store, "unlucky", ids[0])
}

// filesOf returns n documents, the last of which has a word that the embeddings hold.
func filesOf(n int, word string) []document {
	documents := make([]document, n)
	for i := range documents {
		documents[i] = document{fmt.Sprintf("page-%d.txt", i), fmt.Sprintf("This is the text number%d.", i)}
	}
	documents[n-1].content += " It waits for " + word + "."
	return documents
}

// startHeld creates an object whose batch stays in progress: OGX has processed 10 of its 12 files.
func (f *fixture) startHeld(t *testing.T, word string, spec v1alpha1.VectorStoreFileBatchSpec) (*hold, string) {
	t.Helper()
	h := vectors.hold(t, word)
	spec.FileIDs = f.server.upload(t, filesOf(12, word)...)
	f.Create(t, f.object(word, spec))
	vectors.waitBlocked(t, h, 1)
	b := framework.Await(t, "the counts", func() *v1alpha1.VectorStoreFileBatch { return f.Get(t, word) }, func(b *v1alpha1.VectorStoreFileBatch) bool {
		return b.Status.FileCounts != nil && b.Status.FileCounts.Completed == 10
	})
	return h, b.Status.BatchID
}

func TestOGX_Cancel(t *testing.T) {
	requireOGX(t)
	t.Parallel()
	f := newFixture(t, server)
	_, id := f.startHeld(t, "cancelled", v1alpha1.VectorStoreFileBatchSpec{})
	f.Patch(t, "cancelled", `{"spec":{"cancel":true}}`)
	b := f.WaitForReason(t, "cancelled", v1alpha1.ReasonCancelled)
	wantCondition(t, b, v1alpha1.ConditionFinished, metav1.ConditionTrue)
	wantCondition(t, b, v1alpha1.ConditionSucceeded, metav1.ConditionFalse)
	if status := server.batch(t, f.store, id).Status; status != "cancelled" {
		t.Errorf("the batch is %s, want cancelled", status)
	}
}

func TestOGX_Deadline(t *testing.T) {
	requireOGX(t)
	t.Parallel()
	f := newFixture(t, server)
	vectors.hold(t, "overdue")
	f.Create(t, f.object("overdue", v1alpha1.VectorStoreFileBatchSpec{
		FileIDs: server.upload(t, filesOf(2, "overdue")...), ActiveDeadlineSeconds: ptr.To[int64](3),
	}))
	b := f.WaitForReason(t, "overdue", v1alpha1.ReasonDeadlineExceeded)
	wantCondition(t, b, v1alpha1.ConditionFinished, metav1.ConditionTrue)
	if status := server.batch(t, f.store, b.Status.BatchID).Status; status != "cancelled" {
		t.Errorf("the batch is %s, want cancelled", status)
	}
}

// TestOGX_Adopt adopts a batch of another client.
func TestOGX_Adopt(t *testing.T) {
	requireOGX(t)
	t.Parallel()
	f := newFixture(t, server)
	ids := server.upload(t, payroll, travel, security)
	id, err := server.CreateBatch(t.Context(), f.store, ids...)
	if err != nil {
		t.Fatal(err)
	}
	f.Create(t, f.object("adopted", v1alpha1.VectorStoreFileBatchSpec{BatchID: id}))
	b := f.WaitForReason(t, "adopted", v1alpha1.ReasonCompleted)
	if c := b.Status.FileCounts; c == nil || c.Completed != 3 || c.Total != 3 {
		t.Errorf("fileCounts = %+v, want 3 of 3 completed", c)
	}
	f.wantFound(t, ids)
}

func TestOGX_DetachFiles(t *testing.T) {
	requireOGX(t)
	t.Parallel()
	f := newFixture(t, server)
	ids := server.upload(t, payroll, travel, security)
	f.Create(t, f.object("kept", v1alpha1.VectorStoreFileBatchSpec{FileIDs: ids[:1]}))
	f.WaitForReason(t, "kept", v1alpha1.ReasonCompleted)
	f.Create(t, f.object("detached", v1alpha1.VectorStoreFileBatchSpec{FileIDs: ids[1:], DeletionPolicy: v1alpha1.DeletionPolicyDetachFiles}))
	f.WaitForReason(t, "detached", v1alpha1.ReasonCompleted)
	f.wantFound(t, ids)
	f.Kubectl.Must(t, "delete", "vsfb", "detached", "--timeout="+framework.Timeout.String())
	if diff := cmp.Diff(map[string]string{ids[0]: "completed"}, server.storeFiles(t, f.store)); diff != "" {
		t.Errorf("files of the vector store (-want +got):\n%s", diff)
	}
	for _, r := range server.search(t, f.store, queries[1]) {
		if r.file() != ids[0] {
			t.Errorf("a search finds the detached file %+v", r)
		}
	}
	for _, id := range ids {
		server.call(t, http.MethodGet, "/files/"+id, nil) // the upload remains
	}
}

// TestOGX_DetachFilesInProgress deletes an object whose batch is in progress. OGX answers 400 to the
// detach of a file that it has not processed.
func TestOGX_DetachFilesInProgress(t *testing.T) {
	requireOGX(t)
	t.Parallel()
	f := newFixture(t, server)
	h, id := f.startHeld(t, "deleted", v1alpha1.VectorStoreFileBatchSpec{DeletionPolicy: v1alpha1.DeletionPolicyDetachFiles})
	f.Kubectl.Must(t, "delete", "vsfb", "deleted", "--timeout="+framework.Timeout.String())
	if status := server.batch(t, f.store, id).Status; status != "cancelled" {
		t.Errorf("the batch is %s, want cancelled", status)
	}
	h.end()
	if files := server.storeFiles(t, f.store); len(files) != 0 {
		t.Errorf("the vector store has %v, want no file", files)
	}
}

// TestOGX_LostResponse loses the response to the create: the batch exists, and its ID is unknown. The
// operator finds its files in the vector store, and creates a second batch to track them.
func TestOGX_LostResponse(t *testing.T) {
	requireOGX(t)
	t.Parallel()
	f := newFixture(t, server)
	f.cutCreate(func(r proxy.Request) bool { return r.Status != 0 })
	f.wantComplete(t, server.upload(t, payroll, travel, security), 2)
}

// TestOGX_LostResponseInProgress is TestOGX_LostResponse with a batch that is in progress until there
// is a second. OGX lists no file until it has processed it.
func TestOGX_LostResponseInProgress(t *testing.T) {
	requireOGX(t)
	t.Parallel()
	f := newFixture(t, server)
	h := vectors.hold(t, "unrecorded")
	f.OnRequest(func(r proxy.Request) int {
		if r.Operation == proxy.CreateBatch && r.Status == http.StatusOK {
			if len(f.created()) == 1 {
				return proxy.Cut
			}
			h.end()
		}
		return 0
	})
	unrecorded := document{payroll.name, payroll.content + "\nAn unrecorded word.\n"}
	f.wantComplete(t, server.upload(t, unrecorded, travel, security), 2)
}

// TestOGX_LostRequest loses the create before OGX has it.
func TestOGX_LostRequest(t *testing.T) {
	requireOGX(t)
	t.Parallel()
	f := newFixture(t, server)
	f.cutCreate(func(r proxy.Request) bool { return r.Status == 0 })
	f.wantComplete(t, server.upload(t, payroll, travel, security), 1)
}

// cutCreate cuts the connection of the first create at a step of it.
func (f *fixture) cutCreate(at func(proxy.Request) bool) {
	var cuts atomic.Int32
	f.OnRequest(func(r proxy.Request) int {
		if r.Operation == proxy.CreateBatch && at(r) && cuts.Add(1) == 1 {
			return proxy.Cut
		}
		return 0
	})
}

// created returns the creates that OGX accepted.
func (f *fixture) created() []proxy.Request {
	return slices.DeleteFunc(f.Requests(proxy.CreateBatch), func(r proxy.Request) bool { return r.Status != http.StatusOK })
}

// wantComplete attaches files through the proxy, and requires that the object completes after the
// outcome of a create was unknown, with a number of batches.
func (f *fixture) wantComplete(t *testing.T, ids []string, batches int) {
	t.Helper()
	f.Create(t, f.object("lost", v1alpha1.VectorStoreFileBatchSpec{FileIDs: ids, CredentialsRef: through()}))
	f.WaitForReason(t, "lost", v1alpha1.ReasonCreateOutcomeUnknown)
	b := f.WaitForReason(t, "lost", v1alpha1.ReasonCompleted)
	wantCondition(t, b, v1alpha1.ConditionSucceeded, metav1.ConditionTrue)
	f.wantFound(t, ids)
	if len(f.Requests(proxy.ListStoreFiles)) == 0 {
		t.Error("the operator did not check whether the files are attached")
	}
	if created := len(f.created()); created != batches {
		t.Errorf("OGX created %d batches, want %d", created, batches)
	}
}

// TestOGX_FilesIgnored attaches files with attributes of their own, which OGX ignores without an error.
func TestOGX_FilesIgnored(t *testing.T) {
	requireOGX(t)
	t.Parallel()
	f := newFixture(t, server)
	ids := server.upload(t, payroll)
	f.Create(t, f.object("ignored", v1alpha1.VectorStoreFileBatchSpec{
		Files: []v1alpha1.File{{FileID: ids[0], Attributes: v1alpha1.Attributes{"team": raw(`"people"`)}}},
	}))
	b := f.WaitForReason(t, "ignored", "FilesMissing")
	wantCondition(t, b, v1alpha1.ConditionFinished, metav1.ConditionTrue)
	wantCondition(t, b, v1alpha1.ConditionSucceeded, metav1.ConditionFalse)
	wantCondition(t, b, v1alpha1.ConditionReady, metav1.ConditionFalse)
	if files := server.storeFiles(t, f.store); len(files) != 0 {
		t.Errorf("the vector store has %v, want no file", files)
	}
}

// TestOGX_NotFound adopts a batch and uses a vector store that do not exist, for which OGX answers 400.
func TestOGX_NotFound(t *testing.T) {
	requireOGX(t)
	t.Parallel()
	f := newFixture(t, server)
	f.Create(t, f.object("batch", v1alpha1.VectorStoreFileBatchSpec{BatchID: "batch_00000000-0000-0000-0000-000000000000"}))
	store := f.object("store", v1alpha1.VectorStoreFileBatchSpec{FileIDs: server.upload(t, payroll)})
	store.Spec.VectorStoreID = "vs_00000000-0000-0000-0000-000000000000"
	f.Create(t, store)
	f.waitStalled(t, "batch", v1alpha1.ReasonBatchNotFound)
	f.waitStalled(t, "store", v1alpha1.ReasonRejected)
	f.Kubectl.Must(t, "delete", "vsfb", "--all", "--timeout="+framework.Timeout.String())
}

// TestOGX_DeletedStore deletes the vector store while its batch is in progress.
func TestOGX_DeletedStore(t *testing.T) {
	requireOGX(t)
	t.Parallel()
	f := newFixture(t, server)
	_, _ = f.startHeld(t, "orphaned", v1alpha1.VectorStoreFileBatchSpec{DeletionPolicy: v1alpha1.DeletionPolicyDetachFiles})
	server.call(t, http.MethodDelete, "/vector_stores/"+f.store, nil)
	b := f.WaitForReason(t, "orphaned", v1alpha1.ReasonBatchNotFound)
	wantCondition(t, b, v1alpha1.ConditionSucceeded, metav1.ConditionUnknown)
	f.Kubectl.Must(t, "delete", "vsfb", "orphaned", "--timeout="+framework.Timeout.String())
}

func TestOGX_RejectedKey(t *testing.T) {
	requireOGX(t)
	t.Parallel()
	f := newFixture(t, server)
	f.Create(t, framework.NewSecret(f.Namespace, "wrong", "sk-wrong", server.BaseURL()))
	f.Create(t, f.object("refused", v1alpha1.VectorStoreFileBatchSpec{
		FileIDs: server.upload(t, payroll), CredentialsRef: &v1alpha1.CredentialsReference{Name: "wrong"},
	}))
	f.waitStalled(t, "refused", v1alpha1.ReasonCredentialsRejected)
}

// TestOGX_Restarted stops OGX in the middle of a batch, and starts it again with the same state.
func TestOGX_Restarted(t *testing.T) {
	requireOGX(t)
	t.Parallel()
	own := startOGX(t)
	f := newFixture(t, own)
	t.Run("Terminated", func(t *testing.T) { f.testTerminated(t, own) })
	t.Run("Killed", func(t *testing.T) { f.testKilled(t, own) })
}

// testTerminated stops OGX with SIGTERM. It cancels the batch before it exits.
func (f *fixture) testTerminated(t *testing.T, own *ogx) {
	f.startHeld(t, "terminated", v1alpha1.VectorStoreFileBatchSpec{})
	own.process.Terminate()
	own.process.MustExit(t)
	f.WaitForReason(t, "terminated", v1alpha1.ReasonUpstreamUnavailable)
	own.mustStart(t)
	b := f.WaitForReason(t, "terminated", v1alpha1.ReasonCancelledExternally)
	wantCondition(t, b, v1alpha1.ConditionSucceeded, metav1.ConditionFalse)
}

// testKilled kills OGX. After the restart it resumes the batch, and may fail files that it had not
// processed, as not found.
func (f *fixture) testKilled(t *testing.T, own *ogx) {
	h, id := f.startHeld(t, "killed", v1alpha1.VectorStoreFileBatchSpec{})
	own.process.Kill()
	f.WaitForReason(t, "killed", v1alpha1.ReasonUpstreamUnavailable)
	own.mustStart(t)
	h.end()
	b := framework.Await(t, "the batch to finish", func() *v1alpha1.VectorStoreFileBatch { return f.Get(t, "killed") }, func(b *v1alpha1.VectorStoreFileBatch) bool {
		return meta.IsStatusConditionTrue(b.Status.Conditions, v1alpha1.ConditionFinished)
	})
	if b.Status.BatchID != id {
		t.Errorf("batchID = %s, want %s: OGX has not forgotten the batch", b.Status.BatchID, id)
	}
	t.Logf("after the restart: %s, counts %+v", framework.ReadyReason(b), b.Status.FileCounts)
	failed := map[string]bool{}
	for _, file := range b.Status.FailedFiles {
		failed[file.FileID] = true
	}
	if succeeded := meta.IsStatusConditionTrue(b.Status.Conditions, v1alpha1.ConditionSucceeded); succeeded != (len(failed) == 0) {
		t.Errorf("Succeeded is %v with the failed files %v", succeeded, failed)
	}
	files := own.storeFiles(t, f.store)
	for _, file := range b.Spec.FileIDs {
		if failed[file] == (files[file] == "completed") {
			t.Errorf("file %s is %q in the vector store; among the failed files: %v", file, files[file], failed[file])
		}
	}
}
