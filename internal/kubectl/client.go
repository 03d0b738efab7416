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

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

const resource = "vectorstorefilebatches"

// scheme has our Kind and nothing else.
var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(v1alpha1.AddToScheme(s))
	metav1.AddToGroupVersion(s, metav1.SchemeGroupVersion)
	return s
}()

// batches reads and writes VectorStoreFileBatches.
type batches struct{ rest *rest.RESTClient }

// config is the way to the API server that the flags and the kubeconfig say.
func (p *plugin) config() (*rest.Config, error) {
	config, err := p.cluster.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	config = rest.CopyConfig(config)
	config.UserAgent = "kubectl-vsfb/" + p.Version
	// The API server has its own priority and fairness.
	config.QPS = -1
	return config, nil
}

func (p *plugin) batches() (batches, error) {
	config, err := p.config()
	if err != nil {
		return batches{}, err
	}
	config.GroupVersion = &v1alpha1.GroupVersion
	config.APIPath = "/apis"
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return batches{}, fmt.Errorf("making a client: %w", err)
	}
	return batches{client}, nil
}

// core reads what Kubernetes itself keeps.
func (p *plugin) core() (*corev1client.CoreV1Client, error) {
	config, err := p.config()
	if err != nil {
		return nil, err
	}
	client, err := corev1client.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return client, nil
}

// namespace is the one that the flags and the kubeconfig say.
func (p *plugin) namespace() (string, error) {
	namespace, _, err := p.cluster.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", fmt.Errorf("finding the namespace: %w", err)
	}
	return namespace, nil
}

// list reads the batches of a namespace, or of all where it is empty, in portions.
func (b batches) list(ctx context.Context, namespace string, options metav1.ListOptions) (*v1alpha1.VectorStoreFileBatchList, error) {
	const portion = 500
	all := &v1alpha1.VectorStoreFileBatchList{}
	options.Limit = portion
	for {
		var page v1alpha1.VectorStoreFileBatchList
		err := b.rest.Get().Namespace(namespace).Resource(resource).
			VersionedParams(&options, metav1.ParameterCodec).Do(ctx).Into(&page)
		if err != nil {
			return nil, fmt.Errorf("listing: %w", explain(err))
		}
		all.Items = append(all.Items, page.Items...)
		if options.Continue = page.Continue; options.Continue == "" {
			typed(all)
			return all, nil
		}
	}
}

func (b batches) get(ctx context.Context, namespace, name string) (*v1alpha1.VectorStoreFileBatch, error) {
	batch := &v1alpha1.VectorStoreFileBatch{}
	err := b.rest.Get().Namespace(namespace).Resource(resource).Name(name).Do(ctx).Into(batch)
	if err != nil {
		return nil, explain(err)
	}
	batch.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))
	return batch, nil
}

func (b batches) create(ctx context.Context, batch *v1alpha1.VectorStoreFileBatch, options metav1.CreateOptions) (*v1alpha1.VectorStoreFileBatch, error) {
	created := &v1alpha1.VectorStoreFileBatch{}
	err := b.rest.Post().Namespace(batch.Namespace).Resource(resource).
		VersionedParams(&options, metav1.ParameterCodec).Body(batch).Do(ctx).Into(created)
	if err != nil {
		return nil, explain(err)
	}
	created.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))
	return created, nil
}

// apply sends a server-side apply.
func (b batches) apply(ctx context.Context, namespace, name string, configuration any, options metav1.PatchOptions) (*v1alpha1.VectorStoreFileBatch, error) {
	body, err := json.Marshal(configuration)
	if err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	applied := &v1alpha1.VectorStoreFileBatch{}
	err = b.rest.Patch(types.ApplyPatchType).Namespace(namespace).Resource(resource).Name(name).
		VersionedParams(&options, metav1.ParameterCodec).Body(body).Do(ctx).Into(applied)
	if err != nil {
		return nil, explain(err)
	}
	applied.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))
	return applied, nil
}

// explain adds what to do where the API server does not know our Kind.
func explain(err error) error {
	var status apierrors.APIStatus
	if errors.As(err, &status) && apierrors.IsNotFound(err) && (status.Status().Details == nil || status.Status().Details.Name == "") {
		return fmt.Errorf("this cluster has no VectorStoreFileBatches: install the operator's CRD first: %w", err)
	}
	return err
}

// typed gives each object the kind that a decoded list leaves out.
func typed(list *v1alpha1.VectorStoreFileBatchList) {
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind + "List"))
	for i := range list.Items {
		list.Items[i].SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))
	}
}
