// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

const (
	// CRD is the name of the project's CRD.
	CRD = "vectorstorefilebatches.vector-store-operator.dev"
	// SystemNamespace is the namespace of the manager in config/default.
	SystemNamespace = "vector-store-operator-system"
	// ServiceAccount is the manager's ServiceAccount in it.
	ServiceAccount = "vector-store-operator-manager"
)

// Options select what Start prepares beside the control plane.
type Options struct {
	// Install lists the kustomize folders below config/ to apply, such as "crd" or "default".
	Install []string
	// Build lists the programs of cmd/ to build, such as "manager". They are built while the control
	// plane starts.
	Build []string
	// BuildFlags are further flags of go build.
	BuildFlags []string
}

// Env is a running control plane, with clients and built programs.
type Env struct {
	// Config has an administrator's rights, without client-side rate limits.
	Config *rest.Config
	// Kubeconfig is a file with the same rights.
	Kubeconfig string
	// Kubectl runs kubectl with the same rights.
	Kubectl Kubectl
	// Client has the same rights, and no cache. It knows the built-in types and the project's.
	Client client.Client
	// HTTPClient has the same rights. It follows no redirect and has no timeout.
	HTTPClient *http.Client
	// Dir holds kubeconfigs, logs and built programs until Stop.
	Dir string

	environment *envtest.Environment
}

// Start starts etcd and kube-apiserver from the folder that KUBEBUILDER_ASSETS names, and does what
// the options select. Callers must Stop the Env that it returns.
func Start(ctx context.Context, options Options) (*Env, error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS is not set: run `make test`, or export KUBEBUILDER_ASSETS=$(hack/controlplane/assets.sh)")
	}
	dir, err := os.MkdirTemp("", "vsfb-test-")
	if err != nil {
		return nil, fmt.Errorf("creating a folder: %w", err)
	}
	e := &Env{Dir: dir, environment: &envtest.Environment{}}
	built := make(chan error, 1)
	go func() { built <- Build(ctx, dir, options.BuildFlags, options.Build...) }()
	err = e.startControlPlane()
	if err == nil {
		err = e.connect()
	}
	if err == nil && len(options.Install) > 0 {
		err = e.Install(ctx, options.Install...)
	}
	if err := errors.Join(err, <-built); err != nil {
		return nil, errors.Join(err, e.Stop())
	}
	return e, nil
}

// Stop stops the control plane and removes Dir. It stops no other process.
func (e *Env) Stop() error {
	return errors.Join(e.environment.Stop(), os.RemoveAll(e.Dir))
}

func (e *Env) startControlPlane() error {
	// etcd keeps every version of an object until the next compaction, and rejects all writes beyond
	// its quota, 2 GiB by default.
	e.environment.ControlPlane.Etcd = &envtest.Etcd{}
	e.environment.ControlPlane.Etcd.Configure().Set("quota-backend-bytes", strconv.Itoa(8<<30))
	config, err := e.environment.Start()
	if err != nil {
		return fmt.Errorf("starting the control plane: %w", err)
	}
	config.QPS = -1
	e.Config, e.Kubeconfig = config, filepath.Join(e.Dir, "kubeconfig")
	e.Kubectl = Kubectl{Kubeconfig: e.Kubeconfig}
	if err := os.WriteFile(e.Kubeconfig, e.environment.KubeConfig, 0o600); err != nil {
		return fmt.Errorf("writing the kubeconfig: %w", err)
	}
	return nil
}

func (e *Env) connect() error {
	scheme := runtime.NewScheme()
	err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
	if err != nil {
		return fmt.Errorf("creating a scheme: %w", err)
	}
	if e.Client, err = client.New(e.Config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("creating a client: %w", err)
	}
	if e.HTTPClient, err = rest.HTTPClientFor(e.Config); err != nil {
		return fmt.Errorf("creating an HTTP client: %w", err)
	}
	e.HTTPClient.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	e.HTTPClient.Timeout = 0
	return nil
}

// Program returns the path of a program that Options.Build named.
func (e *Env) Program(name string) string { return filepath.Join(e.Dir, name) }

// Install applies kustomize folders below config/, and waits until the API server serves the CRD.
func (e *Env) Install(ctx context.Context, folders ...string) error {
	for _, folder := range folders {
		if _, err := e.Kubectl.Run(ctx, "apply", "--server-side", "-k", filepath.Join("config", folder)); err != nil {
			return fmt.Errorf("installing config/%s: %w", folder, err)
		}
	}
	if err := e.WaitForCRD(ctx, CRD); err != nil {
		return err
	}
	// kubectl caches what it discovered before the CRD was there, such as that the short name vsfb
	// is unknown. This refreshes the cache.
	if _, err := e.Kubectl.Run(ctx, "api-resources", "--api-group=vector-store-operator.dev"); err != nil {
		return fmt.Errorf("discovering the CRD: %w", err)
	}
	return nil
}

// WaitForCRD waits until the API server serves a CRD. The conditions of a new CRD are null, for
// which kubectl wait fails at once; the accepted names are set together with the first condition.
func (e *Env) WaitForCRD(ctx context.Context, name string) error {
	plural, _, _ := strings.Cut(name, ".")
	for _, state := range []string{"jsonpath={.status.acceptedNames.plural}=" + plural, "condition=Established"} {
		if _, err := e.Kubectl.Run(ctx, "wait", "crd/"+name, "--for="+state, "--timeout=60s"); err != nil {
			return fmt.Errorf("waiting for the CRD: %w", err)
		}
	}
	return nil
}

// ServiceAccountKubeconfig requests a token of a ServiceAccount, as the kubelet does for a Pod, and
// writes a kubeconfig with that token alone. It returns the path of the file.
func (e *Env) ServiceAccountKubeconfig(ctx context.Context, namespace, name string) (string, error) {
	clientset, err := kubernetes.NewForConfig(e.Config)
	if err != nil {
		return "", fmt.Errorf("creating a client: %w", err)
	}
	expiry := int64(24 * 60 * 60)
	token, err := clientset.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &expiry}}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("requesting a token of ServiceAccount %s/%s: %w", namespace, name, err)
	}
	file := filepath.Join(e.Dir, "serviceaccount-"+namespace+"-"+name)
	cluster := &clientcmdapi.Cluster{Server: e.Config.Host, CertificateAuthorityData: e.Config.CAData}
	return file, writeKubeconfig(file, cluster, &clientcmdapi.AuthInfo{Token: token.Status.Token})
}

// writeKubeconfig writes a kubeconfig for a cluster, without a user if user is nil.
func writeKubeconfig(file string, cluster *clientcmdapi.Cluster, user *clientcmdapi.AuthInfo) error {
	config := clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": cluster},
		Contexts:       map[string]*clientcmdapi.Context{"c": {Cluster: "c"}},
		CurrentContext: "c",
	}
	if user != nil {
		config.AuthInfos = map[string]*clientcmdapi.AuthInfo{"u": user}
		config.Contexts["c"].AuthInfo = "u"
	}
	if err := clientcmd.WriteToFile(config, file); err != nil {
		return fmt.Errorf("writing a kubeconfig: %w", err)
	}
	return nil
}

// WriteProxyKubeconfig writes a kubeconfig for a proxy at a URL, which authenticates by itself.
func WriteProxyKubeconfig(file, url string) error {
	return writeKubeconfig(file, &clientcmdapi.Cluster{Server: url}, nil)
}
