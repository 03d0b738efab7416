// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plugin_test runs the built kubectl plugin, through kubectl, against a real API server, a
// stand-in for the upstream and the built manager.
package plugin_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

const (
	startTimeout = 3 * time.Minute
	// patience is how long anything may take that is bound to happen. It is only ever used up by
	// a test that fails.
	patience = time.Minute
	apiKey   = "sk-plugin-5b1f3e7790c24d18"
	store    = "vs_plugin"
)

// shared is what all tests share; each has a namespace and an upstream of its own.
var shared struct {
	plane   *controlplane.ControlPlane
	folder  string
	manager *exec.Cmd
}

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	defer func() {
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}()
	if err := start(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func start(ctx context.Context) (err error) {
	if shared.folder, err = os.MkdirTemp("", "vsfb-plugin-"); err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", shared.folder, "./cmd/manager", "./cmd/kubectl-vsfb")
	build.Dir = controlplane.Root()
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs: %w: %s", err, output)
	}
	if shared.plane, err = controlplane.Start(); err != nil {
		return err
	}
	if err := shared.plane.Install(ctx, "crd", "policy"); err != nil {
		return err
	}
	logs, err := os.Create(filepath.Join(shared.folder, "manager.log"))
	if err != nil {
		return fmt.Errorf("making a log: %w", err)
	}
	defer func() { _ = logs.Close() }() // the manager has its own
	shared.manager = exec.Command(filepath.Join(shared.folder, "manager"), "--kubeconfig="+shared.plane.Kubeconfig,
		"--metrics-bind-address=0", "--health-probe-bind-address=0", "--allow-insecure-endpoints",
		"--poll-interval-min=200ms", "--poll-interval-max=500ms")
	shared.manager.Stdout, shared.manager.Stderr = logs, logs
	if err := shared.manager.Start(); err != nil {
		return fmt.Errorf("starting the manager: %w", err)
	}
	return nil
}

func stop() error {
	var errs []error
	if shared.manager != nil {
		errs = append(errs, shared.manager.Process.Signal(syscall.SIGTERM), shared.manager.Wait())
	}
	if shared.plane != nil {
		errs = append(errs, shared.plane.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(shared.folder))...)
}

// world is a namespace, an upstream, and a home folder of somebody who uses kubectl.
type world struct {
	*testing.T
	upstream   *emulator.Server
	url        string
	namespace  string
	kubeconfig string
	// home and folder are the user's home and working folder, and environment is added to
	// what there is.
	home, folder string
	environment  []string
}

func newWorld(t *testing.T, options emulator.Options) *world {
	t.Helper()
	w := worldWithoutSecret(t, options)
	w.kubectl("create", "secret", "generic", "openai",
		"--from-literal=OPENAI_API_KEY="+apiKey, "--from-literal=OPENAI_BASE_URL="+w.url)
	return w
}

func worldWithoutSecret(t *testing.T, options emulator.Options) *world {
	t.Helper()
	options.APIKeys, options.VectorStores = []string{apiKey}, []string{store}
	w := &world{T: t, upstream: emulator.New(options), kubeconfig: shared.plane.Kubeconfig, home: t.TempDir(), folder: t.TempDir()}
	server := httptest.NewServer(w.upstream)
	t.Cleanup(server.Close)
	w.url = server.URL + "/v1"
	w.namespace = "plugin-" + strings.ToLower(rand.Text()[:10])
	if _, err := shared.plane.Run(t.Context(), "create", "namespace", w.namespace); err != nil {
		t.Fatal(err)
	}
	return w
}

// command makes a command that runs kubectl, which finds the plugin on its PATH.
func (w *world) command(ctx context.Context, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), args...)
	command.Dir = w.folder
	command.Env = append([]string{
		"PATH=" + shared.folder + string(filepath.ListSeparator) + os.Getenv("KUBEBUILDER_ASSETS") + string(filepath.ListSeparator) + os.Getenv("PATH"),
		"HOME=" + w.home, "KUBECONFIG=" + w.kubeconfig, "KUBECACHEDIR=" + filepath.Join(w.home, "cache"),
		"LANG=C.UTF-8", "TERM=xterm-256color",
	}, w.environment...)
	return command
}

// try runs the plugin in the namespace, which may fail.
func (w *world) try(args ...string) (output, complaint string, err error) {
	w.Helper()
	return w.execute(append(append([]string{"vsfb"}, args...), "--namespace", w.namespace)...)
}

func (w *world) execute(args ...string) (output, complaint string, err error) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 3*patience)
	defer cancel()
	command := w.command(ctx, args...)
	var out, complaints bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaints
	err = command.Run()
	return out.String(), complaints.String(), err
}

// vsfb runs the plugin in the namespace, and gives what it printed.
func (w *world) vsfb(args ...string) string {
	w.Helper()
	output, complaint, err := w.try(args...)
	if err != nil {
		w.Fatalf("kubectl vsfb %s: %v: %s", strings.Join(args, " "), err, complaint)
	}
	return output
}

// refused runs the plugin, demands that it fails, and gives what it complained of.
func (w *world) refused(args ...string) string {
	w.Helper()
	output, complaint, err := w.try(args...)
	if err == nil {
		w.Fatalf("kubectl vsfb %s did not fail, and printed %s", strings.Join(args, " "), output)
	}
	return complaint
}

// kubectl runs kubectl itself in the namespace.
func (w *world) kubectl(args ...string) string {
	w.Helper()
	output, complaint, err := w.execute(append(args, "--namespace", w.namespace)...)
	if err != nil {
		w.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, complaint)
	}
	return output
}

// apply applies a manifest server-side, as a field manager.
func (w *world) apply(manager, manifest string, flags ...string) {
	w.Helper()
	path := filepath.Join(w.TempDir(), "manifest.yaml")
	if err := os.WriteFile(path, []byte(manifest), 0o600); err != nil {
		w.Fatal(err)
	}
	w.kubectl(append([]string{"apply", "--server-side", "--field-manager=" + manager, "-f", path}, flags...)...)
}

// manifest is a batch of the files, with further lines of its spec.
func manifest(name string, fileIDs []string, lines ...string) string {
	return fmt.Sprintf("apiVersion: vector-store-operator.dev/v1alpha1\nkind: VectorStoreFileBatch\nmetadata: {name: %s, labels: {team: docs}}\nspec:\n  vectorStoreID: %s\n  fileIDs: [%s]\n%s",
		name, store, strings.Join(fileIDs, ", "), strings.Join(lines, "\n"))
}

// fileIDs are IDs of files that just work, or, with a prefix of the emulator's, do not.
func fileIDs(prefix string, count int) []string {
	ids := make([]string, count)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s%04d", prefix, i)
	}
	return ids
}

func (w *world) object(name string) *v1alpha1.VectorStoreFileBatch {
	w.Helper()
	b := &v1alpha1.VectorStoreFileBatch{}
	if err := json.Unmarshal([]byte(w.kubectl("get", "vsfb", name, "--output=json")), b); err != nil {
		w.Fatal(err)
	}
	return b
}

// await waits until an object's condition Ready has the reason.
func (w *world) await(name, reason string) {
	w.Helper()
	w.kubectl("wait", "vsfb/"+name, `--for=jsonpath={.status.conditions[?(@.type=="Ready")].reason}=`+reason, "--timeout="+patience.String())
}

// until polls for a condition, and fails the test where it does not come to hold.
func (w *world) until(what string, done func() bool) {
	w.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			w.Fatalf("waited in vain for %s", what)
		}
	}
}
