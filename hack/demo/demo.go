// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
)

const (
	// The operator's home, as config/default names it.
	operatorNamespace = "vector-store-operator-system"
	operatorAccount   = "vector-store-operator-manager"

	userNamespace = "demo"
	vectorStore   = "vs_demo" // of config/samples
)

// demo is all that is running.
type demo struct {
	show     *show
	programs string
	// abandon stops the demo, when something ended that it cannot do without.
	abandon context.CancelCauseFunc
	started time.Time

	dir      string
	plane    *controlplane.ControlPlane
	upstream upstream
	emulator *process
	manager  *process
}

// setUp brings everything up, in the order in which one needs the other.
func (d *demo) setUp(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "vsfb-demo-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	d.dir = dir
	log.SetLogger(logr.Discard()) // of controller-runtime, which complains where there is none
	// kubectl would keep what it discovered of this short-lived server below the home folder.
	if err := os.Setenv("KUBECACHEDIR", filepath.Join(dir, "kubectl")); err != nil {
		return fmt.Errorf("setting KUBECACHEDIR: %w", err)
	}
	for _, step := range []func(context.Context) error{d.startCluster, d.startUpstream, d.install, d.startOperator, d.storeKey} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) startCluster(ctx context.Context) error {
	d.show.heading("A cluster", "A real etcd and kube-apiserver, started on this machine for this run.")
	plane, err := controlplane.Start()
	if err != nil {
		return err
	}
	d.plane = plane
	return d.kubectl(ctx, "version")
}

func (d *demo) startUpstream(ctx context.Context) error {
	d.show.heading("An upstream", "An emulator of the OpenAI API stands in for it; it has the vector store "+vectorStore+", and a key made for this run.")
	d.upstream.key = "sk-demo-" + strings.ToLower(rand.Text())
	emulator, err := d.start(ctx, "emulator", "--addr=127.0.0.1:0", "--store="+vectorStore, "--pace=300ms", "--api-key="+d.upstream.key)
	if err != nil {
		return err
	}
	d.emulator = emulator
	line, err := emulator.firstLine(ctx)
	if err != nil {
		return fmt.Errorf("waiting for the emulator to listen: %w", err)
	}
	url, found := strings.CutPrefix(line, "listening on ")
	if !found {
		return fmt.Errorf("the emulator's first line is %q, and not \"listening on URL\"", line)
	}
	d.upstream.url = url
	d.show.say("%s", line)
	return nil
}

func (d *demo) install(ctx context.Context) error {
	d.show.heading("The operator", "Installed as in any cluster: the custom resource, its admission policy, and the operator's rights.")
	args := []string{"apply", "--server-side", "-k", "config/default"}
	d.show.command("kubectl " + strings.Join(args, " "))
	output, err := d.quietly(ctx, args...)
	if err != nil {
		return err
	}
	d.show.say("%d objects applied", bytes.Count(output, []byte("\n")))
	return d.plane.Established(ctx, controlplane.CRD)
}

// startOperator runs the manager that was built, with nothing but the token of its own
// ServiceAccount: there is nobody here to run Pods, and RBAC counts all the same.
func (d *demo) startOperator(ctx context.Context) error {
	account, err := d.plane.ServiceAccountKubeconfig(ctx, operatorNamespace, operatorAccount)
	if err != nil {
		return err
	}
	d.manager, err = d.start(ctx, "manager", "--kubeconfig="+account,
		"--leader-elect", "--leader-election-namespace="+operatorNamespace, "--allow-insecure-endpoints",
		"--poll-interval-min=700ms", "--metrics-bind-address=0", "--health-probe-bind-address=0")
	if err != nil {
		return err
	}
	for _, right := range []struct{ verb, want string }{{"get", "yes"}, {"list", "no"}} {
		// can-i ends with an error where the answer is no.
		answer, _ := apart(controlplane.KubectlAs(ctx, account, "auth", "can-i", right.verb, "secrets", "--all-namespaces")).Output()
		d.show.check("the operator's token may "+right.verb+" Secrets", right.want, strings.TrimSpace(string(answer)))
	}
	return d.show.verdict()
}

func (d *demo) storeKey(ctx context.Context) error {
	d.show.heading("A key", "The key, and the endpoint that it is for, live in a Secret beside the batches that use them.")
	file := filepath.Join(d.dir, "openai.env")
	content := fmt.Sprintf("OPENAI_API_KEY=%s\nOPENAI_BASE_URL=%s/v1\n", d.upstream.key, d.upstream.url)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		return fmt.Errorf("writing the key: %w", err)
	}
	for _, args := range [][]string{
		{"create", "namespace", userNamespace},
		{"config", "set-context", "--current", "--namespace=" + userNamespace},
		{"create", "secret", "generic", "openai", "--from-env-file=" + file},
	} {
		if err := d.kubectl(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// keep leaves everything running until it is interrupted.
func (d *demo) keep(alive context.Context) error {
	d.show.heading("Your turn", "All of it goes on running until you press Ctrl-C here. In another terminal:")
	d.show.say(`export KUBECONFIG=%s PATH=%s:$PATH
kubectl get vsfb -o wide
kubectl describe vsfb scans
kubectl apply -f config/samples/smallest.yaml
kubectl wait --for=condition=Finished vsfb/smallest
kubectl delete vsfb adopted
curl -s %s/_emulator/batches
tail -f %s`, d.plane.Kubeconfig, os.Getenv("KUBEBUILDER_ASSETS"), d.upstream.url, d.manager.log)
	<-alive.Done()
	if cause := context.Cause(alive); errors.Is(cause, errEnded) {
		return cause
	}
	d.show.say("\ntaking everything down")
	return nil
}

// takeDown ends everything, in the opposite order, and leaves nothing behind. Where the demo
// failed, the end of the manager's log is all that is kept, on the screen.
func (d *demo) takeDown(failed bool) error {
	if failed && d.manager != nil {
		d.show.say("\nThe end of the manager's log:\n\n%s", d.manager.tail(15))
	}
	for _, p := range []*process{d.manager, d.emulator} {
		if p != nil {
			p.stop()
		}
	}
	var errs []error
	if d.plane != nil {
		errs = append(errs, d.plane.Stop())
	}
	if d.dir != "" {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}
