// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/ssa/utils"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// argoCD are the flags with which kubectl applies as Argo CD does, which uses its code.
var argoCD = map[string][]string{
	"client-side": nil,
	"server-side": {"--server-side", "--force-conflicts", "--field-manager=argocd-controller"},
}

// write writes a manifest to a file, and returns its path.
func (f *fixture) write(manifest *unstructured.Unstructured) string {
	f.t.Helper()
	text, err := yaml.Marshal(manifest.Object)
	f.must(err)
	return framework.WriteFile(f.t, f.t.TempDir(), "documents.yaml", string(text))
}

// TestApply_KeepsFieldsSetByHand sets a field that the manifest does not have, and applies the manifest again.
func TestApply_KeepsFieldsSetByHand(t *testing.T) {
	for side, flags := range argoCD {
		for _, field := range []string{"cancel", "suspend"} {
			t.Run(side+"/"+field, func(t *testing.T) {
				f := newFixture(t)
				apply := append([]string{"apply", "-f", f.write(f.manifest(f.Batch("documents", stuck)))}, flags...)
				f.Kubectl.Must(t, apply...)
				f.patchByHand(field)
				f.Kubectl.Must(t, apply...)
				if value, _, err := unstructured.NestedBool(f.raw("documents").Object, "spec", field); err != nil || !value {
					t.Errorf("spec.%s is not set (%v)", field, err)
				}
			})
		}
	}
}

// TestApply_UndoesAResume resumes an object that its manifest suspends, with the action of Argo CD. Its selfHeal applies
// the manifest again, but the batch is there by then.
func TestApply_UndoesAResume(t *testing.T) {
	for side, flags := range argoCD {
		t.Run(side, func(t *testing.T) {
			f := newFixture(t)
			f.StartManager(t, "selfheal", framework.Setup{})
			suspended := spec{FileIDs: stuck.FileIDs, Suspend: ptr.To(true)}
			apply := append([]string{"apply", "-f", f.write(f.manifest(f.Batch("documents", suspended)))}, flags...)
			f.Kubectl.Must(t, apply...)
			f.WaitForReason(t, "documents", "Suspended")
			before := f.raw("documents")
			f.must(f.Client.Patch(t.Context(), &unstructured.Unstructured{Object: act(t, "resume", before.DeepCopy().Object)}, client.MergeFrom(before)))
			f.WaitForReason(t, "documents", "InProgress")
			f.Kubectl.Must(t, apply...)
			if b := f.WaitForReason(t, "documents", "Suspended"); b.Status.BatchID == "" {
				t.Error("the object has no batch")
			}
		})
	}
}

// TestApply_ChangedFiles applies a manifest with other files in each way that the tools have. The fields are immutable:
// a tool fails and leaves the object, unless it deletes and recreates it.
func TestApply_ChangedFiles(t *testing.T) {
	f := newFixture(t)
	object := f.Batch("documents", stuck)
	flux := func(force bool) func(path string, changed *unstructured.Unstructured) error {
		return func(_ string, changed *unstructured.Unstructured) error {
			options := applyOptions()
			options.Force = force
			_, err := f.resourceManager().Apply(t.Context(), changed, options)
			return err
		}
	}
	kubectl := func(args ...string) func(path string, changed *unstructured.Unstructured) error {
		return func(path string, _ *unstructured.Unstructured) error {
			output, err := f.Kubectl.Run(t.Context(), append(args, "-f", path)...)
			if err != nil {
				return fmt.Errorf("%w: %s", err, output)
			}
			return nil
		}
	}
	for name, test := range map[string]struct {
		apply     func(path string, changed *unstructured.Unstructured) error
		recreates bool
	}{
		"Flux":                          {flux(false), false},
		"Flux, force: true":             {flux(true), true},
		"Argo CD":                       {kubectl("apply"), false},
		"Argo CD, ServerSideApply=true": {kubectl(append([]string{"apply"}, argoCD["server-side"]...)...), false},
		"Argo CD, the comparison with ServerSideApply=true": {kubectl(append([]string{"apply", "--dry-run=server"}, argoCD["server-side"]...)...), false},
		"Argo CD, Replace=true":                             {kubectl("replace"), false},
		"Argo CD, Force=true":                               {kubectl("apply", "--force"), true},
		"Argo CD, Force=true and Replace=true":              {kubectl("replace", "--force"), true},
	} {
		t.Run(name, func(t *testing.T) {
			f.Kubectl.Must(t, "delete", "vsfb", "documents", "--ignore-not-found")
			f.Kubectl.Must(t, "apply", "-f", f.write(f.manifest(object)))
			before := f.Get(t, "documents")
			changed := object.DeepCopy()
			changed.Spec.FileIDs = append(changed.Spec.FileIDs, "file-three")
			manifest := f.manifest(changed)
			err := test.apply(f.write(manifest), manifest)
			after := f.Get(t, "documents")
			if test.recreates {
				if err != nil || after.UID == before.UID || len(after.Spec.FileIDs) != 3 {
					t.Errorf("%v: the object has the files %v, want a new object with the changed files", err, after.Spec.FileIDs)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "immutable") {
				t.Errorf("the error is %v, want one that names the immutable field", err)
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("the object changed (-before +after):\n%s", diff)
			}
		})
	}
}

// TestApply_LargeIntegers applies a manifest with an integer above 2^53 twice: a tool that reads numbers as floating point
// would change it, and find a difference every time.
func TestApply_LargeIntegers(t *testing.T) {
	const number = "9007199254740993" // 2^53 + 1
	for tool, apply := range map[string]func(f *fixture, path string){
		"kubectl":               func(f *fixture, path string) { f.Kubectl.Must(f.t, "apply", "-f", path) },
		"kubectl --server-side": func(f *fixture, path string) { f.Kubectl.Must(f.t, "apply", "--server-side", "-f", path) },
		"Flux": func(f *fixture, path string) {
			manifests, err := utils.ReadObjects(strings.NewReader(read(f.t, path)))
			f.must(err)
			_, err = f.resourceManager().ApplyAll(f.t.Context(), manifests, applyOptions())
			f.must(err)
		},
	} {
		t.Run(tool, func(t *testing.T) {
			f := newFixture(t)
			attributes := v1alpha1.Attributes{"number": {Raw: []byte(number)}, "text": {Raw: []byte(`"` + number + `"`)}}
			path := f.write(f.manifest(f.Batch("documents", spec{FileIDs: stuck.FileIDs, Attributes: attributes})))
			if !strings.Contains(read(t, path), "number: "+number+"\n") {
				t.Fatalf("the manifest is\n%s", read(t, path))
			}
			apply(f, path)
			apply(f, path)
			b := f.Get(t, "documents")
			if got := string(b.Spec.Attributes["number"].Raw); got != number || b.Generation != 1 {
				t.Errorf("the attribute of generation %d is %s, want %s of the first", b.Generation, got, number)
			}
		})
	}
}

// TestWait_Succeeded runs the command of the init container in docs/guides/gitops.md.
func TestWait_Succeeded(t *testing.T) {
	match := regexp.MustCompile(`args: \[(wait, --for=[^,]+), --timeout=1h, vsfb/`).FindStringSubmatch(framework.ReadFile(t, "docs", "guides", "gitops.md"))
	if match == nil {
		t.Fatal("docs/guides/gitops.md has no init container that waits")
	}
	command := strings.Split(match[1], ", ")
	f := newFixture(t)
	f.StartManager(t, "wait", framework.Setup{})
	f.Create(t, f.Batch("cancelled", spec{FileIDs: stuck.FileIDs, Cancel: ptr.To(true)}))
	f.Create(t, f.Batch("completed", spec{FileIDs: []string{"file-one"}}))
	f.WaitForReason(t, "cancelled", "Cancelled")
	f.Kubectl.Must(t, append(command, "--timeout="+framework.Timeout.String(), "vsfb/completed")...)
	if output, err := f.Kubectl.Run(t.Context(), append(command, "--timeout=1s", "vsfb/cancelled")...); err == nil {
		t.Errorf("the container of the application starts after a cancelled batch: %s", output)
	}
}
