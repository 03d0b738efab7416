// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// permissions are the lines of kubectl auth can-i --list, of an account.
func permissions(t *testing.T, n tenant, account string) []string {
	t.Helper()
	output := n.kubectl(t, "auth", "can-i", "--list", "--no-headers", "--as=system:serviceaccount:"+account)
	var lines []string
	for line := range strings.Lines(output) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	slices.Sort(lines)
	return lines
}

// TestTheOperatorMayDoNoMoreThanItHasTo compares what its account may do beyond what every
// account may.
func TestTheOperatorMayDoNoMoreThanItHasTo(t *testing.T) {
	t.Parallel()
	everywhere := []string{
		"events.events.k8s.io [] [] [create patch]",
		"secrets [] [] [get]",
		"subjectaccessreviews.authorization.k8s.io [] [] [create]",
		"tokenreviews.authentication.k8s.io [] [] [create]",
		"vectorstorefilebatches.vector-store-operator.dev [] [] [delete get list patch watch]",
		"vectorstorefilebatches.vector-store-operator.dev/status [] [] [patch]",
	}
	home := append([]string{
		"events [] [] [create patch]",
		"leases.coordination.k8s.io [] [] [get create update patch]",
	}, everywhere...)
	somewhere := newTenant(t)
	for name, test := range map[string]struct {
		tenant tenant
		want   []string
	}{
		"in a namespace": {somewhere, everywhere},
		"at home":        {tenant{namespace: systemNamespace}, home},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			anybody := permissions(t, test.tenant, somewhere.namespace+":default")
			if len(anybody) == 0 {
				t.Fatal("nothing is allowed to anybody: there is nothing to compare with")
			}
			got := slices.DeleteFunc(permissions(t, test.tenant, systemNamespace+":"+serviceAccount), func(line string) bool {
				return slices.Contains(anybody, line)
			})
			slices.Sort(test.want)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("permissions (-want +got):\n%s", diff)
			}
			for _, line := range got {
				if strings.Contains(line, "*") {
					t.Errorf("there is a wildcard: %s", line)
				}
			}
		})
	}
}

// TestSecretsCannotBeLookedFor asks one by one, as a list of rules does not show what several
// of them add up to.
func TestSecretsCannotBeLookedFor(t *testing.T) {
	t.Parallel()
	n := newTenant(t)
	as := "--as=system:serviceaccount:" + systemNamespace + ":" + serviceAccount
	for verb, want := range map[string]string{
		"get": "yes", "list": "no", "watch": "no", "create": "no", "update": "no", "patch": "no", "delete": "no", "deletecollection": "no",
	} {
		for _, scope := range []string{"", "--all-namespaces"} {
			args := []string{"auth", "can-i", verb, "secrets", as}
			if scope != "" {
				args = append(args, scope)
			}
			// Where the answer is no, kubectl ends with an error.
			output, _, _ := n.try(t, "", args...)
			if got := strings.TrimSpace(output); got != want {
				t.Errorf("kubectl %s: %q, want %q", strings.Join(args, " "), got, want)
			}
		}
	}
}

func TestPeopleGetTheirRoles(t *testing.T) {
	t.Parallel()
	n := newTenant(t)
	for role, may := range map[string]map[string]string{
		"view":  {"get": "yes", "list": "yes", "watch": "yes", "create": "no", "patch": "no", "delete": "no"},
		"edit":  {"get": "yes", "list": "yes", "watch": "yes", "create": "yes", "patch": "yes", "delete": "yes"},
		"admin": {"get": "yes", "list": "yes", "watch": "yes", "create": "yes", "patch": "yes", "delete": "yes"},
	} {
		n.apply(t, `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"`+role+`"},
			"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"vector-store-operator-vectorstorefilebatch-`+map[string]string{"view": "viewer", "edit": "editor", "admin": "admin"}[role]+`-role"},
			"subjects":[{"kind":"User","name":"`+role+`","apiGroup":"rbac.authorization.k8s.io"}]}`)
		for verb, want := range may {
			output, _, _ := n.try(t, "", "auth", "can-i", verb, "vectorstorefilebatches.vector-store-operator.dev", "--as="+role)
			if got := strings.TrimSpace(output); got != want {
				t.Errorf("%s may %s: %q, want %q", role, verb, got, want)
			}
		}
		// The status is the operator's.
		output, _, _ := n.try(t, "", "auth", "can-i", "patch", "vectorstorefilebatches.vector-store-operator.dev", "--subresource=status", "--as="+role)
		if got := strings.TrimSpace(output); got != "no" {
			t.Errorf("%s may write the status: %q", role, got)
		}
	}
}
