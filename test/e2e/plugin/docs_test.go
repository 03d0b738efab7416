// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// foreign are flags that the page leaves to kubectl's own documents.
var foreign = []string{"--allow-missing-template-keys", "--show-managed-fields", "--template", "--help", "--version"}

func TestThePageNamesTheFlagsThatThereAre(t *testing.T) {
	t.Parallel()
	w := worldWithoutSecret(t, emulator.Options{})
	page, err := os.ReadFile(filepath.Join(controlplane.Root(), "docs", "kubectl.md"))
	if err != nil {
		t.Fatal(err)
	}
	flag := regexp.MustCompile(`--[a-z]+(?:-[a-z]+)*`)
	said := flag.FindAllString(string(page), -1)
	there := append(w.flags(flag), "--context", "--help")
	for _, name := range there {
		if !slices.Contains(said, name) && !slices.Contains(foreign, name) {
			t.Errorf("the page says nothing of %s", name)
		}
	}
	for _, name := range said {
		if !slices.Contains(there, name) {
			t.Errorf("the page speaks of %s, which there is not", name)
		}
	}
}

// flags are those of the subcommands, and not of kubectl. Every help has to have examples.
func (w *world) flags(flag *regexp.Regexp) []string {
	w.Helper()
	var there []string
	for _, command := range []string{"list", "cancel", "failures", "create"} {
		help, complaint, err := w.execute("vsfb", command, "--help")
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

func TestKubectlCompletesNames(t *testing.T) {
	t.Parallel()
	w := worldWithoutSecret(t, emulator.Options{})
	w.apply("git", manifest("handbook", []string{"file-a"}))
	w.apply("git", manifest("scans", []string{"file-b"}))
	script := filepath.Join(controlplane.Root(), "cmd", "kubectl-vsfb")
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"cancel", ""}, []string{"handbook", "scans"}},
		{[]string{"cancel", "handbook", ""}, []string{"scans"}},
		{[]string{"failures", "scans", ""}, nil},
		{[]string{"create", "handbook", "--vector-store", ""}, []string{store}},
		{[]string{"list", "-o", ""}, []string{"wide", "json", "yaml", "name"}},
	} {
		command := w.command(t.Context(), append([]string{"__complete", "vsfb", "--namespace", w.namespace}, test.args...)...)
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
		if test.want == nil && len(offered) > 1 { // the directive stands last
			t.Errorf("%q offers %q", test.args, offered)
		}
	}
}
