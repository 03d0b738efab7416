// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controlplane runs a real etcd and kube-apiserver on loopback, for the demo and the
// tests, and installs what config/ holds with a real kubectl. The programs are those in the
// folder that KUBEBUILDER_ASSETS names; hack/controlplane/assets.sh finds or builds them.
package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// CRD is the name of this project's CRD.
const CRD = "vectorstorefilebatches.vector-store-operator.dev"

// ControlPlane is a running API server with its etcd.
type ControlPlane struct {
	// Config is an administrator's way in, without client-side rate limits.
	Config *rest.Config
	// Kubeconfig is a file with the same.
	Kubeconfig string

	environment *envtest.Environment
	dir         string
}

// Start brings the control plane up. Stop ends it.
func Start() (*ControlPlane, error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS is not set: run `make test`, or export KUBEBUILDER_ASSETS=$(hack/controlplane/assets.sh)")
	}
	environment := &envtest.Environment{}
	// etcd keeps every version of an object until the next compaction, and refuses all writes when
	// that comes to 2 GiB, its default.
	environment.ControlPlane.Etcd = &envtest.Etcd{}
	environment.ControlPlane.Etcd.Configure().Set("quota-backend-bytes", strconv.Itoa(8<<30))
	config, err := environment.Start()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the control plane: %w", err), environment.Stop())
	}
	config.QPS = -1
	c := &ControlPlane{Config: config, environment: environment}
	if err := c.writeKubeconfig(); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// Stop ends the API server and etcd, and removes what they kept.
func (c *ControlPlane) Stop() error {
	return errors.Join(c.environment.Stop(), os.RemoveAll(c.dir))
}

func (c *ControlPlane) writeKubeconfig() error {
	dir, err := os.MkdirTemp("", "vsfb-controlplane-")
	if err != nil {
		return fmt.Errorf("making a folder for the kubeconfig: %w", err)
	}
	c.dir, c.Kubeconfig = dir, filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(c.Kubeconfig, c.environment.KubeConfig, 0o600); err != nil {
		return fmt.Errorf("writing the kubeconfig: %w", err)
	}
	return nil
}

// Kubectl makes a command that runs kubectl as the administrator, in the repository's root.
func (c *ControlPlane) Kubectl(ctx context.Context, args ...string) *exec.Cmd {
	return KubectlAs(ctx, c.Kubeconfig, args...)
}

// KubectlAs makes a command that runs kubectl with a kubeconfig, in the repository's root. What
// kubectl keeps of the API server's answers stands beside the kubeconfig: in the home folder
// it would outlive the API server, and be taken for another one's on the same port.
func KubectlAs(ctx context.Context, kubeconfig string, args ...string) *exec.Cmd {
	kubectl := filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl")
	cache := filepath.Join(filepath.Dir(kubeconfig), "kubectl-cache")
	command := exec.CommandContext(ctx, kubectl, append([]string{"--kubeconfig", kubeconfig, "--cache-dir", cache}, args...)...)
	command.Dir = Root()
	return command
}

// Run runs kubectl as the administrator and gives what it printed; an error quotes what it
// complained of.
func (c *ControlPlane) Run(ctx context.Context, args ...string) (string, error) {
	var complaints bytes.Buffer
	command := c.Kubectl(ctx, args...)
	command.Stderr = &complaints
	output, err := command.Output()
	if err != nil {
		return string(output), fmt.Errorf("kubectl %v: %w: %s", args, err, bytes.TrimSpace(complaints.Bytes()))
	}
	return string(output), nil
}

// Established waits until the API server serves the Kind of a CRD, which is given by its name. A
// CRD that is new has null for conditions, for which kubectl does not wait but gives up; the
// accepted names come together with the first ones.
func (c *ControlPlane) Established(ctx context.Context, crd string) error {
	plural, _, _ := strings.Cut(crd, ".")
	for _, state := range []string{"jsonpath={.status.acceptedNames.plural}=" + plural, "condition=Established"} {
		if _, err := c.Run(ctx, "wait", "crd/"+crd, "--for="+state, "--timeout=60s"); err != nil {
			return fmt.Errorf("waiting for the CRD: %w", err)
		}
	}
	return nil
}

// Install applies kustomize folders below config/, and waits until the CRD is served.
func (c *ControlPlane) Install(ctx context.Context, folders ...string) error {
	for _, folder := range folders {
		if _, err := c.Run(ctx, "apply", "--server-side", "-k", filepath.Join("config", folder)); err != nil {
			return fmt.Errorf("installing config/%s: %w", folder, err)
		}
	}
	if err := c.Established(ctx, CRD); err != nil {
		return err
	}
	// This makes kubectl forget what it found out before there was the CRD, such as that
	// there is no short name vsfb.
	if _, err := c.Run(ctx, "api-resources", "--api-group=vector-store-operator.dev"); err != nil {
		return fmt.Errorf("discovering the CRD: %w", err)
	}
	return nil
}

// ServiceAccountKubeconfig asks for a token of a ServiceAccount, as a Pod's kubelet does, and
// writes a kubeconfig that has nothing else. It gives the file's path.
func (c *ControlPlane) ServiceAccountKubeconfig(ctx context.Context, namespace, name string) (string, error) {
	clientset, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return "", fmt.Errorf("making a client: %w", err)
	}
	expiry := int64(24 * 60 * 60)
	token, err := clientset.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &expiry}}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("asking for a token of ServiceAccount %s/%s: %w", namespace, name, err)
	}
	file := filepath.Join(c.dir, "serviceaccount-"+name)
	kubeconfig := clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: c.Config.Host, CertificateAuthorityData: c.Config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {Token: token.Status.Token}},
		Contexts:       map[string]*clientcmdapi.Context{"c": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "c",
	}
	if err := clientcmd.WriteToFile(kubeconfig, file); err != nil {
		return "", fmt.Errorf("writing the kubeconfig of ServiceAccount %s/%s: %w", namespace, name, err)
	}
	return file, nil
}

// Root is the root of this repository's checkout: the folder with PROJECT in it, at or above
// the one that this process runs in.
func Root() string {
	here, err := os.Getwd()
	if err != nil {
		return "."
	}
	for dir := here; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "PROJECT")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return here
		}
	}
}
