// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// foreign lists flags that the documentation of kubectl describes.
var foreign = []string{"--allow-missing-template-keys", "--show-managed-fields", "--template", "--help", "--version"}

// described are the pages that describe the flags of commands.
var described = map[string][]string{
	"kubectl.md": {"list", "status", "cancel", "wait", "suspend", "resume", "failures", "retry", "create", "uploads", "adopt", "check", "version"},
	"sync.md":    {"sync", "files", "search"},
}

func TestDocs_FlagsOfThePlugin(t *testing.T) {
	t.Parallel()
	w := newWorkspaceWithoutSecret(t, emulator.Options{})
	flag := regexp.MustCompile(`--[a-z]+(?:-[a-z]+)*`)
	for page, commands := range described {
		said := flag.FindAllString(framework.ReadFile(t, "docs", "guides", page), -1)
		there := append(w.flags(flag, commands), "--context", "--namespace", "--help")
		for _, name := range there {
			if !slices.Contains(said, name) && !slices.Contains(foreign, name) && name != "--context" && name != "--namespace" {
				t.Errorf("%s does not describe %s", page, name)
			}
		}
		for _, name := range said {
			if !slices.Contains(there, name) {
				t.Errorf("%s describes %s, which its commands do not have", page, name)
			}
		}
	}
}

// TestDocs_Commands requires that each command is described, in the pages and in its help.
func TestDocs_Commands(t *testing.T) {
	t.Parallel()
	w := newWorkspaceWithoutSecret(t, emulator.Options{})
	help, _ := w.wantExit(0, "--help")
	_, list, _ := strings.Cut(help, "\nAvailable Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	all := slices.Concat(slices.Collect(maps.Values(described))...)
	for _, command := range regexp.MustCompile(`(?m)^  ([a-z]+)`).FindAllStringSubmatch(list, -1) {
		if command[1] != "completion" && command[1] != "help" && !slices.Contains(all, command[1]) {
			t.Errorf("no page describes the command %s", command[1])
		}
	}
	for page, commands := range described {
		text := framework.ReadFile(t, "docs", "guides", page)
		for _, command := range commands {
			if !strings.Contains(text, "kubectl vsfb "+command) {
				t.Errorf("%s does not show kubectl vsfb %s", page, command)
			}
			help, _ := w.wantExit(0, command, "--help")
			about, _, _ := strings.Cut(help, "\nUsage:\n")
			if !strings.Contains(help, "\nExamples:\n") || !strings.Contains(help, "  kubectl vsfb "+command) || len(strings.Fields(about)) < 5 {
				t.Errorf("the help of %s has no examples, or does not explain it:\n%s", command, help)
			}
		}
	}
}

// flags returns those of the commands, without kubectl's.
func (w *workspace) flags(flag *regexp.Regexp, commands []string) []string {
	w.Helper()
	var there []string
	for _, command := range commands {
		help, _ := w.wantExit(0, command, "--help")
		_, own, _ := strings.Cut(help, "\nFlags:\n")
		own, _, _ = strings.Cut(own, "\nGlobal Flags:\n")
		for _, begins := range regexp.MustCompile(`(?m)^ +(?:-., )?--[a-z-]+`).FindAllString(own, -1) {
			there = append(there, flag.FindString(begins))
		}
	}
	return there
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	w := newWorkspaceWithoutSecret(t, emulator.Options{})
	w.apply("git", manifest("handbook", []string{"file-a"}))
	w.apply("git", manifest("scans", []string{"file-b"}))
	w.await("scans", "CredentialsNotFound")
	script := framework.Path("cmd", "kubectl-vsfb")
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"cancel", ""}, []string{"handbook", "scans"}},
		{[]string{"cancel", "handbook", ""}, []string{"scans"}},
		{[]string{"failures", "scans", ""}, nil},
		{[]string{"wait", "scans", ""}, []string{"handbook"}},
		{[]string{"retry", ""}, []string{"handbook", "scans"}},
		{[]string{"status", ""}, []string{"handbook", "scans"}},
		{[]string{"status", "handbook", "-o", ""}, []string{"text", "json", "yaml"}},
		{[]string{"suspend", ""}, []string{"handbook", "scans"}},
		{[]string{"resume", ""}, []string{"handbook", "scans"}},
		{[]string{"create", "handbook", "--vector-store", ""}, []string{store}},
		{[]string{"adopt", "vsfb_a", "--vector-store", ""}, []string{store}},
		{[]string{"list", "-o", ""}, []string{"wide", "json", "yaml", "name"}},
		{[]string{"list", "--namespace", w.Namespace[:6]}, []string{w.Namespace}},
		{[]string{"create", "handbook", "--dry-run", ""}, []string{"none", "client", "server"}},
		{[]string{"create", "handbook", "--deletion-policy", ""}, []string{"Orphan", "DetachFiles"}},
		{[]string{"cancel", "--dry-run", ""}, []string{"none", "client", "server"}},
		{[]string{"sync", "docs", "--vector-store", ""}, []string{store}},
		{[]string{"sync", "docs", "-o", ""}, []string{"text", "json", "yaml"}},
		{[]string{"files", "--vector-store", ""}, []string{store}},
		{[]string{"files", "--status", ""}, []string{"in_progress", "completed", "failed", "cancelled"}},
		{[]string{"search", "-o", ""}, []string{"text", "json", "yaml"}},
		{[]string{"uploads", "-o", ""}, []string{"table", "json", "yaml"}},
		{[]string{"check", "-o", ""}, []string{"table", "wide", "json", "yaml"}},
		{[]string{"check", "--operator-namespace", ""}, []string{w.Namespace}},
		{[]string{"list", "--reason", ""}, []string{"CredentialsNotFound"}},
	} {
		command := w.Kubectl.In("").Cmd(t.Context(), append([]string{"__complete", "vsfb", "--namespace", w.Namespace}, test.args...)...)
		for i, variable := range command.Env {
			if path, is := strings.CutPrefix(variable, "PATH="); is {
				command.Env[i] = "PATH=" + script + string(filepath.ListSeparator) + path
			}
		}
		output, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		offered := strings.Fields(string(output))
		for _, want := range test.want {
			if !slices.Contains(offered, want) {
				t.Errorf("%q offers %q, without %s", test.args, offered, want)
			}
		}
		if test.want == nil && len(offered) > 1 { // the directive is the last line
			t.Errorf("%q offers %q", test.args, offered)
		}
	}
}
