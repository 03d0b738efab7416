// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

const (
	resource = "vectorstorefilebatches"
	// managerLabels select the Pods of every installation that has the chart's default names.
	managerLabels = "app.kubernetes.io/name=vector-store-operator,app.kubernetes.io/component=manager"
	// defaultLease is the default of the manager's flag --leader-election-id.
	defaultLease = "vector-store-operator.dev"
	// policies is the number of ValidatingAdmissionPolicies of the operator.
	policies = 2
)

// Cluster checks the installation of the operator in a cluster, with the permissions of the user.
type Cluster struct {
	Config *rest.Config
	// Namespace is the namespace of the user's objects.
	Namespace string
	// OperatorNamespace is the namespace of the operator. If it is empty, all namespaces are searched.
	OperatorNamespace string
	// Version is the version of the plugin.
	Version string
	// Timeout bounds each request.
	Timeout time.Duration
	// Now returns the current time.
	Now func() time.Time
}

// Operator is what the checks found out about the operator.
type Operator struct {
	Rows []Row
	// Flags are the flags of its managers. It is nil if they could not be read.
	Flags *ManagerFlags
}

// Check checks the installation. Its error is one of the configuration of the client.
func (c Cluster) Check(ctx context.Context) (Operator, error) {
	api, err := newReader(c.Config, c.Timeout)
	if err != nil {
		return Operator{}, err
	}
	k := &clusterCheck{Cluster: c, api: api}
	k.crd(ctx)
	k.policies(ctx)
	k.managers(ctx)
	return Operator{Rows: k.rows, Flags: k.flags}, nil
}

// Images returns the images of the operator's Pods, sorted and without duplicates.
func (c Cluster) Images(ctx context.Context) ([]string, error) {
	api, err := newReader(c.Config, c.Timeout)
	if err != nil {
		return nil, err
	}
	k := &clusterCheck{Cluster: c, api: api}
	list, err := get[corev1.PodList](ctx, k.api, k.path("/api/v1", "pods"), managerLabels)
	if err != nil {
		return nil, fmt.Errorf("listing Pods in %s: %w", k.where(), err)
	}
	return imagesOf(slices.DeleteFunc(list.Items, isFinished)), nil
}

// imagesOf returns the images of the managers, sorted and without duplicates.
func imagesOf(pods []corev1.Pod) []string {
	var images []string
	for _, pod := range pods {
		images = append(images, managerContainer(pod).Image)
	}
	slices.Sort(images)
	return slices.Compact(images)
}

// clusterCheck is a run of a Cluster.
type clusterCheck struct {
	Cluster
	rows
	api   reader
	flags *ManagerFlags
}

// crd checks that the API server serves the version that this plugin uses. Every user can read that.
func (k *clusterCheck) crd(ctx context.Context) {
	const check = "crd"
	version := v1alpha1.GroupVersion.String()
	served, err := get[metav1.APIResourceList](ctx, k.api, "/apis/"+version, "")
	switch {
	case err == nil && slices.ContainsFunc(served.APIResources, func(r metav1.APIResource) bool { return r.Name == resource }):
		k.add(check, OK, "The API server serves "+resource+" in "+version+".")
	case err == nil || apierrors.IsNotFound(err):
		k.missingVersion(ctx, check, version)
	default:
		k.addError(check, "get the API group "+v1alpha1.GroupVersion.Group, err)
	}
}

// missingVersion reports whether there is no CRD, or one without the version.
func (k *clusterCheck) missingVersion(ctx context.Context, check, version string) {
	group, err := get[metav1.APIGroup](ctx, k.api, "/apis/"+v1alpha1.GroupVersion.Group, "")
	if err != nil || len(group.Versions) == 0 {
		k.add(check, Failed, "The cluster does not serve "+resource+". Install the CRD of the operator, or update it.")
		return
	}
	others := make([]string, 0, len(group.Versions))
	for _, served := range group.Versions {
		others = append(others, served.Version)
	}
	k.add(check, Failed, fmt.Sprintf("The API server serves %s, but not %s of %s. Update the CRD, or use the plugin of the operator's version.",
		strings.Join(others, ", "), resource, version))
}

// policies checks the ValidatingAdmissionPolicies, whose names depend on the installation.
func (k *clusterCheck) policies(ctx context.Context) {
	const check = "admission_policy"
	list, err := get[admissionv1.ValidatingAdmissionPolicyList](ctx, k.api, "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies", "")
	if err != nil {
		k.addError(check, "list validatingadmissionpolicies.admissionregistration.k8s.io", err)
		return
	}
	found := slices.DeleteFunc(list.Items, func(p admissionv1.ValidatingAdmissionPolicy) bool { return !validatesBatches(p) })
	bindings, err := get[admissionv1.ValidatingAdmissionPolicyBindingList](ctx, k.api, "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings", "")
	if err != nil {
		k.addError(check, "list validatingadmissionpolicybindings.admissionregistration.k8s.io", err)
		return
	}
	bound := 0
	for _, policy := range found {
		if slices.ContainsFunc(bindings.Items, func(b admissionv1.ValidatingAdmissionPolicyBinding) bool { return b.Spec.PolicyName == policy.Name }) {
			bound++
		}
	}
	switch {
	case len(found) == 0:
		k.add(check, Warning, "No ValidatingAdmissionPolicy validates attributes, so that invalid ones are found only after the object was created. Apply config/policy, or set admissionPolicy.enabled in the chart.")
	case bound < len(found) || len(found) < policies:
		k.add(check, Warning, fmt.Sprintf("%d of %d ValidatingAdmissionPolicies are installed and %d are bound. Apply config/policy again, or upgrade the chart.", len(found), policies, bound))
	default:
		k.add(check, OK, "The ValidatingAdmissionPolicies are installed and bound.")
	}
}

// validatesBatches reports whether a policy is about the objects of the operator.
func validatesBatches(policy admissionv1.ValidatingAdmissionPolicy) bool {
	if policy.Spec.MatchConstraints == nil {
		return false
	}
	return slices.ContainsFunc(policy.Spec.MatchConstraints.ResourceRules, func(r admissionv1.NamedRuleWithOperations) bool {
		return slices.Contains(r.APIGroups, v1alpha1.GroupVersion.Group) && slices.Contains(r.Resources, resource)
	})
}

// managers checks the Pods of the operator, their versions, their leader and their flags.
func (k *clusterCheck) managers(ctx context.Context) {
	list, err := get[corev1.PodList](ctx, k.api, k.path("/api/v1", "pods"), managerLabels)
	pods := slices.DeleteFunc(list.Items, isFinished)
	switch namespaces := namespacesOf(pods); {
	case err != nil:
		k.addError("manager_pods", "list pods in "+k.where(), err)
		k.skipManagers("Requires the Pods of the operator.")
		return
	case len(namespaces) > 1:
		k.add("manager_pods", Warning, fmt.Sprintf("The operator is installed in several namespaces (%s). Set --operator-namespace to one of them.", strings.Join(namespaces, ", ")))
		k.skipManagers("Requires --operator-namespace.")
		return
	case len(pods) == 0:
		k.noManagers(ctx)
		return
	}
	k.readiness(pods)
	k.versions(pods)
	flags := flagsOf(pods[0])
	k.flags = &flags
	k.leader(ctx, pods, flags)
	k.watches(flags)
}

// isFinished reports whether a Pod will not run again.
func isFinished(pod corev1.Pod) bool {
	return pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
}

// skipManagers skips the checks that require the Pods.
func (k *clusterCheck) skipManagers(message string) {
	for _, check := range []string{"manager_version", "leader", "watched_namespace"} {
		k.add(check, Skipped, message)
	}
}

// path returns the path of a resource in the namespace of the operator, or in all namespaces.
func (k *clusterCheck) path(group, resource string) string {
	if k.OperatorNamespace != "" {
		group += "/namespaces/" + k.OperatorNamespace
	}
	return group + "/" + resource
}

// where describes the namespaces that are searched.
func (k *clusterCheck) where() string {
	if k.OperatorNamespace == "" {
		return "all namespaces (or set --operator-namespace to the operator's)"
	}
	return "namespace " + k.OperatorNamespace
}

// noManagers reports why there are no Pods.
func (k *clusterCheck) noManagers(ctx context.Context) {
	const check = "manager_pods"
	deployments, err := get[appsv1.DeploymentList](ctx, k.api, k.path("/apis/apps/v1", "deployments"), "app.kubernetes.io/name=vector-store-operator")
	searched := "any namespace"
	if k.OperatorNamespace != "" {
		searched = "namespace " + k.OperatorNamespace
	}
	if err != nil || len(deployments.Items) == 0 {
		k.add(check, Failed, fmt.Sprintf("No Pod in %s has the labels %s. Install the operator.", searched, managerLabels))
		return
	}
	d := deployments.Items[0]
	replicas := int32(1)
	if d.Spec.Replicas != nil {
		replicas = *d.Spec.Replicas
	}
	remedy := "Describe its ReplicaSet: its Pods cannot be created."
	if replicas == 0 {
		remedy = "Scale it up."
	}
	k.add(check, Failed, fmt.Sprintf("Deployment %s/%s has %d replicas and no Pod. %s", d.Namespace, d.Name, replicas, remedy))
}

func (k *clusterCheck) readiness(pods []corev1.Pod) {
	const check = "manager_pods"
	var waiting []string
	for _, pod := range pods {
		if !isReady(pod) {
			waiting = append(waiting, pod.Namespace+"/"+pod.Name+reasonOf(pod))
		}
	}
	switch ready := len(pods) - len(waiting); {
	case ready == 0:
		k.add(check, Failed, fmt.Sprintf("None of %d Pods is ready: %s. See their logs and Events.", len(pods), strings.Join(waiting, ", ")))
	case len(waiting) > 0:
		k.add(check, Warning, fmt.Sprintf("%d of %d Pods are ready; not ready: %s. See their logs and Events.", ready, len(pods), strings.Join(waiting, ", ")))
	default:
		k.add(check, OK, fmt.Sprintf("%d of %d Pods are ready in namespace %s.", ready, len(pods), strings.Join(namespacesOf(pods), ", ")))
	}
}

func isReady(pod corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// reasonOf returns why a Pod is not ready, in parentheses, if the API server knows.
func reasonOf(pod corev1.Pod) string {
	for _, status := range pod.Status.ContainerStatuses {
		if status.State.Waiting != nil && status.State.Waiting.Reason != "" {
			return " (" + status.State.Waiting.Reason + ")"
		}
	}
	if pod.Status.Reason != "" {
		return " (" + pod.Status.Reason + ")"
	}
	return ""
}

func namespacesOf(pods []corev1.Pod) []string {
	var names []string
	for _, pod := range pods {
		names = append(names, pod.Namespace)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// versions checks that all Pods run the same image, and compares its tag with the plugin.
func (k *clusterCheck) versions(pods []corev1.Pod) {
	const check = "manager_version"
	images := imagesOf(pods)
	if len(images) > 1 {
		k.add(check, Warning, fmt.Sprintf("The Pods run several images: %s. Wait for the rollout, or see why it does not proceed.", strings.Join(images, ", ")))
		return
	}
	tag := tagOf(images[0])
	if isRelease(tag) && isRelease(k.Version) && strings.TrimPrefix(tag, "v") != strings.TrimPrefix(k.Version, "v") {
		k.add(check, Warning, fmt.Sprintf("The Pods run %s, and the plugin is %s. Use the plugin of the operator's version.", images[0], k.Version))
		return
	}
	k.add(check, OK, "The Pods run "+images[0]+".")
}

func managerContainer(pod corev1.Pod) corev1.Container {
	for _, container := range pod.Spec.Containers {
		if container.Name == "manager" {
			return container
		}
	}
	if len(pod.Spec.Containers) == 0 {
		return corev1.Container{}
	}
	return pod.Spec.Containers[0]
}

// tagOf returns the tag of an image, or an empty string.
func tagOf(image string) string {
	image, _, _ = strings.Cut(image, "@")
	name := image[strings.LastIndex(image, "/")+1:]
	_, tag, _ := strings.Cut(name, ":")
	return tag
}

// isRelease reports whether a version is that of a release, such as v0.1.0.
func isRelease(version string) bool {
	version = strings.TrimPrefix(version, "v")
	return version != "" && version[0] >= '0' && version[0] <= '9' && strings.Count(version, ".") == 2
}

// leader checks the Lease of the leader.
func (k *clusterCheck) leader(ctx context.Context, pods []corev1.Pod, flags ManagerFlags) {
	const check = "leader"
	if !flags.leaderElect {
		if len(pods) > 1 {
			k.add(check, Failed, fmt.Sprintf("%d Pods run without --leader-elect, so that each of them reconciles all objects. Set the flag, or run one Pod.", len(pods)))
			return
		}
		k.add(check, OK, "Leader election is disabled, with one Pod.")
		return
	}
	namespace, name := flags.leaseNamespace, flags.lease
	if namespace == "" {
		namespace = pods[0].Namespace
	}
	lease, err := get[coordinationv1.Lease](ctx, k.api, "/apis/coordination.k8s.io/v1/namespaces/"+namespace+"/leases/"+name, "")
	switch {
	case apierrors.IsNotFound(err):
		k.add(check, Failed, fmt.Sprintf("Lease %s/%s not found: no Pod has become the leader. See the logs of the Pods.", namespace, name))
	case err != nil:
		k.addError(check, "get leases.coordination.k8s.io in namespace "+namespace, err)
	case lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "":
		k.add(check, Failed, fmt.Sprintf("Lease %s/%s has no holder: no Pod is the leader. See the logs of the Pods.", namespace, name))
	case lease.Spec.RenewTime != nil && k.Now().Sub(lease.Spec.RenewTime.Time) > 4*leaseDuration(lease.Spec.LeaseDurationSeconds):
		k.add(check, Failed, fmt.Sprintf("The leader %s has not renewed Lease %s/%s for %s. See the logs of the Pods.", *lease.Spec.HolderIdentity, namespace, name, k.Now().Sub(lease.Spec.RenewTime.Time).Round(time.Second)))
	default:
		k.holder(check, *lease.Spec.HolderIdentity, pods)
	}
}

func leaseDuration(seconds *int32) time.Duration {
	if seconds == nil {
		return 15 * time.Second
	}
	return time.Duration(*seconds) * time.Second
}

// holder checks that the holder of the Lease, whose name begins with that of its Pod, is one of the Pods.
func (k *clusterCheck) holder(check, holder string, pods []corev1.Pod) {
	name, _, _ := strings.Cut(holder, "_")
	if slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.Name == name }) {
		k.add(check, OK, "The leader is "+name+".")
		return
	}
	k.add(check, Warning, "The leader "+name+" is none of the Pods. A Pod that ended may still hold the Lease for some seconds; otherwise, another process runs as the operator.")
}

// watches checks that the operator reconciles the objects of the user's namespace.
func (k *clusterCheck) watches(flags ManagerFlags) {
	const check = "watched_namespace"
	switch {
	case len(flags.watchNamespaces) > 0 && !slices.Contains(flags.watchNamespaces, k.Namespace):
		k.add(check, Failed, fmt.Sprintf("The operator's flag --watch-namespaces does not contain namespace %s: add it, or create objects in %s.", k.Namespace, strings.Join(flags.watchNamespaces, ", ")))
	case flags.selector != "":
		k.add(check, Warning, fmt.Sprintf("The operator reconciles only objects with the labels %s (--watch-label-selector). Set them on your objects.", flags.selector))
	default:
		k.add(check, OK, "The operator reconciles objects in namespace "+k.Namespace+".")
	}
}

// addError adds a row for a failed request to the API server: skipped without the permission.
func (k *clusterCheck) addError(check, permission string, err error) {
	if apierrors.IsForbidden(err) {
		k.add(check, Skipped, "You are not permitted to "+permission+".")
		return
	}
	if apierrors.IsUnauthorized(err) {
		k.add(check, Failed, "The API server rejected your credentials. Log in again, or see your kubeconfig.")
		return
	}
	k.add(check, Failed, fmt.Sprintf("The API server could not be asked: %v.", err))
}
