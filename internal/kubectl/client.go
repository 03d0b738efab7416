// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

const resource = "vectorstorefilebatches"

// scheme contains the VectorStoreFileBatch types only.
var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(v1alpha1.AddToScheme(s))
	metav1.AddToGroupVersion(s, metav1.SchemeGroupVersion)
	return s
}()

// batchClient reads and writes the VectorStoreFileBatches of a namespace.
type batchClient struct {
	rest *rest.RESTClient
	// namespace is empty to list all namespaces.
	namespace string
}

func (p *plugin) restConfig() (*rest.Config, error) {
	config, err := p.configFlags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("loading the kubeconfig: %w", err)
	}
	config = rest.CopyConfig(config)
	config.UserAgent = "kubectl-vsfb/" + p.Version
	// Disable client-side rate limiting; the API server has API Priority and Fairness.
	config.QPS = -1
	return config, nil
}

// newBatchClient returns a client for the namespace of the flags and the kubeconfig.
func (p *plugin) newBatchClient() (batchClient, error) {
	namespace, err := p.namespace()
	if err != nil {
		return batchClient{}, err
	}
	config, err := p.restConfig()
	if err != nil {
		return batchClient{}, err
	}
	config.GroupVersion = &v1alpha1.GroupVersion
	config.APIPath = "/apis"
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return batchClient{}, fmt.Errorf("creating a client: %w", err)
	}
	return batchClient{client, namespace}, nil
}

// getBatch returns the batch with a name.
func (p *plugin) getBatch(ctx context.Context, name string) (*v1alpha1.VectorStoreFileBatch, error) {
	client, err := p.newBatchClient()
	if err != nil {
		return nil, err
	}
	return client.get(ctx, name)
}

func (p *plugin) newCoreClient() (*corev1client.CoreV1Client, error) {
	config, err := p.restConfig()
	if err != nil {
		return nil, err
	}
	client, err := corev1client.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("creating a client: %w", err)
	}
	return client, nil
}

// namespace returns the namespace of the flags and the kubeconfig.
func (p *plugin) namespace() (string, error) {
	namespace, _, err := p.configFlags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", fmt.Errorf("determining the namespace: %w", err)
	}
	return namespace, nil
}

// explicitNamespace returns the namespace of the flags, or "": a manifest for Git has a namespace only if
// the user chose one.
func (p *plugin) explicitNamespace() string { return ptr.Deref(p.configFlags.Namespace, "") }

// find returns the batches with the names or, without names, those that match the options.
func (c batchClient) find(ctx context.Context, names []string, options metav1.ListOptions) (*v1alpha1.VectorStoreFileBatchList, error) {
	if len(names) == 0 {
		return c.list(ctx, options)
	}
	found := &v1alpha1.VectorStoreFileBatchList{}
	for _, name := range names {
		b, err := c.get(ctx, name)
		if err != nil {
			return nil, err
		}
		found.Items = append(found.Items, *b)
	}
	setKinds(found)
	return found, nil
}

func (c batchClient) list(ctx context.Context, options metav1.ListOptions) (*v1alpha1.VectorStoreFileBatchList, error) {
	const pageSize = 500
	all := &v1alpha1.VectorStoreFileBatchList{}
	options.Limit = pageSize
	for {
		var page v1alpha1.VectorStoreFileBatchList
		err := c.rest.Get().Namespace(c.namespace).Resource(resource).
			VersionedParams(&options, metav1.ParameterCodec).Do(ctx).Into(&page)
		if err != nil {
			return nil, fmt.Errorf("listing: %w", explainNotFound(err))
		}
		all.Items = append(all.Items, page.Items...)
		if options.Continue = page.Continue; options.Continue == "" {
			setKinds(all)
			return all, nil
		}
	}
}

func (c batchClient) get(ctx context.Context, name string) (*v1alpha1.VectorStoreFileBatch, error) {
	return decode(c.rest.Get().Namespace(c.namespace).Resource(resource).Name(name).Do(ctx))
}

func (c batchClient) create(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, options metav1.CreateOptions) (*v1alpha1.VectorStoreFileBatch, error) {
	return decode(c.rest.Post().Namespace(c.namespace).Resource(resource).
		VersionedParams(&options, metav1.ParameterCodec).Body(b).Do(ctx))
}

// apply applies a configuration server-side.
func (c batchClient) apply(ctx context.Context, name string, configuration any, options metav1.PatchOptions) (*v1alpha1.VectorStoreFileBatch, error) {
	body, err := json.Marshal(configuration)
	if err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	return decode(c.rest.Patch(types.ApplyPatchType).Namespace(c.namespace).Resource(resource).Name(name).
		VersionedParams(&options, metav1.ParameterCodec).Body(body).Do(ctx))
}

func decode(result rest.Result) (*v1alpha1.VectorStoreFileBatch, error) {
	b := &v1alpha1.VectorStoreFileBatch{}
	if err := result.Into(b); err != nil {
		return nil, explainNotFound(err)
	}
	b.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))
	return b, nil
}

// explainNotFound adds the remedy to the error for a missing CRD.
func explainNotFound(err error) error {
	var status apierrors.APIStatus
	if errors.As(err, &status) && apierrors.IsNotFound(err) && (status.Status().Details == nil || status.Status().Details.Name == "") {
		return fmt.Errorf("the cluster has no resource type VectorStoreFileBatch; install the CRD of the operator: %w", err)
	}
	return err
}

// setKinds sets apiVersion and kind, which a decoded list omits for its items.
func setKinds(list *v1alpha1.VectorStoreFileBatchList) {
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind + "List"))
	for i := range list.Items {
		list.Items[i].SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))
	}
}
