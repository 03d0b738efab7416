// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sync_test kills the built plugin at every request of "kubectl vsfb sync", and checks that the
// next run completes what the killed one left, and that no document was missing meanwhile.
package sync_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/internal/fileset"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

const (
	key   = "sk-sync"
	store = "vs_sync"
	owner = "prod/handbook"
)

// plugin is the path of the built plugin.
var plugin string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sync-")
	if err == nil {
		err = framework.Build(context.Background(), dir, nil, "kubectl-vsfb")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	plugin = filepath.Join(dir, "kubectl-vsfb")
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// world is an emulator, a folder, and the home of a user.
type world struct {
	*testing.T
	emulator *emulator.Server
	server   *httptest.Server
	home     string
	folder   string
	flags    []string

	// mu guards what is below.
	mu sync.Mutex
	// process is the process to kill at a request, before or after the request takes effect.
	process  *os.Process
	killAt   int
	after    bool
	requests int
	// answer answers a request in place of the emulator; nil for none, and false if the emulator answers.
	answer func(http.ResponseWriter, *http.Request) bool
	// served are the paths that a search must find at any moment, and whether their documents change.
	served map[string]bool
	missed []string
}

func newWorld(t *testing.T, options emulator.Options, flags ...string) *world {
	t.Helper()
	options.APIKeys, options.VectorStores = []string{key}, []string{store}
	w := &world{T: t, emulator: emulator.New(options), home: t.TempDir(), folder: t.TempDir(), served: map[string]bool{}, flags: flags}
	w.server = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.server.Close)
	return w
}

// serve serves a request, or kills the process that sent it.
func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.requests++
	process := w.process
	kill := process != nil && w.requests == w.killAt
	w.mu.Unlock()
	w.probe(context.WithoutCancel(r.Context()))
	if w.answer != nil && w.answer(rw, r) {
		return
	}
	if !kill {
		w.emulator.ServeHTTP(rw, r)
		w.probe(context.WithoutCancel(r.Context()))
		return
	}
	if w.after {
		w.emulator.ServeHTTP(httptest.NewRecorder(), r)
		w.probe(context.WithoutCancel(r.Context()))
	}
	_ = process.Kill() // it may have exited
	panic(http.ErrAbortHandler)
}

// call calls the emulator without the network.
func (w *world) call(method, path, body string, into any) {
	w.callWith(w.Context(), method, path, body, into)
}

func (w *world) callWith(ctx context.Context, method, path, body string, into any) {
	request := httptest.NewRequestWithContext(ctx, method, "/v1"+path, strings.NewReader(body))
	request.Header.Set("Authorization", "Bearer "+key)
	response := httptest.NewRecorder()
	w.emulator.ServeHTTP(response, request)
	if response.Code != http.StatusOK {
		w.Errorf("%s %s: %d %s", method, path, response.Code, response.Body)
		return
	}
	if err := json.Unmarshal(response.Body.Bytes(), into); err != nil {
		w.Error(err)
	}
}

// probe searches each document that must be there.
func (w *world) probe(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	others := 0
	for path, changes := range w.served { // in random order
		if !changes {
			if others++; others > 10 {
				continue
			}
		}
		var page struct {
			Data []json.RawMessage `json:"data"`
		}
		w.callWith(ctx, http.MethodPost, "/vector_stores/"+store+"/search",
			fmt.Sprintf(`{"query":"document","filters":{"type":"eq","key":"path","value":%q}}`, path), &page)
		if len(page.Data) == 0 && !slices.Contains(w.missed, path) {
			w.missed = append(w.missed, path)
		}
	}
}

// write makes the folder equal to documents.
func (w *world) write(documents map[string]string) {
	w.Helper()
	if err := os.RemoveAll(w.folder); err != nil {
		w.Fatal(err)
	}
	for path, content := range documents {
		name := filepath.Join(w.folder, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			w.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("A document. "+content), 0o600); err != nil {
			w.Fatal(err)
		}
	}
	if err := os.MkdirAll(w.folder, 0o700); err != nil {
		w.Fatal(err)
	}
}

// command returns a run of sync.
func (w *world) command(args ...string) *exec.Cmd {
	args = slices.Concat([]string{
		"sync", w.folder, "--vector-store=" + store, "--owner=" + owner, "--from-env", "--without-operator",
		"--endpoint=" + w.server.URL + "/v1", "--prune", "--max-prune=100%", "--allow-empty", "--settle-time=300ms", "--timeout=5m",
	}, w.flags, args)
	command := exec.CommandContext(w.Context(), plugin, args...)
	command.Env = []string{"HOME=" + w.home, "OPENAI_API_KEY=" + key, "OPENAI_BASE_URL=" + w.server.URL + "/v1", "GOMAXPROCS=2"}
	return command
}

// run runs sync, and returns its output and its exit code.
func (w *world) run(args ...string) (output string, code int) {
	w.Helper()
	command := w.command(args...)
	text, err := command.CombinedOutput()
	if err != nil && command.ProcessState == nil {
		w.Fatal(err)
	}
	return string(text), command.ProcessState.ExitCode()
}

// mustRun runs sync, which must exit with 0.
func (w *world) mustRun(args ...string) string {
	w.Helper()
	output, code := w.run(args...)
	if code != 0 {
		w.Fatalf("sync %v exited with %d:\n%s", args, code, output)
	}
	return output
}

// runKilled runs sync and kills it at a request. It returns false if the run had fewer requests.
func (w *world) runKilled(at int, after bool, args ...string) (killed bool, output string) {
	w.Helper()
	command := w.command(args...)
	var text bytes.Buffer
	command.Stdout, command.Stderr = &text, &text
	w.mu.Lock()
	if err := command.Start(); err != nil {
		w.mu.Unlock()
		w.Fatal(err)
	}
	w.process, w.killAt, w.after, w.requests = command.Process, at, after, 0
	w.mu.Unlock()
	_ = command.Wait() // the state has the result
	w.mu.Lock()
	w.process = nil
	w.mu.Unlock()
	if command.ProcessState.Exited() && command.ProcessState.ExitCode() != 0 {
		w.Fatalf("sync exited with %d:\n%s", command.ProcessState.ExitCode(), text.String())
	}
	return !command.ProcessState.Exited(), text.String()
}

// require sets the documents that must be found from now on.
func (w *world) require(paths map[string]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.served = paths
}

// attached is a file of the vector store.
type attached struct {
	ID         string         `json:"id"`
	Status     string         `json:"status"`
	Attributes map[string]any `json:"attributes"`
}

// list returns all of a list.
func (w *world) list(path string) []attached {
	var all []attached
	for after := ""; ; after = all[len(all)-1].ID {
		var page struct {
			Data    []attached `json:"data"`
			HasMore bool       `json:"has_more"`
		}
		query := "?limit=100"
		if after != "" {
			query += "&after=" + after
		}
		w.call(http.MethodGet, path+query, "", &page)
		all = append(all, page.Data...)
		if !page.HasMore {
			return all
		}
	}
}

// wantEqual requires that the vector store has exactly the documents, and that there is no other upload.
func (w *world) wantEqual(documents map[string]string, attributes map[string]any) {
	w.Helper()
	found := map[string]int{}
	for _, f := range w.list("/vector_stores/" + store + "/files") {
		path, _ := f.Attributes[fileset.AttributePath].(string)
		found[path]++
		got := map[string]any{}
		for key, value := range f.Attributes {
			if key != fileset.AttributePath && key != fileset.AttributeOwner {
				got[key] = value
			}
		}
		if f.Status != "completed" || fmt.Sprint(got) != fmt.Sprint(attributes) {
			w.Errorf("%s is %s with attributes %v, want completed with %v", path, f.Status, got, attributes)
		}
		if content := w.content(f.ID); content != "A document. "+documents[path] {
			w.Errorf("%s has the content %q, want %q", path, content, documents[path])
		}
	}
	for path := range documents {
		if found[path] != 1 {
			w.Errorf("%s is %d times in the vector store", path, found[path])
		}
	}
	if len(found) != len(documents) {
		w.Errorf("the vector store has %v, want %d documents", found, len(documents))
	}
	if uploads := w.list("/files"); len(uploads) != len(documents) {
		w.Errorf("there are %d uploaded files, want %d", len(uploads), len(documents))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.missed) > 0 {
		w.Errorf("searches did not find %v at some moment", w.missed)
		w.missed = nil
	}
}

// content returns what a search in a file finds.
func (w *world) content(fileID string) string {
	var page struct {
		Data []struct {
			Text string `json:"text"`
		} `json:"data"`
	}
	w.call(http.MethodGet, "/vector_stores/"+store+"/files/"+fileID+"/content", "", &page)
	if len(page.Data) != 1 {
		return ""
	}
	return page.Data[0].Text
}
