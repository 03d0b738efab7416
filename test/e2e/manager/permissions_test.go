// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// permissions returns the lines of kubectl auth can-i --list for an account.
func permissions(t *testing.T, kubectl framework.Kubectl, account string) []string {
	t.Helper()
	output := kubectl.Must(t, "auth", "can-i", "--list", "--no-headers", "--as=system:serviceaccount:"+account)
	var lines []string
	for line := range strings.Lines(output) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	slices.Sort(lines)
	return lines
}

// TestRBAC_Manager compares the permissions of the manager beyond those of every account.
func TestRBAC_Manager(t *testing.T) {
	t.Parallel()
	inEveryNamespace := []string{
		"events.events.k8s.io [] [] [create patch]",
		"secrets [] [] [get]",
		"subjectaccessreviews.authorization.k8s.io [] [] [create]",
		"tokenreviews.authentication.k8s.io [] [] [create]",
		"vectorstorefilebatches.vector-store-operator.dev [] [] [delete get list patch watch]",
		"vectorstorefilebatches.vector-store-operator.dev/status [] [] [patch]",
	}
	inItsNamespace := append([]string{
		"events [] [] [create patch]",
		"leases.coordination.k8s.io [] [] [get create update patch]",
	}, inEveryNamespace...)
	f := newFixtureWithoutSecret(t)
	for name, test := range map[string]struct {
		kubectl framework.Kubectl
		want    []string
	}{
		"in a namespace":   {f.Kubectl, inEveryNamespace},
		"in its namespace": {env.Kubectl.In(framework.SystemNamespace), inItsNamespace},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			others := permissions(t, test.kubectl, f.Namespace+":default")
			if len(others) == 0 {
				t.Fatal("the default account has no permission to compare with")
			}
			got := slices.DeleteFunc(permissions(t, test.kubectl, framework.SystemNamespace+":"+framework.ServiceAccount), func(line string) bool {
				return slices.Contains(others, line)
			})
			slices.Sort(test.want)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("permissions (-want +got):\n%s", diff)
			}
			for _, line := range got {
				if strings.Contains(line, "*") {
					t.Errorf("a permission has a wildcard: %s", line)
				}
			}
		})
	}
}

func TestRBAC_UserRoles(t *testing.T) {
	t.Parallel()
	f := newFixtureWithoutSecret(t)
	for role, permissions := range map[string]map[string]string{
		"view":  {"get": "yes", "list": "yes", "watch": "yes", "create": "no", "patch": "no", "delete": "no"},
		"edit":  {"get": "yes", "list": "yes", "watch": "yes", "create": "yes", "patch": "yes", "delete": "yes"},
		"admin": {"get": "yes", "list": "yes", "watch": "yes", "create": "yes", "patch": "yes", "delete": "yes"},
	} {
		f.Apply(t, `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"`+role+`"},
			"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"vector-store-operator-vectorstorefilebatch-`+map[string]string{"view": "viewer", "edit": "editor", "admin": "admin"}[role]+`-role"},
			"subjects":[{"kind":"User","name":"`+role+`","apiGroup":"rbac.authorization.k8s.io"}]}`)
		for verb, want := range permissions {
			output, _, _ := f.Try(t.Context(), "", "auth", "can-i", verb, "vectorstorefilebatches.vector-store-operator.dev", "--as="+role)
			if got := strings.TrimSpace(output); got != want {
				t.Errorf("%s can %s: %q, want %q", role, verb, got, want)
			}
		}
		// Only the operator writes the status.
		output, _, _ := f.Try(t.Context(), "", "auth", "can-i", "patch", "vectorstorefilebatches.vector-store-operator.dev", "--subresource=status", "--as="+role)
		if got := strings.TrimSpace(output); got != "no" {
			t.Errorf("%s can write the status: %q", role, got)
		}
	}
}
