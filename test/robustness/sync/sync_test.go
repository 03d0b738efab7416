// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sync_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/internal/fileset"
)

// pages returns documents.
func pages(count int) map[string]string {
	documents := map[string]string{}
	for i := range count {
		documents[fmt.Sprintf("part-%d/page-%05d.md", i/100, i)] = fmt.Sprintf("Page %d.", i)
	}
	return documents
}

// calls counts the calls since the last time, except those of the test itself.
func (w *world) calls() map[string]int {
	counts := map[string]int{}
	for _, call := range w.emulator.Calls(emulator.AnyOperation) {
		counts[string(call.Operation)]++
	}
	w.emulator.ClearCalls()
	return counts
}

// listCalls are the calls of a run in step.
func listCalls(pages int) map[string]int {
	return map[string]int{string(emulator.RetrieveStore): 1, string(emulator.ListStoreFiles): pages}
}

// report is the output of sync as JSON.
type report struct {
	Result  string                                  `json:"result"`
	Changes []struct{ Path, Change, Reason string } `json:"changes"`
	LeftOut []struct{ Path, Reason string }         `json:"leftOut"`
	Refused []string                                `json:"refused"`
	Lost    []string                                `json:"lostUploads"`
	Summary map[string]float64                      `json:"summary"`
}

// report runs sync with -o json.
func (w *world) report(args ...string) (report, int) {
	w.Helper()
	command := w.command(append(args, "-o", "json")...)
	var complaints bytes.Buffer
	command.Stderr = &complaints
	text, err := command.Output()
	if err != nil && command.ProcessState == nil {
		w.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		w.Fatalf("%v: %s%s", err, text, complaints.String())
	}
	return r, command.ProcessState.ExitCode()
}

func TestSecondRun_CostsListRequests(t *testing.T) {
	w := newWorld(t, emulator.Options{})
	w.write(pages(250))
	w.mustRun("--files-per-batch=100")
	w.calls()
	output := w.mustRun()
	want := listCalls(3)
	if diff := cmp.Diff(want, w.calls()); diff != "" {
		t.Errorf("calls of the second run (-want +got):\n%s", diff)
	}
	if !strings.Contains(output, "In step: 250 unchanged; 0 B uploaded") {
		t.Errorf("it printed\n%s", output)
	}
}

// TestAnotherMachine_NeedsNoRecord shows that the attributes in the vector store are sufficient.
func TestAnotherMachine_NeedsNoRecord(t *testing.T) {
	w := newWorld(t, emulator.Options{})
	w.write(pages(5))
	w.mustRun()
	w.home = t.TempDir()
	w.calls()
	w.mustRun()
	if diff := cmp.Diff(listCalls(1), w.calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	documents := pages(4)
	documents["part-0/page-00001.md"] = "Changed."
	w.write(documents)
	w.mustRun()
	w.wantEqual(documents, map[string]any{})
}

// upload uploads a document and returns its ID.
func (w *world) upload(name, content string) string {
	w.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	_ = form.WriteField("purpose", "assistants")
	part, _ := form.CreateFormFile("file", name)
	_, _ = io.WriteString(part, content)
	_ = form.Close()
	request := httptest.NewRequestWithContext(w.Context(), http.MethodPost, "/v1/files", &body)
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", form.FormDataContentType())
	response := httptest.NewRecorder()
	w.emulator.ServeHTTP(response, request)
	var file struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(response.Body.Bytes(), &file); err != nil || file.ID == "" {
		w.Fatalf("%d %s", response.Code, response.Body)
	}
	return file.ID
}

// fill attaches documents as sync does, but without it.
func (w *world) fill(documents map[string]string) {
	w.Helper()
	var files []map[string]any
	flush := func() {
		body, err := json.Marshal(map[string]any{"files": files})
		if err != nil {
			w.Fatal(err)
		}
		var batch struct{ ID string }
		w.call(http.MethodPost, "/vector_stores/"+store+"/file_batches", string(body), &batch)
		files = nil
	}
	for path, content := range documents {
		content = "A document. " + content
		sum := sha256.Sum256([]byte(content))
		files = append(files, map[string]any{"file_id": w.upload(filepath.Base(path), content), "attributes": map[string]any{
			fileset.AttributePath: path, fileset.AttributeOwner: fileset.OwnerAttribute(owner, hex.EncodeToString(sum[:])),
		}})
		if len(files) == 2000 {
			flush()
		}
	}
	if len(files) > 0 {
		flush()
	}
}

// TestTenThousandFiles shows what a run in step costs.
func TestTenThousandFiles(t *testing.T) {
	w := newWorld(t, emulator.Options{})
	documents := pages(10_000)
	w.write(documents)
	w.fill(documents)
	w.calls()
	command := w.command()
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if diff := cmp.Diff(listCalls(100), w.calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	usage := command.ProcessState.SysUsage().(*syscall.Rusage)
	const limit = 100 << 10 // KiB
	t.Logf("%d MiB, %s of processor time", usage.Maxrss>>10, command.ProcessState.UserTime()+command.ProcessState.SystemTime())
	if usage.Maxrss > limit {
		t.Errorf("the process had %d KiB of memory, want at most %d", usage.Maxrss, limit)
	}
}

// TestHashing shows what it costs to hash 1 GiB.
func TestHashing(t *testing.T) {
	if testing.Short() {
		t.Skip("it hashes 1 GiB")
	}
	w := newWorld(t, emulator.Options{})
	const files, size = 128, 8 << 20
	w.write(pages(files))
	for path := range pages(files) {
		// The rest of the file is a hole, which reads as zeros.
		if err := os.Truncate(filepath.Join(w.folder, filepath.FromSlash(path)), size); err != nil {
			t.Fatal(err)
		}
	}
	command := w.command("--dry-run")
	output, err := command.CombinedOutput()
	if command.ProcessState.ExitCode() != 4 || !strings.Contains(string(output), "Hashing: 128 of 128 files, 1.1 GB of 1.1 GB.") {
		t.Fatalf("%v: %s", err, output)
	}
	usage := command.ProcessState.SysUsage().(*syscall.Rusage)
	spent := command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	t.Logf("%s of processor time, %d MiB", spent, usage.Maxrss>>10)
	// The promise. The machine's other work does not count.
	if spent > time.Minute {
		t.Errorf("hashing 1 GiB took %s of processor time, want at most a minute", spent)
	}
}

func TestGuards(t *testing.T) {
	for name, test := range map[string]struct {
		documents map[string]string
		flags     []string
		code      int
		reason    string
		left      int
	}{
		"a quarter":            {pages(6), []string{"--max-prune=25%"}, 0, "", 6},
		"more than a quarter":  {pages(5), []string{"--max-prune=25%"}, 3, "3 of 8 documents would be removed, but the limit is 25%: set --max-prune", 8},
		"a number":             {pages(5), []string{"--max-prune=3"}, 0, "", 5},
		"an empty folder":      {nil, []string{"--max-prune=100%", "--allow-empty=false"}, 3, "the folder has no documents, so all 8 of the vector store would be removed: set --allow-empty", 8},
		"an empty folder, yes": {nil, []string{"--max-prune=100%"}, 0, "", 0},
		"not pruned":           {nil, []string{"--prune=false"}, 0, "", 8},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, emulator.Options{})
			w.write(pages(8))
			w.mustRun()
			w.write(test.documents)
			if code := 4; test.code != 0 {
				if _, got := w.run(append(test.flags, "--dry-run")...); got != test.code {
					t.Errorf("the dry run exited with %d, want %d", got, test.code)
				}
			} else if test.left < 8 {
				if _, got := w.run(append(test.flags, "--dry-run")...); got != code {
					t.Errorf("the dry run exited with %d, want %d", got, code)
				}
			}
			w.calls()
			output, code := w.run(test.flags...)
			if code != test.code || !strings.Contains(output, test.reason) {
				t.Errorf("it exited with %d, want %d, and printed\n%s", code, test.code, output)
			}
			if counts := w.calls(); test.code != 0 && len(counts) != 2 {
				t.Errorf("a refused run made the calls %v", counts)
			}
			if left := len(w.list("/vector_stores/" + store + "/files")); left != test.left {
				t.Errorf("%d files are left, want %d", left, test.left)
			}
		})
	}
}

// TestListings shows that a listing that is empty, cut off or failing removes nothing.
func TestListings(t *testing.T) {
	page := func(body string) func(http.ResponseWriter, *http.Request) bool {
		return func(rw http.ResponseWriter, r *http.Request) bool {
			isList := r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/files") && strings.Contains(r.URL.Path, store)
			if isList {
				rw.Header().Set("Content-Type", "application/json")
				if body == "" {
					rw.WriteHeader(http.StatusInternalServerError)
				}
				_, _ = io.WriteString(rw, body)
			}
			return isList
		}
	}
	for name, test := range map[string]struct{ body, reason string }{
		"empty":   {`{"object":"list","data":[],"has_more":false}`, "the vector store counts 5 files, but lists 0"},
		"null":    {`{"object":"list","data":null,"has_more":false}`, "the vector store counts 5 files, but lists 0"},
		"no end":  {`{"object":"list","data":[],"has_more":true}`, "the vector store counts 5 files, but lists 0"},
		"invalid": {`{"object":"list"}`, "returned an invalid response"},
		"failing": {"", "500 Internal Server Error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, emulator.Options{}, "--attempts=2")
			w.write(pages(5))
			w.mustRun()
			w.write(pages(4))
			w.answer = page(test.body)
			w.calls()
			output, code := w.run()
			if code != 1 || !strings.Contains(output, test.reason) {
				t.Errorf("it exited with %d, and printed\n%s", code, output)
			}
			for operation := range w.calls() {
				if operation != string(emulator.RetrieveStore) {
					t.Errorf("it made the call %s", operation)
				}
			}
		})
	}
}

// TestAttributesNotKept shows that a server that does not keep attributes is noticed, and that not even
// runs without a record fill it.
func TestAttributesNotKept(t *testing.T) {
	for name, behaviors := range map[string]emulator.Behaviors{
		"dropped":         {AttributesDropped: true},
		"lower case":      {AttributesLowered: true},
		"updates dropped": {FilesIgnored: true, UpdatesDropped: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, emulator.Options{Settings: emulator.Settings{Behaviors: behaviors}})
			w.write(map[string]string{"Guide.md": "Guide.", "FAQ.md": "FAQ."})
			for range 3 {
				output, code := w.run()
				if code != 3 || !strings.Contains(output, "Without its attributes, each run would upload the file again") {
					t.Errorf("it exited with %d, and printed\n%s", code, output)
				}
				w.home = t.TempDir()
			}
			if files, uploads := w.list("/vector_stores/"+store+"/files"), w.list("/files"); len(files) > 2 || len(uploads) > 2 {
				t.Errorf("after three runs, there are %d files in the vector store and %d uploads", len(files), len(uploads))
			}
		})
	}
}

// TestForeignFiles shows that files of other owners, and without one, stay.
func TestForeignFiles(t *testing.T) {
	w := newWorld(t, emulator.Options{})
	for i, attributes := range []map[string]any{nil, {"path": "guide.md"}, {"path": "guide.md", "vsfb": "prod/other@sha256:abc"}, {"vsfb": "prod/handbook"}} {
		id := w.upload(fmt.Sprintf("guide-%d.md", i), "Guide.")
		body, _ := json.Marshal(map[string]any{"file_id": id, "attributes": attributes})
		w.call(http.MethodPost, "/vector_stores/"+store+"/files", string(body), &struct{}{})
	}
	before := fmt.Sprint(w.list("/vector_stores/" + store + "/files"))
	w.write(map[string]string{"guide.md": "Guide."})
	w.mustRun()
	if files := w.list("/vector_stores/" + store + "/files"); len(files) != 5 {
		t.Errorf("the vector store has %v", files)
	}
	w.write(nil)
	w.mustRun()
	if after := fmt.Sprint(w.list("/vector_stores/" + store + "/files")); after != before {
		t.Errorf("foreign files changed:\n%s\nwas\n%s", after, before)
	}
}

// TestLeftOut shows that files that cannot be uploaded are named, and that their earlier versions stay.
func TestLeftOut(t *testing.T) {
	w := newWorld(t, emulator.Options{Settings: emulator.Settings{Behaviors: emulator.Behaviors{FailingContent: []string{"broken_pdf"}}}})
	w.write(map[string]string{"a.md": "A.", "b.md": "B.", "lfs.pdf": "%PDF-", "hidden.md": "Hidden."})
	// The emulator fails a PDF that is none.
	if output, code := w.run(); code != 2 || !strings.Contains(output, "1 failed") {
		t.Fatalf("it exited with %d, and printed\n%s", code, output)
	}
	if _, code := w.run(); code != 2 {
		t.Errorf("the second run exited with %d", code)
	}
	if uploads := len(w.list("/files")); uploads != 4 {
		t.Errorf("there are %d uploads, want 4: a file that failed is not uploaded again", uploads)
	}
	w.write(map[string]string{"a.md": "A2.", "image.png": "x", ".hidden.md": "x", "drafts/d.md": "D."})
	for name, content := range map[string]string{
		"b.md": "", "lfs.pdf": "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n", ".vsfbignore": "drafts/\n",
	} {
		if err := os.WriteFile(filepath.Join(w.folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(w.folder, "link.md")); err != nil {
		t.Fatal(err)
	}
	w.wantLeftOut()
	w.wantKept()
}

// wantLeftOut requires that a dry run names each file that is left out.
func (w *world) wantLeftOut() {
	w.Helper()
	planned, code := w.report("--dry-run")
	if code != 4 || planned.Result != "would change" {
		w.Errorf("the dry run exited with %d: %+v", code, planned)
	}
	reasons := map[string]string{}
	for _, l := range planned.LeftOut {
		reasons[l.Path], _, _ = strings.Cut(l.Reason, " (")
	}
	want := map[string]string{
		"image.png": "unsupported extension", ".hidden.md": "hidden", "drafts/": "excluded", "b.md": "empty",
		"lfs.pdf": "Git LFS pointer", "link.md": "link leaves the folder",
	}
	if diff := cmp.Diff(want, reasons); diff != "" {
		w.Errorf("left out (-want +got):\n%s", diff)
	}
}

// wantKept requires that a run removes and updates what it can read only.
func (w *world) wantKept() {
	w.Helper()
	changed, code := w.report()
	if code != 2 || changed.Summary["updated"] != 1 || changed.Summary["removed"] != 1 || changed.Summary["leftOut"] != 4 || changed.Summary["kept"] != 2 {
		w.Errorf("the run exited with %d: %+v", code, changed)
	}
	paths := map[string]bool{}
	for _, f := range w.list("/vector_stores/" + store + "/files") {
		paths[f.Attributes["path"].(string)] = true
	}
	if diff := cmp.Diff(map[string]bool{"a.md": true, "b.md": true, "lfs.pdf": true}, paths); diff != "" {
		w.Errorf("the vector store has (-want +got):\n%s", diff)
	}
}

func TestFailedDocument_OldVersionStays(t *testing.T) {
	w := newWorld(t, emulator.Options{})
	w.write(map[string]string{"a.md": "First.", "b.md": "B."})
	w.mustRun()
	w.require(map[string]bool{"a.md": true, "b.md": true})
	w.emulator.AddFault(emulator.Fault{Operation: emulator.Upload, Times: 1, Status: http.StatusBadRequest, Body: emulator.OpenAIError("invalid_request_error", "", "Not today.")})
	w.write(map[string]string{"a.md": "Second.", "b.md": "B."})
	got, code := w.report()
	if code != 2 || got.Summary["failed"] != 1 || len(got.Changes) != 1 || !strings.Contains(got.Changes[0].Reason, "Not today.") {
		t.Errorf("it exited with %d: %+v", code, got)
	}
	w.wantEqual(map[string]string{"a.md": "First.", "b.md": "B."}, map[string]any{})
	w.mustRun()
	w.wantEqual(map[string]string{"a.md": "Second.", "b.md": "B."}, map[string]any{})
}

// TestLostUploads shows that a run reports the uploads of which the API can have one more.
func TestLostUploads(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		w := newWorld(t, emulator.Options{})
		documents := map[string]string{"a.md": "A.", "b.md": "B.", "sub/c.md": "C."}
		w.write(documents)
		w.emulator.AddFault(emulator.Fault{Operation: emulator.Upload, Times: 2, Action: emulator.Drop, AfterEffect: true})
		// The server lists no uploads for a while.
		w.answer = func(rw http.ResponseWriter, r *http.Request) bool {
			isList := r.Method == http.MethodGet && r.URL.Path == "/v1/files"
			if isList {
				rw.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(rw, `{"object":"list","data":[],"has_more":false}`)
			}
			return isList
		}
		if format == "json" {
			got, code := w.report()
			if code != 0 || len(got.Lost) != 2 || got.Summary["lostUploads"] != 2 || got.Summary["added"] != 3 {
				t.Errorf("it exited with %d: %+v", code, got)
			}
			for _, path := range got.Lost {
				if documents[path] == "" {
					t.Errorf("%q is no document", path)
				}
			}
		} else if output := w.mustRun(); !strings.Contains(output, "The response to 2 uploads was lost, and no file was listed for it, so the list of files can have one more for each: ") {
			t.Errorf("it printed\n%s", output)
		}
		if uploads := len(w.list("/files")); uploads != 5 {
			t.Errorf("there are %d uploads, want 2 more than documents", uploads)
		}
		if files := len(w.list("/vector_stores/" + store + "/files")); files != 3 {
			t.Errorf("the vector store has %d files", files)
		}
		w.answer = nil
		if again, code := w.report(); code != 0 || len(again.Lost) != 0 || len(w.list("/files")) != 5 {
			t.Errorf("the second run exited with %d: %+v", code, again)
		}
	}
}

// TestFailedRun_IsContinued shows that a run that fails after its uploads names the next step, and that the next
// run deletes the uploads that are no longer needed.
func TestFailedRun_IsContinued(t *testing.T) {
	w := newWorld(t, emulator.Options{})
	w.write(pages(4))
	w.emulator.AddFault(emulator.Fault{Operation: emulator.Create, Times: 1, Status: http.StatusUnauthorized})
	output, code := w.run()
	if uploads := len(w.list("/files")); code != 1 || uploads != 4 || !strings.Contains(output, "run the same command again to continue: it uploads nothing twice") {
		t.Errorf("after %d uploads it exited with %d, and printed\n%s", uploads, code, output)
	}
	w.write(pages(3))
	w.calls()
	w.mustRun()
	if uploads := w.calls()[string(emulator.Upload)]; uploads != 0 {
		t.Errorf("the second run uploaded %d files", uploads)
	}
	w.wantEqual(pages(3), map[string]any{})
}

// TestRefusedBatch shows that one file that the server refuses does not keep the others out.
func TestRefusedBatch(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "--allow-extension=csv")
	documents := pages(9)
	w.write(documents)
	if err := os.WriteFile(filepath.Join(w.folder, "table.csv"), []byte("a,b"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, code := w.report()
	if code != 2 || got.Summary["added"] != 9 || got.Summary["failed"] != 1 {
		t.Errorf("it exited with %d: %+v", code, got)
	}
	if files := w.list("/vector_stores/" + store + "/files"); len(files) != 9 {
		t.Errorf("the vector store has %d files, want 9", len(files))
	}
	if _, code := w.report(); code != 2 {
		t.Errorf("the second run exited with %d", code)
	}
	if uploads := w.list("/files"); len(uploads) != 10 {
		t.Errorf("there are %d uploads, want 10", len(uploads))
	}
}

func TestInterrupted(t *testing.T) {
	w := newWorld(t, emulator.Options{Settings: emulator.Settings{Pace: 50 * time.Millisecond}})
	w.write(pages(60))
	command := w.command()
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	for len(w.emulator.Calls(emulator.Create)) == 0 && t.Context().Err() == nil {
		select { // poll
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err == nil || command.ProcessState.ExitCode() != 130 || !strings.Contains(output.String(), "interrupted; run the same command again to continue") {
		t.Errorf("it exited with %v, and printed\n%s", command.ProcessState, output.String())
	}
	w.mustRun()
	w.wantEqual(pages(60), map[string]any{})
	if creates := len(w.emulator.Calls(emulator.Create)); creates != 1 {
		t.Errorf("%d batches were created, want 1", creates)
	}
}
