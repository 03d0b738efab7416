// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
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

func TestDocs_FlagsOfThePlugin(t *testing.T) {
	t.Parallel()
	w := newWorkspaceWithoutSecret(t, emulator.Options{})
	page := framework.ReadFile(t, "docs", "guides", "kubectl.md")
	flag := regexp.MustCompile(`--[a-z]+(?:-[a-z]+)*`)
	said := flag.FindAllString(page, -1)
	there := append(w.flags(flag), "--context", "--help")
	for _, name := range there {
		if !slices.Contains(said, name) && !slices.Contains(foreign, name) {
			t.Errorf("the page does not describe %s", name)
		}
	}
	for _, name := range said {
		if !slices.Contains(there, name) {
			t.Errorf("the page describes %s, which the plugin does not have", name)
		}
	}
}

// flags returns those of the subcommands, without kubectl's. Every help must have examples.
func (w *workspace) flags(flag *regexp.Regexp) []string {
	w.Helper()
	var there []string
	for _, command := range []string{"list", "status", "cancel", "wait", "suspend", "resume", "failures", "retry", "create", "adopt", "check", "version"} {
		help, complaint, err := w.Kubectl.Try(w.Context(), "", "vsfb", command, "--help")
		if err != nil {
			w.Fatal(err, complaint)
		}
		if !strings.Contains(help, "\nExamples:\n") {
			w.Errorf("the help of %s has no examples", command)
		}
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
