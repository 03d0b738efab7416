// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package upload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/scan"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream/openai"
)

// fixture is an OpenAI emulator, a directory with files, and a journal.
type fixture struct {
	*testing.T
	emulator *emulator.Server
	client   *openai.Client
	dir      string
	journal  string
	account  string

	mu      sync.Mutex
	logs    []string
	refused []string
	lost    []string
}

func newFixture(t *testing.T, files map[string]string) *fixture {
	t.Helper()
	return newFixtureOf(t, emulator.Options{}, files)
}

func newFixtureOf(t *testing.T, options emulator.Options, files map[string]string) *fixture {
	t.Helper()
	f := &fixture{T: t, emulator: emulator.New(options), dir: t.TempDir(), account: "a"}
	f.journal = filepath.Join(t.TempDir(), "state", "journal")
	server := httptest.NewServer(f.emulator)
	t.Cleanup(server.Close)
	client, err := openai.Dial(upstream.Connection{BaseURL: server.URL + "/v1", APIKey: "sk-test"},
		openai.Options{Endpoints: upstream.EndpointPolicy{AllowInsecure: true}, Addresses: upstream.AnyAddress()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	f.client = client
	for name, text := range files {
		f.write(name, text)
	}
	return f
}

func (f *fixture) write(name, text string) {
	f.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
}

// run uploads the directory as a new process does. A nil client selects the fixture's.
func (f *fixture) run(ctx context.Context, client upstream.Uploader) ([]string, error) {
	f.Helper()
	found, err := Find(ctx, []string{f.dir}, scan.Options{})
	if err != nil {
		f.Fatal(err)
	}
	defer func() { _ = found.Close() }()
	journal, err := OpenJournal(f.journal, f.account)
	if err != nil {
		f.Fatal(err)
	}
	defer mustClose(f.T, journal)
	if client == nil {
		client = f.client
	}
	u := Uploader{
		Client: client, Journal: journal, Concurrency: 4, Attempts: 3, SettleTime: 300 * time.Millisecond,
		OnUploaded: func(File, bool) {},
		OnRefused: func(file File, err error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.refused = append(f.refused, filepath.Base(file.Path)+": "+err.Error())
		},
		OnLost: func(path string) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.lost = append(f.lost, filepath.Base(path))
		},
		Logf: func(format string, args ...any) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.logs = append(f.logs, fmt.Sprintf(format, args...))
		},
	}
	return u.Run(ctx, found.Files)
}

func (f *fixture) mustRun() []string {
	f.Helper()
	ids, err := f.run(f.Context(), nil)
	if err != nil {
		f.Fatalf("%v; log: %q", err, f.logs)
	}
	return ids
}

// wantUploads reports an error unless the API has that number of files.
func (f *fixture) wantUploads(want int) {
	f.Helper()
	files, err := f.client.Uploads(f.Context(), time.Time{})
	if err != nil {
		f.Fatal(err)
	}
	if len(files) != want {
		f.Errorf("the API has %d files, want %d; log: %q", len(files), want, f.logs)
	}
}

func testFiles(count int) map[string]string {
	files := map[string]string{}
	for i := range count {
		files[fmt.Sprintf("%02d.md", i)] = strings.Repeat("x", i+1)
	}
	return files
}

func TestUploader_ReturnsIDsInOrder(t *testing.T) {
	f := newFixture(t, testFiles(20))
	ids := f.mustRun()
	files, err := f.client.Uploads(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if i := slices.Index(ids, file.ID); i < 0 || file.Name != fmt.Sprintf("%02d.md", i) || file.Size != int64(i+1) {
			t.Errorf("%+v has index %d of the returned IDs", file, i)
		}
	}
	f.wantUploads(20)
	if again := f.mustRun(); !slices.Equal(ids, again) {
		t.Errorf("second run returned %v, want %v", again, ids)
	}
	f.wantUploads(20)
}

func TestUploader_ChangedFiles(t *testing.T) {
	f := newFixture(t, testFiles(5))
	before := f.mustRun()
	f.write("01.md", "yy") // same size
	f.write("new.md", "new")
	after := f.mustRun()
	f.wantUploads(7)
	if before[0] != after[0] || before[1] == after[1] || len(after) != 6 {
		t.Errorf("IDs before = %v, after = %v", before, after)
	}
}

func TestUploader_SameNameAndContent(t *testing.T) {
	f := newFixture(t, map[string]string{"a/index.md": "same", "b/index.md": "same", "c/index.md": "else"})
	ids := f.mustRun()
	f.wantUploads(3)
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 3 {
		t.Errorf("IDs = %v, want 3 different ones", ids)
	}
}

func TestUploader_LostResponse(t *testing.T) {
	for name, fault := range map[string]emulator.Fault{
		"server error": {Status: http.StatusInternalServerError},
		"disconnect":   {Action: emulator.Drop},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, testFiles(6))
			fault.Operation, fault.Times, fault.AfterEffect = emulator.Upload, 3, true
			f.emulator.AddFault(fault)
			f.mustRun()
			f.wantUploads(6)
			if len(f.lost) > 0 {
				t.Errorf("%q count as lost, but are listed", f.lost)
			}
		})
	}
}

// unlisted is a server that lists no files.
type unlisted struct{ upstream.Uploader }

func (unlisted) Uploads(context.Context, time.Time) ([]upstream.UploadedFile, error) { return nil, nil }

func TestUploader_ReportsLostUploads(t *testing.T) {
	f := newFixture(t, testFiles(6))
	f.emulator.AddFault(emulator.Fault{Operation: emulator.Upload, Times: 2, AfterEffect: true, Action: emulator.Drop})
	if _, err := f.run(t.Context(), unlisted{f.client}); err != nil {
		t.Fatal(err)
	}
	f.wantUploads(6 + len(f.lost))
	if len(f.lost) != 2 {
		t.Errorf("lost = %q, want 2 files", f.lost)
	}
}

// TestUploader_ReportsLostUploadsOfKilledRun interrupts a run whose files the next one does not find.
func TestUploader_ReportsLostUploadsOfKilledRun(t *testing.T) {
	f := newFixture(t, testFiles(3))
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := f.run(ctx, &interruptingUploader{Uploader: f.client, cancel: cancel}); !errors.Is(err, context.Canceled) {
		t.Fatalf("run returned %v, want context.Canceled", err)
	}
	if _, err := f.run(t.Context(), unlisted{f.client}); err != nil {
		t.Fatal(err)
	}
	files, err := f.client.Uploads(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	// The first upload took effect, and those beside it may have.
	if lost := len(files) - 3; lost < 1 || len(f.lost) < lost || len(f.lost) > 3 {
		t.Errorf("lost = %q, and the API has %d files more than the folder", f.lost, lost)
	}
}

// TestUploader_ReportsLostUploadsOfFailedRun shows that the last attempt of a run counts too.
func TestUploader_ReportsLostUploadsOfFailedRun(t *testing.T) {
	f := newFixture(t, testFiles(1))
	f.emulator.AddFault(emulator.Fault{Operation: emulator.Upload, Times: 3, AfterEffect: true, Action: emulator.Drop})
	if _, err := f.run(t.Context(), unlisted{f.client}); err == nil {
		t.Error("the run did not fail")
	}
	f.wantUploads(3)
	if len(f.lost) != 3 {
		t.Errorf("lost = %q, want 3 times the file", f.lost)
	}
}

func TestUploader_RetriesTransientError(t *testing.T) {
	for name, fault := range map[string]emulator.Fault{
		"rate limit":   {Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "1"}},
		"server error": {Status: http.StatusBadGateway},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, testFiles(6))
			fault.Operation, fault.Times = emulator.Upload, 2
			f.emulator.AddFault(fault)
			f.mustRun()
			f.wantUploads(6)
		})
	}
}

func TestUploader_PermanentError(t *testing.T) {
	for name, fault := range map[string]emulator.Fault{
		"unauthorized": {Status: http.StatusUnauthorized, Body: emulator.OpenAIError("invalid_request_error", "", "No such purpose.")},
		"quota":        {Status: http.StatusTooManyRequests, Body: emulator.OpenAIError("insufficient_quota", "insufficient_quota", "No such purpose.")},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, testFiles(30))
			fault.Operation, fault.Times = emulator.Upload, 1
			f.emulator.AddFault(fault)
			_, err := f.run(t.Context(), nil)
			if err == nil || !strings.Contains(err.Error(), ".md: No such purpose.") {
				t.Errorf("error = %v, want the name of the file and the message of the API", err)
			}
			f.mustRun()
			f.wantUploads(30)
		})
	}
}

// interruptingUploader cancels the context and drops the responses after a number of uploads.
type interruptingUploader struct {
	upstream.Uploader
	cancel context.CancelFunc
	after  int

	mu    sync.Mutex
	count int
}

func (i *interruptingUploader) Upload(ctx context.Context, request upstream.UploadRequest) (upstream.UploadedFile, error) {
	file, err := i.Uploader.Upload(ctx, request)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.count++; i.count > i.after {
		i.cancel()
		return upstream.UploadedFile{}, context.Canceled
	}
	return file, err
}

func TestUploader_Interrupted(t *testing.T) {
	for after := range 10 {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			f := newFixture(t, testFiles(10))
			ctx, cancel := context.WithCancel(t.Context())
			if _, err := f.run(ctx, &interruptingUploader{Uploader: f.client, cancel: cancel, after: after}); !errors.Is(err, context.Canceled) {
				t.Fatalf("run returned %v, want context.Canceled", err)
			}
			f.mustRun()
			f.wantUploads(10)
		})
	}
}

func TestUploader_FileOfAnotherClient(t *testing.T) {
	f := newFixture(t, map[string]string{"a.md": "mine"})
	// It exists before the run, with the same name and size.
	other, err := f.client.Upload(t.Context(), upstream.UploadRequest{Name: "a.md", Size: 4, Content: strings.NewReader("else")})
	if err != nil {
		t.Fatal(err)
	}
	f.emulator.AddFault(emulator.Fault{Operation: emulator.Upload, Times: 1, Status: http.StatusInternalServerError})
	if ids := f.mustRun(); ids[0] == other.ID {
		t.Errorf("run returned %s, which another client uploaded", other.ID)
	}
	f.wantUploads(2)
}

func TestUploader_DeletedFile(t *testing.T) {
	f := newFixture(t, testFiles(3))
	before := f.mustRun()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodDelete, "/v1/files/"+before[1], nil)
	request.Header.Set("Authorization", "Bearer sk-test")
	response := httptest.NewRecorder()
	f.emulator.ServeHTTP(response, request)
	if response.Code != http.StatusOK {
		t.Fatalf("DELETE returned %d", response.Code)
	}
	after := f.mustRun()
	f.wantUploads(3)
	if after[0] != before[0] || after[1] == before[1] {
		t.Errorf("IDs before = %v, after = %v", before, after)
	}
}

// modifyingUploader modifies a file during its upload.
type modifyingUploader struct {
	upstream.Uploader
	modify func()
}

func (m *modifyingUploader) Upload(ctx context.Context, request upstream.UploadRequest) (upstream.UploadedFile, error) {
	m.modify()
	return m.Uploader.Upload(ctx, request)
}

func TestUploader_FileChangesDuringUpload(t *testing.T) {
	for text, want := range map[string]string{"two": "changed during the upload", "to": "became shorter"} {
		f := newFixture(t, map[string]string{"a.md": "one"})
		ids, err := f.run(t.Context(), &modifyingUploader{f.client, func() { f.write("a.md", text) }})
		if err != nil || ids[0] != "" || len(f.refused) != 1 || !strings.Contains(f.refused[0], want) {
			t.Fatalf("%s: IDs = %q, error = %v, refused = %q", text, ids, err, f.refused)
		}
		if ids := f.mustRun(); ids[0] == "" {
			t.Errorf("%s: the next run does not upload the file", text)
		}
		f.wantUploads(1) // the journal knows what was sent
	}
}

func TestUploader_RefusedFile(t *testing.T) {
	f := newFixture(t, testFiles(30))
	f.emulator.AddFault(emulator.Fault{
		Operation: emulator.Upload, Times: 3, Status: http.StatusBadRequest, Body: emulator.OpenAIError("invalid_request_error", "", "No."),
	})
	ids := f.mustRun()
	missing := 0
	for _, id := range ids {
		if id == "" {
			missing++
		}
	}
	if missing != 3 || len(f.refused) != 3 || !strings.Contains(f.refused[0], ".md: No. (HTTP 400") {
		t.Errorf("%d files have no ID, refused = %q", missing, f.refused)
	}
	f.wantUploads(27)
	f.mustRun()
	f.wantUploads(30)
}

func TestUploader_EveryFileRefused(t *testing.T) {
	f := newFixture(t, testFiles(100))
	f.emulator.AddFault(emulator.Fault{
		Operation: emulator.Upload, Times: 1000, Status: http.StatusBadRequest, Body: emulator.OpenAIError("invalid_request_error", "", "No."),
	})
	if _, err := f.run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "in a row were refused, the last one with: No.") {
		t.Errorf("error = %v, want that uploads in a row were refused", err)
	}
	if calls := len(f.emulator.Calls(emulator.Upload)); calls > 30 {
		t.Errorf("%d files were sent", calls)
	}
}

func TestUploader_Quota(t *testing.T) {
	f := newFixtureOf(t, emulator.Options{Profile: emulator.ProfileAzure, Settings: emulator.Settings{Behaviors: emulator.Behaviors{BasePath: "/v1", FileQuota: 5}}}, testFiles(10))
	if _, err := f.run(t.Context(), nil); !errors.Is(err, ErrQuota) || len(f.refused) != 0 {
		t.Errorf("error = %v, refused = %q, want ErrQuota", err, f.refused)
	}
	f.wantUploads(5)
}

func TestUploader_UnreadableFile(t *testing.T) {
	f := newFixture(t, testFiles(3))
	found, err := Find(t.Context(), []string{f.dir}, scan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = found.Close() }()
	if err := os.Remove(found.Files[1].Path); err != nil {
		t.Fatal(err)
	}
	journal := mustOpen(t, f.journal)
	defer mustClose(t, journal)
	var refused []string
	u := Uploader{
		Client: f.client, Journal: journal, Concurrency: 4, Attempts: 3, OnUploaded: func(File, bool) {}, Logf: t.Logf,
		OnRefused: func(file File, _ error) { refused = append(refused, file.Path) }, OnLost: func(string) {},
	}
	ids, err := u.Run(t.Context(), found.Files)
	if err != nil || ids[0] == "" || ids[1] != "" || ids[2] == "" || !slices.Equal(refused, []string{found.Files[1].Path}) {
		t.Errorf("IDs = %q, error = %v, refused = %q", ids, err, refused)
	}
}

// TestUploader_RenamedByServer interrupts uploads to a server that changes the names of files.
func TestUploader_RenamedByServer(t *testing.T) {
	files := map[string]string{
		"Über uns.md": "1234", "über-uns.md": "1234", "日本.md": "1234", "中国.md": "1234", "caf\xe9.md": "1234", ".md/caf\xff.md": "1234",
		"a b..c.md": "12345", "Bericht (Entwurf).PDF": "123456",
	}
	for _, names := range []string{"ascii", "path", "base"} {
		for after := range len(files) {
			t.Run(fmt.Sprint(names, after), func(t *testing.T) {
				f := newFixtureOf(t, emulator.Options{Settings: emulator.Settings{Behaviors: emulator.Behaviors{FileNames: names}}}, files)
				f.write("caf\xfe.md", "1234")
				ctx, cancel := context.WithCancel(t.Context())
				if _, err := f.run(ctx, &interruptingUploader{Uploader: f.client, cancel: cancel, after: after}); !errors.Is(err, context.Canceled) {
					t.Fatalf("run returned %v, want context.Canceled", err)
				}
				f.mustRun()
				f.wantUploads(len(files)) // without the hidden file, with the additional one
				f.mustRun()
				f.wantUploads(len(files))
			})
		}
	}
}

func TestUploader_RotatedKey(t *testing.T) {
	f := newFixture(t, testFiles(10))
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := f.run(ctx, &interruptingUploader{Uploader: f.client, cancel: cancel, after: 5}); !errors.Is(err, context.Canceled) {
		t.Fatalf("run returned %v, want context.Canceled", err)
	}
	f.account = "b"
	after := f.mustRun()
	f.wantUploads(10)
	f.account = "c"
	if again := f.mustRun(); !slices.Equal(again, after) {
		t.Errorf("IDs after the rotation = %v, want %v", again, after)
	}
	f.wantUploads(10)
}

// TestUploader_KeysOfTwoProjects uses two keys in turn whose files are not visible to each other.
func TestUploader_KeysOfTwoProjects(t *testing.T) {
	f := newFixture(t, testFiles(5))
	first := f.mustRun()
	project, server := f.client, f.emulator
	other := newFixture(t, nil)
	f.client, f.emulator, f.account = other.client, other.emulator, "b"
	second := f.mustRun()
	f.wantUploads(5)
	for range 2 {
		f.client, f.emulator, f.account = project, server, "a"
		if again := f.mustRun(); !slices.Equal(again, first) {
			t.Errorf("IDs of the first project = %v, want %v", again, first)
		}
		f.wantUploads(5)
		f.client, f.emulator, f.account = other.client, other.emulator, "b"
		if again := f.mustRun(); !slices.Equal(again, second) {
			t.Errorf("IDs of the second project = %v, want %v", again, second)
		}
		f.wantUploads(5)
	}
}

func TestUploader_LongIDs(t *testing.T) {
	f := newFixtureOf(t, emulator.Options{Settings: emulator.Settings{Behaviors: emulator.Behaviors{FileIDLength: 512}}}, testFiles(3))
	ids := f.mustRun()
	if len(ids[0]) != 512 {
		t.Errorf("the ID has %d characters", len(ids[0]))
	}
	if again := f.mustRun(); !slices.Equal(ids, again) {
		t.Errorf("IDs = %q, want %q", again, ids)
	}
	f.wantUploads(3)
}
