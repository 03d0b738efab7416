// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/check"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// checkReport is the output of kubectl vsfb check.
type checkReport struct {
	Operator    []check.Row     `json:"operator"`
	Credentials []check.Row     `json:"credentials"`
	Server      *check.Findings `json:"server"`
}

// check runs the command with the namespace as that of the operator. It requires that no output has the
// key.
func (w *workspace) check(args ...string) (r checkReport, err error) {
	w.Helper()
	args = append([]string{"check", "--operator-namespace", w.Namespace, "-o", "json"}, args...)
	output, said, err := w.try(args...)
	if strings.Contains(output+said, apiKey) {
		w.Errorf("the key is printed: %s%s", output, said)
	}
	if decodeErr := json.Unmarshal([]byte(output), &r); decodeErr != nil {
		w.Fatalf("%v: %v: %s%s", decodeErr, err, output, said)
	}
	return r, err
}

// want requires the result of a check.
func (w *workspace) want(r checkReport, name string, status check.Status, text string) {
	w.Helper()
	for _, row := range slices.Concat(r.Operator, r.Credentials) {
		if row.Check == name {
			if row.Status != status || !strings.Contains(row.Message, text) {
				w.Errorf("%s is %s: %s; want %s with %q", name, row.Status, row.Message, status, text)
			}
			return
		}
	}
	w.Errorf("there is no check %s in %+v", name, r)
}

var managerLabels = map[string]string{
	"app.kubernetes.io/name": "vector-store-operator", "app.kubernetes.io/component": "manager", "app.kubernetes.io/instance": "test",
}

// managerFlags are flags with which a manager can use the emulator.
var managerFlags = []string{"--leader-elect", "--allow-insecure-endpoints", "--allowed-addresses=127.0.0.1"}

// createManagerPod creates a Pod that looks like one of the operator. There is no kubelet.
func (w *workspace) createManagerPod(name string, ready bool, flags ...string) {
	w.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name, Labels: managerLabels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "manager", Image: "registry.example/vector-store-operator:dev", Args: flags}}},
	}
	w.Create(w.T, pod)
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "manager", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}}}
	if ready {
		pod.Status.Conditions[0].Status, pod.Status.ContainerStatuses = corev1.ConditionTrue, nil
	}
	if err := w.Client.Status().Update(w.Context(), pod); err != nil {
		w.Fatal(err)
	}
}

// createLease creates the Lease of the leader.
func (w *workspace) createLease(holder string, renewed time.Time) {
	w.Helper()
	seconds := int32(15)
	w.Create(w.T, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "vector-store-operator.dev"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &metav1.MicroTime{Time: renewed}},
	})
}

func TestCheck_Healthy(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.createManagerPod("manager-a", true, managerFlags...)
	w.createManagerPod("manager-b", true, managerFlags...)
	w.createLease("manager-b_5f0c", time.Now())
	r, err := w.check()
	if err != nil {
		t.Error(err)
	}
	for _, row := range slices.Concat(r.Operator, r.Credentials) {
		if row.Status != check.OK {
			t.Errorf("%s is %s: %s", row.Check, row.Status, row.Message)
		}
	}
	w.want(r, "manager_pods", check.OK, "2 of 2 Pods are ready")
	w.want(r, "manager_version", check.OK, "registry.example/vector-store-operator:dev")
	w.want(r, "leader", check.OK, "manager-b")
	w.want(r, "key_accepted", check.OK, "")
	if r.Server != nil {
		t.Error("the server was examined without --server")
	}
	text := w.vsfb("check", "--operator-namespace", w.Namespace)
	if !strings.Contains(text, "OPERATOR") || !strings.Contains(text, "CREDENTIALS") || strings.Contains(text, "SERVER") {
		t.Errorf("it printed\n%s", text)
	}
}

func TestCheck_OperatorProblems(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare func(w *workspace)
		check   string
		status  check.Status
		want    string
	}{
		"no Pods": {func(*workspace) {}, "manager_pods", check.Failed, "Install the operator"},
		"scaled down": {func(w *workspace) {
			zero := int32(0)
			w.Create(w.T, &appsv1.Deployment{
				ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "manager", Labels: managerLabels},
				Spec: appsv1.DeploymentSpec{
					Replicas: &zero, Selector: &metav1.LabelSelector{MatchLabels: managerLabels},
					Template: corev1.PodTemplateSpec{
						ObjectMeta: metav1.ObjectMeta{Labels: managerLabels},
						Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "manager", Image: "x"}}},
					},
				},
			})
		}, "manager_pods", check.Failed, "0 replicas and no Pod. Scale it up"},
		"none ready": {func(w *workspace) { w.createManagerPod("a", false) }, "manager_pods", check.Failed, "ImagePullBackOff"},
		"one ready": {func(w *workspace) {
			w.createManagerPod("a", true, managerFlags...)
			w.createManagerPod("b", false, managerFlags...)
		}, "manager_pods", check.Warning, "1 of 2 Pods are ready"},
		"no Lease":     {func(w *workspace) { w.createManagerPod("a", true, managerFlags...) }, "leader", check.Failed, "not found"},
		"empty holder": {func(w *workspace) { w.createManagerPod("a", true, managerFlags...); w.createLease("", time.Now()) }, "leader", check.Failed, "no holder"},
		"old Lease": {func(w *workspace) {
			w.createManagerPod("a", true, managerFlags...)
			w.createLease("a_1", time.Now().Add(-time.Hour))
		}, "leader", check.Failed, "has not renewed"},
		"other holder": {func(w *workspace) {
			w.createManagerPod("a", true, managerFlags...)
			w.createLease("z_1", time.Now())
		}, "leader", check.Warning, "none of the Pods"},
		"no election":     {func(w *workspace) { w.createManagerPod("a", true); w.createManagerPod("b", true) }, "leader", check.Failed, "without --leader-elect"},
		"one without":     {func(w *workspace) { w.createManagerPod("a", true) }, "leader", check.OK, "disabled"},
		"other namespace": {func(w *workspace) { w.createManagerPod("a", true, "--watch-namespaces=one,two") }, "watched_namespace", check.Failed, "create objects in one, two"},
		"labels":          {func(w *workspace) { w.createManagerPod("a", true, "--watch-label-selector=team=a") }, "watched_namespace", check.Warning, "team=a"},
		"other endpoint": {func(w *workspace) {
			w.createManagerPod("a", true, append([]string{"--allowed-endpoints=host.example"}, managerFlags...)...)
		}, "allowed_endpoint", check.Failed, "--allowed-endpoints"},
		"loopback": {func(w *workspace) { w.createManagerPod("a", true, "--allow-insecure-endpoints") }, "allowed_endpoint", check.Failed, "--allowed-addresses"},
		"insecure": {func(w *workspace) { w.createManagerPod("a", true) }, "base_url", check.Failed, "--allow-insecure-endpoints"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t, emulator.Options{})
			test.prepare(w)
			r, err := w.check()
			w.want(r, test.check, test.status, test.want)
			if (test.status == check.Failed) && err == nil {
				t.Error("the exit code is 0")
			}
		})
	}
}

func TestCheck_Secret(t *testing.T) {
	t.Parallel()
	w := newWorkspaceWithoutSecret(t, emulator.Options{})
	r, err := w.check()
	w.want(r, "secret", check.Failed, "Secret "+w.Namespace+"/openai not found")
	if err == nil {
		t.Error("the exit code is 0")
	}
	w.Create(t, framework.NewSecret(w.Namespace, "quoted", `"`+apiKey+`"`, w.BaseURL))
	r, _ = w.check("--secret", "quoted")
	w.want(r, "api_key", check.Failed, "quotation marks")
	w.want(r, "key_accepted", check.Skipped, "")
	w.Create(t, framework.NewSecret(w.Namespace, "wrong", "sk-test-wrong-0123456789", w.BaseURL))
	r, _ = w.check("--secret", "wrong", "--server")
	w.want(r, "key_accepted", check.Failed, "Incorrect API key provided")
	if r.Server != nil {
		t.Error("the server was examined with a key that it rejects")
	}
}

// TestCheck_WithoutPermissions runs the command as a user who can do nothing, and as one who can read
// the Secret.
func TestCheck_WithoutPermissions(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	user := []string{"--as", "nobody-" + w.Namespace, "--as-group", "system:authenticated"}
	r, err := w.check(user...)
	if err != nil {
		t.Error(err)
	}
	w.want(r, "crd", check.OK, "")
	for _, name := range []string{"admission_policy", "manager_pods", "manager_version", "leader", "watched_namespace", "secret"} {
		w.want(r, name, check.Skipped, "")
	}
	w.want(r, "manager_pods", check.Skipped, "list pods in namespace "+w.Namespace)
	w.want(r, "admission_policy", check.Skipped, "list validatingadmissionpolicies.admissionregistration.k8s.io")
	w.want(r, "secret", check.Skipped, "get secrets in namespace "+w.Namespace)

	w.Create(t, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "secrets"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}}},
	})
	w.Create(t, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "secrets"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "secrets"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user[1]}},
	})
	framework.Eventually(t, "the role to take effect", func() bool {
		r, _ = w.check(user...)
		return slices.ContainsFunc(r.Credentials, func(row check.Row) bool { return row.Check == "key_accepted" })
	})
	w.want(r, "key_accepted", check.OK, "")
	w.want(r, "allowed_endpoint", check.Skipped, "flags of the operator are not known")
}

// wantClean requires that the emulator has no object but the vector store of the fixture.
func (w *workspace) wantClean() {
	w.Helper()
	for path, left := range map[string]int{"/v1/vector_stores": 1, "/v1/files": 0} {
		_, body, err := framework.Send(w.Context(), http.DefaultClient, http.MethodGet, w.URL+path, apiKey, "")
		var list struct{ Data []json.RawMessage }
		if err != nil || json.Unmarshal([]byte(body), &list) != nil || len(list.Data) != left {
			w.Errorf("%s: %v: %s", path, err, body)
		}
	}
}

func TestCheck_Server(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{Profile: emulator.ProfileOGX})
	r, err := w.check("--server")
	if err == nil || r.Server == nil || len(r.Server.Behaviors) == 0 { // there is no operator
		t.Fatalf("%v: %+v", err, r)
	}
	read := len(r.Server.Behaviors)
	r, _ = w.check("--server", "--write")
	observed := map[string]check.Observation{}
	for _, b := range r.Server.Behaviors {
		observed[b.ID] = b.Status
	}
	if len(observed) <= read || observed["files_ignored"] != check.Observed || observed["login_page"] != check.NotObserved {
		t.Errorf("it observed %v", observed)
	}
	w.wantClean()
	if complaint := w.refused("check", "--write"); !strings.Contains(complaint, "--write requires --server") {
		t.Errorf("it printed %s", complaint)
	}
}

func TestCheck_WithoutCluster(t *testing.T) {
	t.Parallel()
	w := newWorkspaceWithoutSecret(t, emulator.Options{})
	w.setenv("KUBECONFIG=" + os.DevNull)
	if complaint := w.refused("check", "--base-url", w.BaseURL); !strings.Contains(complaint, "a check failed") {
		t.Errorf("without a key, it printed %s", complaint)
	}
	w.setenv("OPENAI_API_KEY=" + apiKey)
	r, err := w.check("--base-url", w.BaseURL, "--server", "--write")
	if err != nil || len(r.Operator) > 0 || r.Server == nil || len(r.Server.NotRemoved) > 0 {
		t.Errorf("%v: %+v", err, r)
	}
	w.wantClean()
	w.setenv("OPENAI_BASE_URL=" + w.BaseURL)
	if r, err = w.check("--from-env"); err != nil || r.Server != nil {
		t.Errorf("%v: %+v", err, r)
	}
	text := w.vsfb("check", "--from-env", "--server", "-o", "wide")
	if !strings.Contains(text, "DETAIL") || strings.Contains(text, "OPERATOR") {
		t.Errorf("it printed\n%s", text)
	}
}

func TestCheck_Interrupted(t *testing.T) {
	t.Parallel()
	w := newWorkspaceWithoutSecret(t, emulator.Options{})
	w.withKey()
	command := w.Kubectl.Cmd(t.Context(), "vsfb", "check", "--from-env", "--server", "--write", "-o", "json")
	var output, said strings.Builder
	command.Stdout, command.Stderr = &output, &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	w.until("some uploads", func() bool { return len(w.uploads()) > 4 })
	// Wrappers such as timeout send the signal twice.
	for range 2 {
		if err := command.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	if err := command.Wait(); err == nil || command.ProcessState.ExitCode() != 130 {
		t.Errorf("it exited with %v", command.ProcessState)
	}
	if !strings.Contains(said.String(), "removing 2 vector stores") || !strings.Contains(output.String(), `"interrupted"`) {
		t.Errorf("it printed\n%s%s", said.String(), output.String())
	}
	w.wantClean()
}

func TestCheck_SeveralInstallations(t *testing.T) {
	t.Parallel()
	one, other := newWorkspace(t, emulator.Options{}), newWorkspace(t, emulator.Options{})
	one.createManagerPod("manager", true, managerFlags...)
	other.createManagerPod("manager", true, managerFlags...)
	r, _ := one.check("--operator-namespace=")
	one.want(r, "manager_pods", check.Warning, "several namespaces")
	one.want(r, "leader", check.Skipped, "--operator-namespace")
}

func TestCheck_CRDAndPolicies(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	r, _ := w.check()
	w.want(r, "crd", check.OK, "v1alpha1")
	w.want(r, "admission_policy", check.OK, "")
	var policies admissionv1.ValidatingAdmissionPolicyList
	if err := w.Client.List(t.Context(), &policies); err != nil || len(policies.Items) != 2 {
		t.Errorf("%v: there are %d policies, of which the command requires 2", err, len(policies.Items))
	}
}
