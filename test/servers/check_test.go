// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package servers_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// behavior is a line of the table of kubectl vsfb check. Those whose answer depends on the speed of the
// server are not in this part of the table.
type behavior struct{ ID, Status, Answer string }

// observed is what kubectl vsfb check reports about a server.
type observed struct {
	Server struct {
		Behaviors  []behavior
		NotRemoved []any
	}
	stderr string
	err    error
}

// check observes a server with kubectl vsfb check.
func check(t *testing.T, c framework.EmulatorClient) observed {
	t.Helper()
	home, separator := t.TempDir(), string(filepath.ListSeparator)
	kubectl := framework.Kubectl{Dir: home, Env: []string{
		"PATH=" + env.Dir + separator + os.Getenv("KUBEBUILDER_ASSETS") + separator + os.Getenv("PATH"),
		"HOME=" + home, "OPENAI_API_KEY=" + c.Key,
	}}
	stdout, stderr, err := kubectl.Try(t.Context(), "", "vsfb", "check", "--base-url="+c.BaseURL(),
		"--server", "--write", "--timeout="+framework.Timeout.String(), "-o", "json")
	o := observed{stderr: stderr, err: err}
	if err == nil {
		o.err = json.Unmarshal([]byte(stdout), &o)
	}
	return o
}

// TestOGX_CheckMatchesProfile observes OGX and the emulator in its profile. Both tables must be equal.
func TestOGX_CheckMatchesProfile(t *testing.T) {
	requireOGX(t)
	emulated, err := framework.StartEmulator(t.Context(), env.Program("emulator"), filepath.Join(t.TempDir(), "log"),
		"--profile="+emulator.ProfileOGX, "--strict")
	if err != nil {
		t.Fatal(err)
	}
	emulated.KillAfter(t)
	results := make(chan observed, 1)
	go func() { results <- check(t, emulated.EmulatorClient) }()
	got, want := check(t, server.EmulatorClient), <-results
	for name, o := range map[string]observed{"OGX": got, "the emulator": want} {
		if o.err != nil || len(o.Server.NotRemoved) > 0 {
			t.Fatalf("checking %s: %v: not removed: %v\n%s", name, o.err, o.Server.NotRemoved, o.stderr)
		}
	}
	if diff := cmp.Diff(want.Server.Behaviors, got.Server.Behaviors); diff != "" {
		t.Errorf("behaviors (-emulator +OGX):\n%s", diff)
	}
	answered := 0
	for _, b := range got.Server.Behaviors {
		if b.Status != "unknown" {
			answered++
		} else if !strings.HasPrefix(b.ID, "file_") { // OGX ignores the settings of files
			t.Errorf("%s is unknown: %s", b.ID, b.Answer)
		}
	}
	if answered < 50 {
		t.Errorf("%d questions were answered, want more than 50", answered)
	}
	wantNothingLeft(t, got)
}

// wantNothingLeft requires that OGX has nothing that the check created.
func wantNothingLeft(t *testing.T, o observed) {
	t.Helper()
	for _, path := range []string{"/v1/vector_stores?limit=100", "/v1/files?limit=1000"} {
		var page struct {
			Data []struct{ Name, Filename string }
		}
		if err := server.Call(t.Context(), http.MethodGet, path, nil, &page); err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Data {
			if strings.HasPrefix(item.Name+item.Filename, "vsfb-check-") {
				t.Errorf("%s has %+v\n%s", path, item, o.stderr)
			}
		}
	}
}
