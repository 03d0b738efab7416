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
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// nodes simulate the controller of Deployments, and nodes that run Pods. Each replica is a Pod that the
// API server must admit, and a process of the built manager with the Pod's arguments, environment and
// files, and the token of its ServiceAccount.
//
// A process has no network and no file system of its own. It gets four more flags: the API server, two
// free loopback addresses to serve on, and the namespace that it would read from a file.
type nodes struct {
	*framework.Env

	t *testing.T

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
	process *framework.Process
	probes  string
}

// run runs the simulation until ctx ends, and stops all Pods then.
func (n *nodes) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := errors.Join(n.runDeployments(ctx), n.runTests(ctx)); err != nil && ctx.Err() == nil {
			n.t.Errorf("running the Pods: %v", err)
		}
		_ = framework.Pause(ctx, 100*time.Millisecond) // the loop checks ctx
	}
	for name := range n.rollouts {
		if err := n.stop(context.WithoutCancel(ctx), n.rollouts[name].replicas); err != nil {
			n.t.Error(err)
		}
	}
}

func (n *nodes) runDeployments(ctx context.Context) error {
	var list appsv1.DeploymentList
	if err := n.Client.List(ctx, &list); err != nil {
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

// roll replaces the Pods of a Deployment by those of its generation, and reports in its status that they
// are ready. It does not retry a generation that fails.
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

// report writes the status of a Deployment that is available.
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
	if err := n.Client.Status().Patch(ctx, d, client.MergeFrom(before)); err != nil {
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
	if err := n.Client.Create(ctx, pod); err != nil {
		return nil, fmt.Errorf("creating a Pod: %w", err)
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
	if r.probes, err = framework.FreeAddress(); err != nil {
		return nil, err
	}
	metrics, err := framework.FreeAddress()
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
	// The emulators are on this machine.
	args = append(args, framework.AllowLoopback, "--kubeconfig="+kubeconfig, "--health-probe-bind-address="+r.probes, "--leader-election-namespace="+pod.Namespace)
	r.process, err = framework.Run(framework.Command{
		Name: pod.Name, Path: filepath.Join(programs, "manager"), Args: args, Log: filepath.Join(folder, "log"), Env: n.environment(container.Env, translate),
	})
	return r, err
}

// home creates a folder for a Pod, and a kubeconfig with the token of its ServiceAccount.
func (n *nodes) home(ctx context.Context, pod *corev1.Pod) (folder, kubeconfig string, err error) {
	folder = filepath.Join(n.Dir, string(pod.UID))
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", "", err
	}
	given, err := n.ServiceAccountKubeconfig(ctx, pod.Namespace, pod.Spec.ServiceAccountName)
	if err != nil {
		return "", "", err
	}
	// The next Pod of the ServiceAccount overwrites the file.
	kubeconfig = filepath.Join(folder, "kubeconfig")
	return folder, kubeconfig, os.Rename(given, kubeconfig)
}

var reference = regexp.MustCompile(`\$\(([A-Za-z_][A-Za-z0-9_]*)\)`)

// environment returns the environment of a container with resolved references, as the kubelet does.
func (n *nodes) environment(variables []corev1.EnvVar, translate *strings.Replacer) []string {
	known := map[string]string{}
	if server, err := url.Parse(n.Config.Host); err == nil {
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

// files writes the projected ConfigMaps of a Pod below a folder, and returns a replacer of the paths in
// the container.
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
		if err := n.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: source.ConfigMap.Name}, &configMap); err != nil {
			return fmt.Errorf("reading a ConfigMap to mount: %w", err)
		}
		for _, item := range source.ConfigMap.Items {
			if err := os.WriteFile(filepath.Join(folder, item.Path), []byte(configMap.Data[item.Key]), 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// waitReady probes the readiness of the Pod, as the kubelet does.
func (r *replica) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, framework.Timeout/2)
	defer cancel()
	path := r.pod.Spec.Containers[0].ReadinessProbe.HTTPGet.Path
	return framework.Poll(ctx, "Pod "+r.pod.Name+" to be ready", func() (bool, error) {
		code, _, err := framework.Fetch(ctx, http.DefaultClient, "http://"+r.probes+path, "")
		if err != nil {
			return false, r.process.Err()
		}
		return code == http.StatusOK, nil
	})
}

func (n *nodes) stop(ctx context.Context, replicas []*replica) error {
	var errs []error
	for _, r := range replicas {
		ctx, cancel := context.WithTimeout(ctx, time.Duration(*r.pod.Spec.TerminationGracePeriodSeconds)*time.Second)
		r.process.Terminate()
		_, err := r.process.Wait(ctx)
		errs = append(errs, err)
		cancel()
		r.process.Kill()
		errs = append(errs, client.IgnoreNotFound(n.Client.Delete(context.WithoutCancel(ctx), r.pod, &client.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))})))
		if n.t.Failed() {
			n.t.Logf("the end of the log of %s:\n%s", r.pod.Name, r.process.Tail())
		}
	}
	return errors.Join(errs...)
}

// runTests runs the Pods of `helm test`, whose containers run kubectl.
func (n *nodes) runTests(ctx context.Context) error {
	var list corev1.PodList
	if err := n.Client.List(ctx, &list); err != nil {
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
			return fmt.Errorf("container %s of the test runs %v, want kubectl", container.Name, container.Command)
		}
		output, err := n.Kubectl.As(kubeconfig).Run(ctx, container.Args...)
		n.t.Logf("%s: kubectl %s: %s", container.Name, strings.Join(container.Args, " "), output)
		if err != nil {
			pod.Status.Phase = corev1.PodFailed
			break
		}
	}
	if err := n.Client.Status().Patch(ctx, pod, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("writing the status of Pod %s: %w", pod.Name, err)
	}
	return nil
}
