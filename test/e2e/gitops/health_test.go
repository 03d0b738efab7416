// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// TestHealth brings an object into each state, and compares the assessment of each tool.
func TestHealth(t *testing.T) {
	objects, states := produce(t)
	exprs := expressions(t)
	for _, state := range states {
		t.Run(state.name, func(t *testing.T) {
			object := objects[state.name]
			result, err := status.Compute(object)
			if err != nil {
				t.Fatal(err)
			}
			if result.Status != state.kstatus {
				t.Errorf("kstatus returns %s (%s), want %s", result.Status, result.Message, state.kstatus)
			}
			result, err = exprs.Evaluate(t.Context(), object)
			if err != nil {
				t.Fatal(err)
			}
			if want := wantFlux(state); result.Status != want {
				t.Errorf("the healthCheckExprs of config/flux return %s, want %s", result.Status, want)
			}
			got := assess(t, object.Object)
			if got.Status != state.argo {
				t.Errorf("Argo CD's health check returns %s (%s), want %s", got.Status, got.Message, state.argo)
			}
			if want := messageOf(object); got.Message != want && state.name != "unvisited" && state.name != "edited" {
				t.Errorf("its message is %q, want the message of Ready: %q", got.Message, want)
			}
		})
	}
	t.Run("test data of Argo CD", func(t *testing.T) { checkTestData(t, objects, states) })
}

// TestHealth_IsDocumented compares the table in docs/guides/gitops.md with the states.
func TestHealth_IsDocumented(t *testing.T) {
	want := map[string][2]string{"": {"InProgress", "Progressing"}, "Creating": {"InProgress", "Progressing"}}
	for _, state := range states {
		want[state.reason] = [2]string{string(state.kstatus), state.argo}
	}
	got := map[string][2]string{}
	row := regexp.MustCompile(`(?m)^\| [^|]+ \| ([^|]*)\| (\w+) \| (\w+) \|$`)
	for _, match := range row.FindAllStringSubmatch(framework.ReadFile(t, "docs", "guides", "gitops.md"), -1) {
		for _, reason := range strings.Split(match[1], ",") {
			got[strings.Trim(reason, " `")] = [2]string{match[2], match[3]}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("health (-tools +docs):\n%s", diff)
	}
}

// messageOf returns the message of the condition Ready.
func messageOf(object *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, condition := range conditions {
		if c := condition.(map[string]any); c["type"] == "Ready" {
			return c["message"].(string)
		}
	}
	return ""
}
