// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package servers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// folderSync runs "kubectl vsfb sync" against OGX, through a proxy that can kill it at a request.
type folderSync struct {
	*testing.T
	*ogx
	store, folder, home, url string

	mu       sync.Mutex
	process  *os.Process
	killAt   int
	requests int
}

func newFolderSync(t *testing.T, o *ogx) *folderSync {
	t.Helper()
	s := &folderSync{T: t, ogx: o, store: o.newStore(t), folder: t.TempDir(), home: t.TempDir()}
	target, err := url.Parse(o.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{DisableKeepAlives: true}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests++
		kill := s.process != nil && s.requests == s.killAt
		process := s.process
		s.mu.Unlock()
		if !kill {
			proxy.ServeHTTP(rw, r)
			return
		}
		proxy.ServeHTTP(httptest.NewRecorder(), r) // the request takes effect
		_ = process.Kill()                         // it may have exited
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL + "/v1"
	return s
}

// write makes the folder equal to documents.
func (s *folderSync) write(documents map[string]string) {
	s.Helper()
	if err := os.RemoveAll(s.folder); err != nil {
		s.Fatal(err)
	}
	for path, content := range documents {
		name := filepath.Join(s.folder, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			s.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			s.Fatal(err)
		}
	}
}

// command returns a run of the plugin.
func (s *folderSync) command(args ...string) *exec.Cmd {
	command := exec.CommandContext(s.Context(), env.Program("kubectl-vsfb"), args...)
	command.Env = []string{"HOME=" + s.home, "OPENAI_API_KEY=" + s.Key, "OPENAI_BASE_URL=" + s.url}
	return command
}

// run runs sync, and kills it at a request unless that is 0. It returns whether it was killed.
func (s *folderSync) run(killAt int, flags ...string) bool {
	s.Helper()
	command := s.command(append([]string{
		"sync", s.folder, "--vector-store=" + s.store, "--owner=prod/handbook", "--from-env", "--without-operator", "--endpoint=" + s.url,
		"--prune", "--max-prune=100%", "--settle-time=5s", "--timeout=5m",
	}, flags...)...)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	s.mu.Lock()
	if err := command.Start(); err != nil {
		s.mu.Unlock()
		s.Fatal(err)
	}
	s.process, s.killAt, s.requests = command.Process, killAt, 0
	s.mu.Unlock()
	_ = command.Wait() // the state has the result
	s.mu.Lock()
	s.process = nil
	s.mu.Unlock()
	if code := command.ProcessState.ExitCode(); command.ProcessState.Exited() && code != 0 {
		s.Fatalf("sync exited with %d:\n%s", code, output.String())
	}
	s.Logf("%s", output.String())
	return !command.ProcessState.Exited()
}

// wantEqual requires that the vector store has the documents, and that searches find their content.
func (s *folderSync) wantEqual(documents map[string]string) {
	s.Helper()
	output, err := s.command("files", "--vector-store="+s.store, "--from-env", "-o", "json").Output()
	if err != nil {
		s.Fatal(err)
	}
	var files []struct{ Path, Status, FileID string }
	if err := json.Unmarshal(output, &files); err != nil {
		s.Fatal(err)
	}
	found := map[string]string{}
	for _, f := range files {
		if f.Status != "completed" || found[f.Path] != "" {
			s.Errorf("%+v", f)
		}
		found[f.Path] = f.FileID
	}
	if len(found) != len(documents) {
		s.Errorf("the vector store has %s, want %d documents", output, len(documents))
	}
	for path, content := range documents {
		if result := s.find(s.T, s.store, content, found[path]); !strings.Contains(result.Content[0].Text, content) {
			s.Errorf("a search for %s found %+v", path, result)
		}
	}
}

// probe searches documents that stay every second until ctx is done, and reports those that it misses.
func (s *folderSync) probe(ctx context.Context, documents map[string]string) <-chan []string {
	missed := make(chan []string, 1)
	go func() {
		var paths []string
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			for path, content := range documents {
				var page struct{ Data []result }
				err := s.Call(ctx, http.MethodPost, "/v1/vector_stores/"+s.store+"/search", map[string]string{"query": content}, &page)
				if err == nil && (len(page.Data) == 0 || !strings.Contains(page.Data[0].Content[0].Text, content)) {
					paths = append(paths, fmt.Sprintf("%s: %+v", path, page.Data))
				}
			}
			select {
			case <-ctx.Done():
				missed <- paths
				return
			case <-ticker.C:
			}
		}
	}()
	return missed
}

// TestOGX_Sync makes a vector store of OGX equal to a folder that changes, and kills runs of each change. A
// search finds the documents that stay in each second.
func TestOGX_Sync(t *testing.T) {
	requireOGX(t)
	t.Parallel()
	s := newFolderSync(t, server)
	stay := map[string]string{
		"hr/vacation.md": "Employees have thirty days of vacation.", "hr/travel.txt": "Travel costs are refunded within a month.",
		"it/laptop.md": "A laptop is replaced after four years.",
	}
	with := func(more map[string]string) map[string]string {
		all := maps.Clone(stay)
		maps.Copy(all, more)
		return all
	}
	s.write(with(nil))
	s.run(0)
	s.wantEqual(with(nil))
	ctx, cancel := context.WithCancel(t.Context())
	missed := s.probe(ctx, stay)
	kills := 0
	for i, change := range []struct {
		documents map[string]string
		flags     []string
	}{
		{with(map[string]string{"menu.md": "On Mondays there is soup.", "parking.md": "Bicycles are parked in the basement."}), nil},
		{with(map[string]string{"menu.md": "On Mondays there is curry.", "parking.md": "Bicycles are parked in the basement."}), nil},
		{with(map[string]string{"menu.md": "On Mondays there is curry.", "bicycles.md": "Bicycles are parked in the basement."}), nil},
		{with(map[string]string{"menu.md": "On Mondays there is soup.", "bicycles.md": "Bicycles are parked in the basement."}), nil},
		{with(map[string]string{"menu.md": "On Mondays there is soup.", "bicycles.md": "Bicycles are parked in the basement."}), []string{"--attribute=year=2026"}},
		{with(nil), []string{"--attribute=year=2026"}},
	} {
		s.write(change.documents)
		for _, at := range []int{3 + i, 7 + i} {
			if s.run(at, change.flags...) {
				kills++
			}
		}
		s.run(0, change.flags...)
		s.wantEqual(change.documents)
	}
	cancel()
	if paths := <-missed; len(paths) > 0 {
		t.Errorf("searches did not find %q", paths)
	}
	if kills < 4 {
		t.Errorf("%d runs were killed", kills)
	}
	// A further run makes no other requests than those for the vector store and its list.
	s.run(0, "--attribute=year=2026")
	if s.requests != 2 {
		t.Errorf("a run in step made %d requests, want 2", s.requests)
	}
}
