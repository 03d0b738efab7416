// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	w := newWorkspaceWithoutSecret(t, emulator.Options{})
	operator := "--operator-namespace=" + w.Namespace
	if text := w.vsfb("version", operator); text != "Plugin:    dev\nAPI:       vector-store-operator.dev/v1alpha1\nOperator:  no Pods found\n" {
		t.Errorf("it prints\n%s", text)
	}
	w.createManagerPod("manager-a", true)
	w.createManagerPod("manager-b", true)
	var got struct {
		Plugin, API string
		Operator    []string
	}
	if err := json.Unmarshal([]byte(w.vsfb("version", operator, "-o", "json")), &got); err != nil || got.Plugin != "dev" || len(got.Operator) != 1 {
		t.Fatalf("%v: %+v", err, got)
	}
	if text := w.vsfb("version", operator); !strings.Contains(text, "Operator:  "+got.Operator[0]+"\n") {
		t.Errorf("it prints\n%s", text)
	}
	w.Kubectl.Env = slices.Clone(w.Kubectl.Env)
	w.setenv("KUBECONFIG=" + filepath.Join(w.home, "missing"))
	if text := w.vsfb("version", "--client"); strings.Contains(text, "Operator") {
		t.Errorf("it prints\n%s", text)
	}
	text, complaint := w.wantExit(0, "version")
	if !strings.Contains(text, "Operator:  unknown") || !strings.Contains(complaint, "Could not read the version of the operator") {
		t.Errorf("it prints\n%s%s", text, complaint)
	}
}
