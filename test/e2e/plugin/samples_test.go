// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// sample is a command of a page with its output.
type sample struct{ command, output string }

// samples returns the console blocks of a page.
func samples(t *testing.T, page string) [][]sample {
	t.Helper()
	var blocks [][]sample
	for _, block := range regexp.MustCompile("(?ms)^```console\n(.*?)^```$").FindAllStringSubmatch(framework.ReadFile(t, "docs", "guides", page), -1) {
		var commands []sample
		for _, part := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			command, output, _ := strings.Cut(part, "\n")
			commands = append(commands, sample{command, strings.TrimRight(output, "\n")})
		}
		blocks = append(blocks, commands)
	}
	return blocks
}

// variable are the parts of an output that differ between runs, and what replaces them.
var variable = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`\b(file-|vsfb[-_])?[0-9a-f]{32}\b`), "${1}ID"},
	{regexp.MustCompile(`\b[0-9a-f]{12}\b`), "VERSION"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "HOST"},
	{regexp.MustCompile(`in \d+\.\ds\.`), "in TIME."},
	{regexp.MustCompile(`\b\d+[smh]\b`), "AGE"},
	{regexp.MustCompile(` {2,}`), "  "}, // the columns are as wide as what they contain
}

// normal returns an output without what differs between runs.
func (w *workspace) normal(output string) []string {
	output = strings.ReplaceAll(output, w.Namespace, "demo")
	for _, v := range variable {
		output = v.pattern.ReplaceAllString(output, v.with)
	}
	return strings.Split(strings.TrimRight(output, "\n"), "\n")
}

// wantSample runs a command as a user does, and compares its output with that of the page. A line of three dots
// stands for any lines.
func (w *workspace) wantSample(s sample) {
	w.Helper()
	command := regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(s.command, strings.TrimPrefix(w.URL, "http://"))
	run := exec.CommandContext(w.Context(), "sh", "-c", command)
	run.Dir, run.Env = w.folder, append(slices.Clone(w.Kubectl.Env), "KUBECONFIG="+w.kubeconfig())
	output, _ := run.CombinedOutput() // an error is a part of the output
	want, got := w.normal(s.output), w.normal(string(output))
	if i := slices.Index(want, "..."); i >= 0 && len(got) >= len(want)-1 {
		got = slices.Concat(got[:i], want[i:i+1], got[len(got)-(len(want)-i-1):])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("%s: (-page +now):\n%s\nit prints now\n%s", s.command, diff, output)
	}
}

// kubeconfig returns the path of a kubeconfig whose namespace is that of the workspace.
func (w *workspace) kubeconfig() string {
	w.Helper()
	content, err := os.ReadFile(env.Kubeconfig)
	if err != nil {
		w.Fatal(err)
	}
	path := filepath.Join(w.home, "kubeconfig")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		w.Fatal(err)
	}
	kubectl := w.Kubectl
	kubectl.Namespace, kubectl.Env = "", append(slices.Clone(w.Kubectl.Env), "KUBECONFIG="+path)
	kubectl.Must(w.T, "config", "set-context", "--current", "--namespace="+w.Namespace)
	return path
}

// demo creates an object with files of the vector store of the pages.
func (w *workspace) demo(name string, files []string, lines ...string) {
	w.Helper()
	w.apply("git", strings.Replace(manifest(name, files, lines...), store, "vs_demo", 1))
}

// uploadScans creates the object scans of the pages: a file of it cannot be read.
func (w *workspace) uploadScans() {
	w.Helper()
	w.put("docs/blank.pdf", " ")
	w.put("docs/first.pdf", "1")
	w.put("docs/second.pdf", "2")
	w.wantExit(0, "create", "scans", "--vector-store=vs_demo", "docs", w.endpoint(), "--attribute=team=docs")
	w.await("scans", v1alpha1.ReasonFilesFailed)
}

// running creates the object catalogue, of which some files are processed.
func (w *workspace) running(completed, stuck int) {
	w.Helper()
	w.demo("catalogue", append(fileIDs("file-", completed), fileIDs("file-stuck-", stuck)...))
	w.until("the files", func() bool {
		counts := w.Get(w.T, "catalogue").Status.FileCounts
		return counts != nil && int(counts.Completed) == completed
	})
}

// scenes prepare what the blocks of a page show, by the beginning of their first command.
var scenes = map[string]func(w *workspace){
	"kubectl vsfb status": func(w *workspace) {
		w.uploadScans()
		w.until("the Events", func() bool { return strings.Count(w.vsfb("status", "scans"), "files failed") > 2 })
	},
	"kubectl vsfb cancel":   func(w *workspace) { w.running(29, 1) },
	"kubectl vsfb suspend":  func(w *workspace) { w.running(9, 21) },
	"kubectl vsfb wait":     (*workspace).uploadScans,
	"kubectl vsfb failures": (*workspace).uploadScans,
	"kubectl vsfb retry": func(w *workspace) {
		w.demo("scans", append(fileIDs("file-fail-invalid-", 1), "file-fail-a", "file-b"))
		w.await("scans", v1alpha1.ReasonFilesFailed)
	},
	"kubectl vsfb create scans": func(w *workspace) {
		for _, name := range []string{"a.pdf", "b.pdf", "c.pdf", "logo.png", ".DS_Store"} {
			w.put("docs/"+name, "x")
		}
	},
	"kubectl vsfb create manual": func(w *workspace) {
		w.put("docs/a.md", "x")
		w.put("docs/b.md", "y")
	},
	"kubectl vsfb uploads": func(w *workspace) {
		w.put("docs/faq.md", "x")
		w.put("docs/guide.md", "y")
		w.wantExit(0, "create", "manual", "--vector-store=vs_demo", "docs/faq.md", w.endpoint(), "--wait")
		w.wantExit(0, "create", "draft", "--vector-store=vs_demo", "docs/guide.md", w.endpoint(), "--upload-only")
	},
	"kubectl vsfb version": func(w *workspace) { w.createManagerPod("manager", true) },
	"kubectl vsfb": func(w *workspace) {
		w.running(9, 21)
		w.demo("archive", append(fileIDs("file-", 8), fileIDs("file-stuck-", 42)...))
		w.until("8 files", func() bool {
			counts := w.Get(w.T, "archive").Status.FileCounts
			return counts != nil && counts.Completed == 8
		})
		w.wantExit(0, "cancel", "archive", "--wait")
		w.demo("handbook", fileIDs("file-", 15))
		w.demo("scans", append(fileIDs("file-", 3), fileIDs("file-fail-", 2)...))
		w.demo("unsigned", fileIDs("file-", 2), "  credentialsRef: {name: legal}")
		id, err := w.EmulatorClient().CreateBatch(w.Context(), "vs_demo", fileIDs("file-", 6)...)
		if err != nil {
			w.Fatal(err)
		}
		w.wantExit(0, "adopt", id, "--vector-store=vs_demo", "--name=adopted")
		for name, reason := range map[string]string{"handbook": "Completed", "adopted": "Completed", "scans": "FilesFailed", "unsigned": "CredentialsNotFound"} {
			w.await(name, reason)
		}
	},
}

// otherwiseRun are the blocks that need more than a workspace.
var otherwiseRun = map[string]string{
	"kubectl vsfb check": "TestCheck_ runs it with its parts of a cluster",
	"kubectl vsfb adopt": "the page has the ID of a batch; TestAdopt runs it",
}

// TestDocs_Samples runs the commands in the blocks of the page about the plugin, and compares their outputs.
func TestDocs_Samples(t *testing.T) {
	t.Parallel()
	run := 0
	for _, block := range samples(t, "kubectl.md") {
		scene := ""
		for begins := range scenes {
			if strings.HasPrefix(block[0].command+" ", begins+" ") && len(begins) > len(scene) {
				scene = begins
			}
		}
		if slices.ContainsFunc(slices.Collect(maps.Keys(otherwiseRun)), func(begins string) bool { return strings.HasPrefix(block[0].command, begins) }) {
			continue
		}
		run++
		t.Run(strings.TrimPrefix(scene, "kubectl "), func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t, emulator.Options{VectorStores: []string{"vs_demo"}, Settings: emulator.Settings{Behaviors: emulator.Behaviors{FailingContent: []string{"blank"}}}})
			scenes[scene](w)
			for _, s := range block {
				w.wantSample(s)
			}
		})
	}
	if run < len(scenes) {
		t.Errorf("%d blocks were run, want one for each of %d scenes", run, len(scenes))
	}
}

// TestDocs_SyncSamples runs those of the page about sync, one after the other.
func TestDocs_SyncSamples(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{VectorStores: []string{"vs_demo"}})
	for name, content := range map[string]string{
		"hr/parental.md": "Parental leave: a lot.\n", "hr/remote.md": "Remote work is always possible.\n", "hr/travel.md": "Travel costs are refunded after 30 days.\n",
		"hr/vacation.md": "Vacation: 28 days.\n", "it.md": "Ask IT for a new laptop.\n", "news.md": "News.\n",
	} {
		w.put("docs/"+name, content)
	}
	w.wantExit(0, "sync", "docs", "--vector-store=vs_demo", "--owner=prod/handbook", w.endpoint(), "--settle-time=0s")
	for name, content := range map[string]string{
		"faq.md": "Frequent questions ...\n", "hr/vacation.md": "Vacation: 30 days, as of next year.\n", "empty.md": "", "price list.csv": "a,b\n",
	} {
		w.put("docs/"+name, content)
	}
	if err := os.Remove(filepath.Join(w.folder, "docs", "news.md")); err != nil {
		t.Fatal(err)
	}
	for _, block := range samples(t, "sync.md") {
		for _, s := range block {
			if strings.HasPrefix(s.command, "kubectl vsfb sync") && !strings.Contains(s.command, "--dry-run") {
				s.command += " " + w.endpoint()
			}
			w.wantSample(s)
		}
	}
}
