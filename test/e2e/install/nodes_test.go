// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
)

// nodes stand in for what an API server alone lacks: the controller of Deployments, and nodes
// that run Pods. Each replica is a Pod that the API server has to admit, and a process of the
// built manager with the Pod's arguments, environment and files, and the token of its account.
//
// A Pod has a network and a file system of its own, and a process has not. So a process gets
// four more flags: where the API server is, that it serves on free ports of loopback only, and
// the namespace that it would read from a file.
type nodes struct {
	t       *testing.T
	plane   *controlplane.ControlPlane
	client  client.Client
	program string
	folder  string

	rollouts map[types.NamespacedName]*rollout
	started  int
}

// rollout is a generation of a Deployment that runs.
type rollout struct {
	generation int64
	replicas   []*replica
}

// replica is a Pod and its process.
type replica struct {
	pod     *corev1.Pod
	process *process
	probes  string
}

// run does what controllers and nodes do until the context ends, and then stops everything.
func (n *nodes) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := errors.Join(n.runDeployments(ctx), n.runTests(ctx)); err != nil && ctx.Err() == nil {
			n.t.Errorf("running what is to be run: %v", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	for name := range n.rollouts {
		if err := n.stop(context.WithoutCancel(ctx), n.rollouts[name].replicas); err != nil {
			n.t.Error(err)
		}
	}
}

func (n *nodes) runDeployments(ctx context.Context) error {
	var list appsv1.DeploymentList
	if err := n.client.List(ctx, &list); err != nil {
		return fmt.Errorf("listing Deployments: %w", err)
	}
	wanted := map[types.NamespacedName]bool{}
	var errs []error
	for i := range list.Items {
		d := &list.Items[i]
		name := client.ObjectKeyFromObject(d)
		wanted[name] = d.DeletionTimestamp == nil
		if current := n.rollouts[name]; wanted[name] && (current == nil || current.generation != d.Generation) {
			errs = append(errs, n.roll(ctx, d))
		}
	}
	for name, current := range n.rollouts {
		if !wanted[name] {
			delete(n.rollouts, name)
			errs = append(errs, n.stop(ctx, current.replicas))
		}
	}
	return errors.Join(errs...)
}

// roll replaces the Pods of a Deployment by those of its present generation, and says in its
// status that they are ready. A generation that cannot run is not tried again.
func (n *nodes) roll(ctx context.Context, d *appsv1.Deployment) error {
	name := client.ObjectKeyFromObject(d)
	var old []*replica
	if current := n.rollouts[name]; current != nil {
		old = current.replicas
	}
	next := &rollout{generation: d.Generation}
	n.rollouts[name] = next
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		if err := n.stop(ctx, old); err != nil {
			return err
		}
		old = nil
	}
	for range *d.Spec.Replicas {
		r, err := n.startReplica(ctx, d)
		if err != nil {
			return errors.Join(fmt.Errorf("running Deployment %s: %w", name, err), n.stop(ctx, old))
		}
		next.replicas = append(next.replicas, r)
	}
	for _, r := range next.replicas {
		if err := r.waitReady(ctx); err != nil {
			return errors.Join(err, n.stop(ctx, old))
		}
	}
	return errors.Join(n.stop(ctx, old), n.report(ctx, d))
}

// report writes the status that the Deployment's controller writes once all is well.
func (n *nodes) report(ctx context.Context, d *appsv1.Deployment) error {
	before := d.DeepCopy()
	replicas := *d.Spec.Replicas
	d.Status = appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: replicas, UpdatedReplicas: replicas,
		ReadyReplicas: replicas, AvailableReplicas: replicas,
		Conditions: []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, Reason: "MinimumReplicasAvailable"},
			{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable"},
		},
	}
	if err := n.client.Status().Patch(ctx, d, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("writing the status of Deployment %s: %w", d.Name, err)
	}
	return nil
}

func (n *nodes) startReplica(ctx context.Context, d *appsv1.Deployment) (*replica, error) {
	n.started++
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: fmt.Sprintf("%s-%d", d.Name, n.started),
			Labels: d.Spec.Template.Labels, Annotations: d.Spec.Template.Annotations,
		},
		Spec: *d.Spec.Template.Spec.DeepCopy(),
	}
	if err := n.client.Create(ctx, pod); err != nil {
		return nil, fmt.Errorf("making a Pod: %w", err)
	}
	folder, kubeconfig, err := n.home(ctx, pod)
	if err != nil {
		return nil, err
	}
	container := pod.Spec.Containers[0]
	translate, err := n.files(ctx, pod, folder)
	if err != nil {
		return nil, err
	}
	r := &replica{pod: pod}
	if r.probes, err = freeAddress(ctx); err != nil {
		return nil, err
	}
	metrics, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	args := slices.Clone(container.Args)
	for i := range args {
		args[i] = translate.Replace(args[i])
	}
	if !slices.Contains(args, "--metrics-bind-address=0") {
		args = append(args, "--metrics-bind-address="+metrics)
	}
	args = append(args, "--kubeconfig="+kubeconfig, "--health-probe-bind-address="+r.probes, "--leader-election-namespace="+pod.Namespace)
	r.process, err = start(filepath.Join(folder, "log"), n.program, n.environment(container.Env, translate), args)
	return r, err
}

// home makes a folder for a Pod, with a kubeconfig that has its account's token in it.
func (n *nodes) home(ctx context.Context, pod *corev1.Pod) (folder, kubeconfig string, err error) {
	folder = filepath.Join(n.folder, string(pod.UID))
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", "", err
	}
	given, err := n.plane.ServiceAccountKubeconfig(ctx, pod.Namespace, pod.Spec.ServiceAccountName)
	if err != nil {
		return "", "", err
	}
	// The given file is written anew for the account's next Pod.
	kubeconfig = filepath.Join(folder, "kubeconfig")
	return folder, kubeconfig, os.Rename(given, kubeconfig)
}

var reference = regexp.MustCompile(`\$\(([A-Za-z_][A-Za-z0-9_]*)\)`)

// environment is that of a container, with what the kubelet adds, and references resolved.
func (n *nodes) environment(variables []corev1.EnvVar, translate *strings.Replacer) []string {
	known := map[string]string{}
	if server, err := url.Parse(n.plane.Config.Host); err == nil {
		known["KUBERNETES_SERVICE_HOST"] = server.Hostname()
	}
	environment := []string{}
	for _, variable := range variables {
		value := reference.ReplaceAllStringFunc(variable.Value, func(found string) string {
			if value, is := known[found[2:len(found)-1]]; is {
				return value
			}
			return found
		})
		known[variable.Name] = translate.Replace(value)
		environment = append(environment, variable.Name+"="+known[variable.Name])
	}
	return environment
}

// files writes the projected ConfigMaps of a Pod below a folder, and gives what turns the paths
// of the container into those.
func (n *nodes) files(ctx context.Context, pod *corev1.Pod, folder string) (*strings.Replacer, error) {
	var paths []string
	for _, mount := range pod.Spec.Containers[0].VolumeMounts {
		there := filepath.Join(folder, mount.Name)
		paths = append(paths, mount.MountPath, there)
		for _, volume := range pod.Spec.Volumes {
			if volume.Name != mount.Name || volume.Projected == nil {
				continue
			}
			if err := n.project(ctx, pod.Namespace, there, volume.Projected.Sources); err != nil {
				return nil, err
			}
		}
	}
	return strings.NewReplacer(paths...), nil
}

func (n *nodes) project(ctx context.Context, namespace, folder string, sources []corev1.VolumeProjection) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for _, source := range sources {
		if source.ConfigMap == nil {
			continue
		}
		var configMap corev1.ConfigMap
		if err := n.client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: source.ConfigMap.Name}, &configMap); err != nil {
			return fmt.Errorf("reading what is to be mounted: %w", err)
		}
		for _, item := range source.ConfigMap.Items {
			if err := os.WriteFile(filepath.Join(folder, item.Path), []byte(configMap.Data[item.Key]), 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// waitReady asks for the Pod's readiness as the kubelet does.
func (r *replica) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience/2)
	defer cancel()
	path := r.pod.Spec.Containers[0].ReadinessProbe.HTTPGet.Path
	err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.probes+path, http.NoBody)
		if err != nil {
			return false, err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false, r.process.died()
		}
		return response.StatusCode == http.StatusOK, response.Body.Close()
	})
	if err != nil {
		return fmt.Errorf("waiting for Pod %s: %w: %s", r.pod.Name, err, r.process.tail())
	}
	return nil
}

func (n *nodes) stop(ctx context.Context, replicas []*replica) error {
	var errs []error
	for _, r := range replicas {
		ctx, cancel := context.WithTimeout(ctx, time.Duration(*r.pod.Spec.TerminationGracePeriodSeconds)*time.Second)
		errs = append(errs, r.process.terminate(ctx))
		cancel()
		errs = append(errs, client.IgnoreNotFound(n.client.Delete(context.WithoutCancel(ctx), r.pod, &client.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))})))
		if n.t.Failed() {
			n.t.Logf("the end of the log of %s:\n%s", r.pod.Name, r.process.tail())
		}
	}
	return errors.Join(errs...)
}

// runTests runs the Pods of `helm test`, whose containers are kubectl.
func (n *nodes) runTests(ctx context.Context) error {
	var list corev1.PodList
	if err := n.client.List(ctx, &list); err != nil {
		return fmt.Errorf("listing Pods: %w", err)
	}
	var errs []error
	for i := range list.Items {
		pod := &list.Items[i]
		if pod.Annotations["helm.sh/hook"] == "test" && pod.Status.Phase == corev1.PodPending {
			errs = append(errs, n.runTest(ctx, pod))
		}
	}
	return errors.Join(errs...)
}

func (n *nodes) runTest(ctx context.Context, pod *corev1.Pod) error {
	_, kubeconfig, err := n.home(ctx, pod)
	if err != nil {
		return err
	}
	before := pod.DeepCopy()
	pod.Status.Phase = corev1.PodSucceeded
	for _, container := range append(slices.Clone(pod.Spec.InitContainers), pod.Spec.Containers...) {
		if len(container.Command) != 1 || container.Command[0] != "kubectl" {
			return fmt.Errorf("container %s of the test runs %v, and there is only kubectl here", container.Name, container.Command)
		}
		output, err := controlplane.KubectlAs(ctx, kubeconfig, container.Args...).CombinedOutput()
		n.t.Logf("%s: kubectl %s: %s", container.Name, strings.Join(container.Args, " "), output)
		if err != nil {
			pod.Status.Phase = corev1.PodFailed
			break
		}
	}
	if err := n.client.Status().Patch(ctx, pod, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("writing the status of Pod %s: %w", pod.Name, err)
	}
	return nil
}
