// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// customization returns the path of a file of the health check or of the actions. The layout is that
// of Argo CD's own repository.
func customization(path ...string) string {
	folder := framework.Path("config", "argocd", "resource_customizations", "vector-store-operator.dev", "VectorStoreFileBatch")
	return filepath.Join(append([]string{folder}, path...)...)
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(read(t, path)), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// health is the result of a health check.
type health struct {
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
}

// assess runs Argo CD's health check on an object.
func assess(t *testing.T, object map[string]any) health {
	t.Helper()
	result, isTable := runLua(t, read(t, customization("health.lua")), object).(map[string]any)
	if !isTable {
		t.Fatalf("the health check returns %v, want a table", result)
	}
	status, _ := result["status"].(string)
	message, _ := result["message"].(string)
	return health{Status: status, Message: message}
}

// healthTest is health_test.yaml, as Argo CD's own tests read it.
type healthTest struct {
	Tests []healthCase `json:"tests"`
}

type healthCase struct {
	InputPath    string `json:"inputPath"`
	HealthStatus health `json:"healthStatus"`
}

// checkTestData compares Argo CD's test data with the objects that the operator produced.
func checkTestData(t *testing.T, objects map[string]*unstructured.Unstructured, states []state) {
	var tests healthTest
	for _, state := range states {
		path := "testdata/" + state.name + ".yaml"
		text := normalized(t, objects[state.name])
		expect(t, customization(path), text)
		var object map[string]any
		if err := yaml.Unmarshal([]byte(text), &object); err != nil {
			t.Fatal(err)
		}
		tests.Tests = append(tests.Tests, healthCase{InputPath: path, HealthStatus: assess(t, object)})
	}
	text, err := yaml.Marshal(tests)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, customization("health_test.yaml"), string(text))
	for action, after := range map[string]*unstructured.Unstructured{
		"cancel":  with(t, objects["in-progress"], "cancel"),
		"suspend": with(t, objects["in-progress"], "suspend"),
		"resume":  without(objects["suspended"], "suspend"),
	} {
		expect(t, customization("actions", "testdata", action+".yaml"), normalized(t, after))
	}
}

// with returns an object with a field of its spec set to true.
func with(t *testing.T, object *unstructured.Unstructured, field string) *unstructured.Unstructured {
	t.Helper()
	object = object.DeepCopy()
	if err := unstructured.SetNestedField(object.Object, true, "spec", field); err != nil {
		t.Fatal(err)
	}
	return object
}

// without returns an object without a field of its spec.
func without(object *unstructured.Unstructured, field string) *unstructured.Unstructured {
	object = object.DeepCopy()
	unstructured.RemoveNestedField(object.Object, "spec", field)
	return object
}

// expect compares a file with its expected content, and writes it before with -update.
func expect(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, read(t, path)); diff != "" {
		t.Errorf("%s differs from what the operator produces; go test ./test/e2e/gitops -update writes it (-produced +file):\n%s", path, diff)
	}
}

// incidental matches the values that differ between two runs.
var incidental = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "2026-01-02T03:04:05Z"},
	{regexp.MustCompile(`\bvsfb_[0-9a-f]{8,}`), "vsfb_0123456789abcdef0123456789abcdef"},
	{regexp.MustCompile(`\b127\.0\.0\.1:\d+`), "127.0.0.1:8787"},
	{regexp.MustCompile(`\breq_[0-9a-f]+`), "req_0123456789abcdef0123456789abcdef"},
	{regexp.MustCompile(`/recorded-for":"[0-9a-f]+`), `/recorded-for":"0123456789abcdef0123456789abcdef`}, // the namespace is random
	{regexp.MustCompile(`\bwas lost: [^"]*`), "was lost: EOF"},                                            // or reset by peer
}

// normalized returns an object in YAML, without the values that differ between two runs.
func normalized(t *testing.T, object *unstructured.Unstructured) string {
	t.Helper()
	object = object.DeepCopy()
	for _, field := range []string{"managedFields", "resourceVersion", "uid"} {
		unstructured.RemoveNestedField(object.Object, "metadata", field)
	}
	text, err := json.Marshal(object.Object)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte(object.GetNamespace()), []byte("default"))
	for _, each := range incidental {
		text = each.pattern.ReplaceAll(text, []byte(each.instead))
	}
	if text, err = yaml.JSONToYAML(text); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// actionTest is action_test.yaml, as Argo CD's own tests read it.
type actionTest struct {
	DiscoveryTests []struct {
		InputPath string           `json:"inputPath"`
		Result    []map[string]any `json:"result"`
	} `json:"discoveryTests"`
	ActionTests []struct {
		Action             string `json:"action"`
		InputPath          string `json:"inputPath"`
		ExpectedOutputPath string `json:"expectedOutputPath"`
	} `json:"actionTests"`
}

// discovered returns the actions that an object has, in the form of action_test.yaml.
func discovered(t *testing.T, object map[string]any) []map[string]any {
	t.Helper()
	result := runLua(t, read(t, customization("actions", "discovery.lua")), object)
	table, _ := result.(map[string]any) // an empty table becomes an empty list
	var actions []map[string]any
	for _, name := range slices.Sorted(maps.Keys(table)) {
		action := maps.Clone(table[name].(map[string]any))
		action["name"] = name
		actions = append(actions, action)
	}
	return actions
}

func TestActions(t *testing.T) {
	var tests actionTest
	readYAML(t, customization("actions", "action_test.yaml"), &tests)
	for _, test := range tests.DiscoveryTests {
		t.Run("discovery/"+filepath.Base(test.InputPath), func(t *testing.T) {
			var object map[string]any
			readYAML(t, customization("actions", test.InputPath), &object)
			if diff := cmp.Diff(test.Result, discovered(t, object)); diff != "" {
				t.Errorf("actions (-want +got):\n%s", diff)
			}
		})
	}
	covered := map[string]bool{}
	for _, test := range tests.ActionTests {
		covered[test.Action] = true
		t.Run(test.Action+"/"+filepath.Base(test.InputPath), func(t *testing.T) {
			var object, want map[string]any
			readYAML(t, customization("actions", test.InputPath), &object)
			readYAML(t, customization("actions", test.ExpectedOutputPath), &want)
			if diff := cmp.Diff(want, act(t, test.Action, object)); diff != "" {
				t.Errorf("object (-want +got):\n%s", diff)
			}
		})
	}
	for _, action := range []string{"cancel", "suspend", "resume"} {
		if !covered[action] {
			t.Errorf("action_test.yaml has no test of %s", action)
		}
	}
}

// act returns an object after an action.
func act(t *testing.T, action string, object map[string]any) map[string]any {
	t.Helper()
	result := runLua(t, read(t, customization("actions", action, "action.lua")), object)
	return restored(result, object).(map[string]any)
}

// restored turns empty lists into empty maps again, as Argo CD does.
func restored(value, before any) any {
	switch was := before.(type) {
	case map[string]any:
		is, isMap := value.(map[string]any)
		if list, isList := value.([]any); isList && len(list) == 0 {
			return map[string]any{}
		}
		for key := range is {
			if isMap {
				is[key] = restored(is[key], was[key])
			}
		}
	case []any:
		for i, item := range value.([]any) {
			value.([]any)[i] = restored(item, was[i])
		}
	case int64:
		return int64(value.(float64))
	}
	return value
}

// TestActions_ReachTheManager sends the changes of the actions to the API server as a merge patch, as
// Argo CD does.
func TestActions_ReachTheManager(t *testing.T) {
	f := newFixture(t)
	f.StartManager(t, "actions", framework.Setup{})
	f.Create(t, f.Batch("documents", stuck))
	for _, step := range []struct{ from, action, to string }{
		{"InProgress", "suspend", "Suspended"},
		{"Suspended", "resume", "InProgress"},
		{"InProgress", "cancel", "Cancelled"},
	} {
		f.WaitForReason(t, "documents", step.from)
		before := f.raw("documents")
		if !slices.ContainsFunc(discovered(t, before.Object), func(a map[string]any) bool { return a["name"] == step.action }) {
			t.Errorf("an object that is %s has no action %s", step.from, step.action)
		}
		after := &unstructured.Unstructured{Object: act(t, step.action, before.DeepCopy().Object)}
		f.must(f.Client.Patch(t.Context(), after, client.MergeFrom(before)))
		f.WaitForReason(t, "documents", step.to)
	}
	if actions := discovered(t, f.raw("documents").Object); len(actions) > 0 {
		t.Errorf("an object that is cancelled has the actions %v", actions)
	}
}

// TestConfigMap_ContainsTheScripts compares the patch of argocd-cm with the files.
func TestConfigMap_ContainsTheScripts(t *testing.T) {
	var patch struct {
		Data map[string]string `json:"data"`
	}
	framework.ReadYAML(t, &patch, "config", "argocd", "argocd-cm.yaml")
	const kind = "vector-store-operator.dev_VectorStoreFileBatch"
	var actions struct {
		Discovery   string `json:"discovery.lua"`
		Definitions []struct {
			Name   string `json:"name"`
			Action string `json:"action.lua"`
		} `json:"definitions"`
	}
	if err := yaml.UnmarshalStrict([]byte(patch.Data["resource.customizations.actions."+kind]), &actions); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{"health.lua": patch.Data["resource.customizations.health."+kind], "actions/discovery.lua": actions.Discovery}
	for _, action := range actions.Definitions {
		got["actions/"+action.Name+"/action.lua"] = action.Action
	}
	want := map[string]string{}
	for _, pattern := range []string{"*.lua", "actions/*.lua", "actions/*/*.lua"} {
		paths, err := filepath.Glob(customization(pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			name, err := filepath.Rel(customization(), path)
			if err != nil {
				t.Fatal(err)
			}
			want[filepath.ToSlash(name)] = read(t, path)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("`make docs` writes config/argocd/argocd-cm.yaml (-files +ConfigMap):\n%s", diff)
	}
}

// TestConfigMap_EqualsTheOtherForms requires the same scripts in the values of the chart argo-cd and in the resource
// of argocd-operator.
func TestConfigMap_EqualsTheOtherForms(t *testing.T) {
	var patch struct{ Data map[string]string }
	var values struct {
		Configs struct{ CM map[string]string }
	}
	type script struct{ Group, Kind, Check, Action string }
	var resource struct {
		Spec struct{ ResourceHealthChecks, ResourceActions []script }
	}
	framework.ReadYAML(t, &patch, "config", "argocd", "argocd-cm.yaml")
	framework.ReadYAML(t, &values, "config", "argocd", "values.yaml")
	framework.ReadYAML(t, &resource, "config", "argocd", "argocd.yaml")
	if diff := cmp.Diff(patch.Data, values.Configs.CM); diff != "" || len(patch.Data) != 2 {
		t.Errorf("values.yaml (-argocd-cm.yaml +values.yaml):\n%s", diff)
	}
	const group, kind = "vector-store-operator.dev", "VectorStoreFileBatch"
	want := []script{
		{Group: group, Kind: kind, Check: patch.Data["resource.customizations.health."+group+"_"+kind]},
		{Group: group, Kind: kind, Action: patch.Data["resource.customizations.actions."+group+"_"+kind]},
	}
	if diff := cmp.Diff(want, append(resource.Spec.ResourceHealthChecks, resource.Spec.ResourceActions...)); diff != "" {
		t.Errorf("argocd.yaml (-argocd-cm.yaml +argocd.yaml):\n%s", diff)
	}
}

// TestConfigMap_KeepsOtherSettings applies the patch to a ConfigMap that has settings.
func TestConfigMap_KeepsOtherSettings(t *testing.T) {
	kubectl := env.Kubectl.In("argocd")
	kubectl.Must(t, "create", "namespace", "argocd")
	kubectl.Must(t, "create", "configmap", "argocd-cm", "--from-literal=url=https://argocd.example.com")
	kubectl.Must(t, "patch", "configmap", "argocd-cm", "--patch-file", "config/argocd/argocd-cm.yaml")
	var configMap struct {
		Data map[string]string `json:"data"`
	}
	kubectl.Decode(t, &configMap, "get", "configmap", "argocd-cm", "-o", "json")
	if len(configMap.Data) != 3 || configMap.Data["url"] != "https://argocd.example.com" {
		t.Errorf("the ConfigMap has the keys %v, want url and the two of the patch", slices.Sorted(maps.Keys(configMap.Data)))
	}
}
