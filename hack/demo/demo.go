// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

const (
	userNamespace = "demo"
	vectorStore   = "vs_demo" // of config/samples
)

// errExited is the cause of a demo that stops because one of its processes exits.
var errExited = errors.New("exited")

// demo is what is running.
type demo struct {
	show     *show
	programs string
	// abandon stops the demo.
	abandon context.CancelCauseFunc
	started time.Time

	env      *framework.Env
	emulator *framework.Emulator
	manager  *framework.Process
}

// setUp starts everything.
func (d *demo) setUp(ctx context.Context) error {
	log.SetLogger(logr.Discard()) // controller-runtime warns if there is none
	for _, step := range []func(context.Context) error{d.startCluster, d.startEmulator, d.install, d.startOperator, d.createSecret} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) startCluster(ctx context.Context) error {
	d.show.heading("A cluster", "A real etcd and kube-apiserver, started on this machine for this run.")
	env, err := framework.Start(ctx, framework.Options{})
	if err != nil {
		return err
	}
	d.env = env
	return d.kubectl(ctx, "version")
}

// watchProcess stops the demo when a process exits.
func (d *demo) watchProcess(p *framework.Process) {
	go func() {
		<-p.Exited()
		d.abandon(fmt.Errorf("the %s %w", p.Name, errExited))
	}()
}

func (d *demo) startEmulator(ctx context.Context) error {
	d.show.heading("An OpenAI API", "An emulator of the OpenAI API, with the vector store "+vectorStore+" and an API key for this run.")
	flags := []string{"--store=" + vectorStore, "--pace=300ms"}
	emulator, err := framework.StartEmulator(ctx, d.program("emulator"), filepath.Join(d.env.Dir, "emulator.log"), flags...)
	if err != nil {
		return err
	}
	d.emulator = emulator
	d.watchProcess(emulator.Process)
	d.show.command("bin/emulator --addr=127.0.0.1:0 --api-key=" + emulator.Key + " " + strings.Join(flags, " "))
	d.show.say("listening on %s", emulator.URL)
	return nil
}

func (d *demo) program(name string) string { return filepath.Join(d.programs, name) }

func (d *demo) install(ctx context.Context) error {
	d.show.heading("The operator", "Installed as in any cluster: the custom resource, its admission policy, and the operator's permissions.")
	args := []string{"apply", "--server-side", "-k", "config/default"}
	d.show.command("kubectl " + strings.Join(args, " "))
	output, err := d.env.Kubectl.Run(ctx, args...)
	if err != nil {
		return err
	}
	d.show.say("%d objects applied", strings.Count(output, "\n"))
	return d.env.WaitForCRD(ctx, framework.CRD)
}

// startOperator runs the manager with the token of its ServiceAccount: no kubelet runs Pods here, but RBAC
// applies.
func (d *demo) startOperator(ctx context.Context) error {
	kubeconfig, err := d.env.ServiceAccountKubeconfig(ctx, framework.SystemNamespace, framework.ServiceAccount)
	if err != nil {
		return err
	}
	args := []string{
		"--kubeconfig=" + kubeconfig,
		"--leader-elect", "--leader-election-namespace=" + framework.SystemNamespace, "--allow-insecure-endpoints", "--allowed-addresses=127.0.0.1",
		"--poll-interval-min=700ms", "--metrics-bind-address=0", "--health-probe-bind-address=0",
	}
	d.show.command("bin/manager " + strings.Join(args, " "))
	if d.manager, err = framework.Run(framework.Command{Path: d.program("manager"), Args: args, Log: filepath.Join(d.env.Dir, "manager.log")}); err != nil {
		return err
	}
	d.watchProcess(d.manager)
	for _, permission := range []struct{ verb, want string }{{"get", "yes"}, {"list", "no"}} {
		// kubectl fails if the answer is no.
		answer, _ := d.env.Kubectl.As(kubeconfig).Run(ctx, "auth", "can-i", permission.verb, "secrets", "--all-namespaces")
		d.show.check("the operator can "+permission.verb+" Secrets", permission.want, strings.TrimSpace(answer))
	}
	return d.show.result()
}

func (d *demo) createSecret(ctx context.Context) error {
	d.show.heading("A key", "The key and its endpoint are in a Secret, in the namespace of the batches.")
	file := filepath.Join(d.env.Dir, "openai.env")
	content := fmt.Sprintf("OPENAI_API_KEY=%s\nOPENAI_BASE_URL=%s\n", d.emulator.Key, d.emulator.BaseURL())
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

// keep keeps everything running until it is interrupted.
func (d *demo) keep(alive context.Context) error {
	d.show.heading("Your turn", "Everything keeps running until you press Ctrl-C here. In another terminal:")
	d.show.say(`export KUBECONFIG=%s PATH=%s:$PATH
kubectl get vsfb -o wide
kubectl describe vsfb scans
kubectl apply -f config/samples/smallest.yaml
kubectl wait --for=condition=Finished vsfb/smallest
kubectl delete vsfb adopted
curl -s %s/_emulator/batches
tail -f %s`, d.env.Kubeconfig, os.Getenv("KUBEBUILDER_ASSETS"), d.emulator.URL, d.manager.Log)
	<-alive.Done()
	if cause := context.Cause(alive); errors.Is(cause, errExited) {
		return cause
	}
	d.show.say("\nstopping everything")
	return nil
}

// tearDown stops everything in the reverse order, and removes its files. If the demo failed, it shows the
// end of the manager's log.
func (d *demo) tearDown(ctx context.Context, failed bool) error {
	if d.env == nil {
		return nil
	}
	if failed && d.manager != nil {
		d.show.say("\nThe end of the manager's log:\n\n%s", d.manager.Tail())
	}
	ctx, cancel := context.WithTimeout(ctx, framework.Timeout)
	defer cancel()
	// A process that exited has its error in the cause already.
	_ = d.manager.Stop(ctx)
	if d.emulator != nil {
		d.emulator.Kill()
	}
	return d.env.Stop()
}
