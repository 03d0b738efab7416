// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

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
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream/openai"
)

// world is an upstream, a folder with files, and a journal.
type world struct {
	*testing.T
	upstream *emulator.Server
	client   *openai.Client
	folder   string
	journal  string

	mu    sync.Mutex
	notes []string
}

func newWorld(t *testing.T, files map[string]string) *world {
	t.Helper()
	w := &world{T: t, upstream: emulator.New(emulator.Options{}), folder: t.TempDir()}
	w.journal = filepath.Join(t.TempDir(), "state", "journal")
	server := httptest.NewServer(w.upstream)
	t.Cleanup(server.Close)
	client, err := openai.Dial(upstream.Connection{BaseURL: server.URL + "/v1", APIKey: "sk-test"},
		openai.Options{Endpoints: upstream.EndpointPolicy{AllowInsecure: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	w.client = client
	for name, text := range files {
		w.write(name, text)
	}
	return w
}

func (w *world) write(name, text string) {
	w.Helper()
	path := filepath.Join(w.folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

// run uploads the folder, as a new process would, with a client of its own where it is given one.
func (w *world) run(ctx context.Context, client upstream.Uploader) ([]string, error) {
	w.Helper()
	files, _, err := Find([]string{w.folder})
	if err != nil {
		w.Fatal(err)
	}
	journal, err := OpenJournal(w.journal)
	if err != nil {
		w.Fatal(err)
	}
	defer closed(w.T, journal)
	if client == nil {
		client = w.client
	}
	u := Uploader{
		Client: client, Journal: journal, Concurrency: 4, Attempts: 3, Settle: 300 * time.Millisecond,
		Uploaded: func(File, bool) {},
		Note: func(format string, args ...any) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.notes = append(w.notes, fmt.Sprintf(format, args...))
		},
	}
	return u.Run(ctx, files)
}

func (w *world) mustRun() []string {
	w.Helper()
	ids, err := w.run(w.Context(), nil)
	if err != nil {
		w.Fatalf("%v; notes: %q", err, w.notes)
	}
	return ids
}

// wantUploads demands that the upstream has so many files.
func (w *world) wantUploads(want int) {
	w.Helper()
	files, err := w.client.Uploads(w.Context(), time.Time{})
	if err != nil {
		w.Fatal(err)
	}
	if len(files) != want {
		w.Errorf("the upstream has %d files, want %d; notes: %q", len(files), want, w.notes)
	}
}

func some(count int) map[string]string {
	files := map[string]string{}
	for i := range count {
		files[fmt.Sprintf("%02d.md", i)] = strings.Repeat("x", i+1)
	}
	return files
}

func TestFilesAreUploadedOnceInTheirOrder(t *testing.T) {
	w := newWorld(t, some(20))
	ids := w.mustRun()
	files, err := w.client.Uploads(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if i := slices.Index(ids, file.ID); i < 0 || file.Name != fmt.Sprintf("%02d.md", i) || file.Size != int64(i+1) {
			t.Errorf("%+v is number %d of the files", file, i)
		}
	}
	w.wantUploads(20)
	if again := w.mustRun(); !slices.Equal(ids, again) {
		t.Errorf("the second run gives %v, and the first %v", again, ids)
	}
	w.wantUploads(20)
}

func TestOnlyWhatChangedIsUploadedAgain(t *testing.T) {
	w := newWorld(t, some(5))
	before := w.mustRun()
	w.write("01.md", "yy") // of the same size
	w.write("new.md", "new")
	after := w.mustRun()
	w.wantUploads(7)
	if before[0] != after[0] || before[1] == after[1] || len(after) != 6 {
		t.Errorf("the IDs were %v, and are %v", before, after)
	}
}

func TestFilesOfTheSameNameSizeAndContentAreDifferentFiles(t *testing.T) {
	w := newWorld(t, map[string]string{"a/index.md": "same", "b/index.md": "same", "c/index.md": "else"})
	ids := w.mustRun()
	w.wantUploads(3)
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 3 {
		t.Errorf("the IDs are %v", ids)
	}
}

func TestAnUploadWhoseAnswerIsLostIsFound(t *testing.T) {
	for name, fault := range map[string]emulator.Fault{
		"server error": {Status: http.StatusInternalServerError},
		"broken":       {Action: emulator.Drop},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, some(6))
			fault.Operation, fault.Times, fault.AfterEffect = emulator.Upload, 3, true
			w.upstream.AddFault(fault)
			w.mustRun()
			w.wantUploads(6)
		})
	}
}

func TestAnUploadThatFailsForAWhileIsTriedAgain(t *testing.T) {
	for name, fault := range map[string]emulator.Fault{
		"rate limit":   {Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "1"}},
		"server error": {Status: http.StatusBadGateway},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, some(6))
			fault.Operation, fault.Times = emulator.Upload, 2
			w.upstream.AddFault(fault)
			w.mustRun()
			w.wantUploads(6)
		})
	}
}

func TestWhatWaitingDoesNotHelpEndsTheRun(t *testing.T) {
	for name, fault := range map[string]emulator.Fault{
		"refused":     {Status: http.StatusBadRequest, Body: emulator.OpenAIError("invalid_request_error", "", "No such purpose.")},
		"key refused": {Status: http.StatusUnauthorized, Body: emulator.OpenAIError("invalid_request_error", "", "No such purpose.")},
		"quota":       {Status: http.StatusTooManyRequests, Body: emulator.OpenAIError("insufficient_quota", "insufficient_quota", "No such purpose.")},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, some(30))
			fault.Operation, fault.Times = emulator.Upload, 1
			w.upstream.AddFault(fault)
			_, err := w.run(t.Context(), nil)
			if err == nil || !strings.Contains(err.Error(), ".md: No such purpose.") {
				t.Errorf("error is %v, want the file's name and the upstream's message", err)
			}
			w.mustRun()
			w.wantUploads(30)
		})
	}
}

// dying takes the process's answers away: it cuts the context off after some uploads.
type dying struct {
	upstream.Uploader
	die   context.CancelFunc
	after int

	mu    sync.Mutex
	count int
}

func (d *dying) Upload(ctx context.Context, request upstream.UploadRequest) (upstream.UploadedFile, error) {
	file, err := d.Uploader.Upload(ctx, request)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.count++; d.count > d.after {
		d.die()
		return upstream.UploadedFile{}, context.Canceled
	}
	return file, err
}

func TestARunThatWasCutOffUploadsNothingTwice(t *testing.T) {
	for after := range 10 {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			w := newWorld(t, some(10))
			ctx, die := context.WithCancel(t.Context())
			if _, err := w.run(ctx, &dying{Uploader: w.client, die: die, after: after}); !errors.Is(err, context.Canceled) {
				t.Fatalf("the run ended with %v", err)
			}
			w.mustRun()
			w.wantUploads(10)
		})
	}
}

func TestAFileOfSomebodyElseIsNotTaken(t *testing.T) {
	w := newWorld(t, map[string]string{"a.md": "mine"})
	// It is there before the run, and looks the same.
	theirs, err := w.client.Upload(t.Context(), upstream.UploadRequest{Name: "a.md", Size: 4, Content: strings.NewReader("else")})
	if err != nil {
		t.Fatal(err)
	}
	w.upstream.AddFault(emulator.Fault{Operation: emulator.Upload, Times: 1, Status: http.StatusInternalServerError})
	if ids := w.mustRun(); ids[0] == theirs.ID {
		t.Errorf("%s was there before", theirs.ID)
	}
	w.wantUploads(2)
}

func TestWhatIsGoneUpstreamIsUploadedAgain(t *testing.T) {
	w := newWorld(t, some(3))
	before := w.mustRun()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodDelete, "/v1/files/"+before[1], nil)
	request.Header.Set("Authorization", "Bearer sk-test")
	answer := httptest.NewRecorder()
	w.upstream.ServeHTTP(answer, request)
	if answer.Code != http.StatusOK {
		t.Fatalf("deleting answered %d", answer.Code)
	}
	after := w.mustRun()
	w.wantUploads(3)
	if after[0] != before[0] || after[1] == before[1] {
		t.Errorf("the IDs were %v, and are %v", before, after)
	}
}

// writing changes a file while it is sent.
type writing struct {
	upstream.Uploader
	change func()
}

func (c *writing) Upload(ctx context.Context, request upstream.UploadRequest) (upstream.UploadedFile, error) {
	c.change()
	return c.Uploader.Upload(ctx, request)
}

func TestAFileThatChangesMeanwhileIsNotTaken(t *testing.T) {
	w := newWorld(t, map[string]string{"a.md": "one"})
	_, err := w.run(t.Context(), &writing{w.client, func() { w.write("a.md", "two") }})
	if err == nil || !strings.Contains(err.Error(), "changed meanwhile") {
		t.Fatalf("error is %v", err)
	}
	w.mustRun()
	w.wantUploads(2)
}
