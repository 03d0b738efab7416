// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

const (
	namespace = "default"
	store     = "vs_compare"
	apiKey    = "sk-compare"
	// filesPerBatch is the number of files of each batch.
	filesPerBatch = 3
)

// tool is one of the two programs, and how it expresses a batch.
type tool struct {
	name, program, version string
	kind                   schema.GroupVersionKind
	// install installs what it needs in the cluster. The URL is the base URL of the OpenAI API.
	install func(ctx context.Context, e *framework.Env, url string) error
	// command returns its flags and its environment.
	command func(kubeconfig string) (args, env []string, err error)
	// spec returns the spec of an object with files.
	spec func(url string, files []any) map[string]any
	// knows reports whether an object shows that its batch exists, and completed whether it shows that
	// the batch is completed.
	knows, completed func(o *unstructured.Unstructured) bool
}

// secret has the credentials. Both tools read it.
func secret(url string) *corev1.Secret {
	return framework.NewSecret(namespace, v1alpha1.DefaultCredentialsSecret, apiKey, url)
}

func newOperator(program string) tool {
	return tool{
		name: "this operator", program: program, version: version(program), kind: v1alpha1.GroupVersion.WithKind("VectorStoreFileBatch"),
		install: func(ctx context.Context, e *framework.Env, _ string) error { return e.Install(ctx, "crd") },
		command: func(kubeconfig string) ([]string, []string, error) {
			metrics, err := framework.FreeAddress()
			if err != nil {
				return nil, nil, err
			}
			probes, err := framework.FreeAddress()
			return []string{
				"--kubeconfig=" + kubeconfig, "--allow-insecure-endpoints", framework.AllowLoopback,
				"--metrics-bind-address=" + metrics, "--health-probe-bind-address=" + probes,
			}, nil, err
		},
		spec: func(_ string, files []any) map[string]any {
			return map[string]any{"vectorStoreID": store, "fileIDs": files}
		},
		knows: func(o *unstructured.Unstructured) bool {
			id, _, err := unstructured.NestedString(o.Object, "status", "batchID")
			return err == nil && id != ""
		},
		completed: func(o *unstructured.Unstructured) bool {
			return strings.Contains(conditions(o), "Ready=True ("+v1alpha1.ReasonCompleted+")")
		},
	}
}

// The API of provider-http.
const (
	providerGroup  = "http.m.crossplane.io"
	providerConfig = "emulator"
)

func newProvider(program, crds string) tool {
	group := schema.GroupVersion{Group: providerGroup, Version: "v1alpha2"}
	body := func(o *unstructured.Unstructured) (batch struct{ ID, Status string }) {
		text, _, err := unstructured.NestedString(o.Object, "status", "response", "body")
		if err != nil || json.Unmarshal([]byte(text), &batch) != nil {
			batch.ID = ""
		}
		return batch
	}
	return tool{
		name: "provider-http", program: program, version: version(program), kind: group.WithKind("Request"),
		install: func(ctx context.Context, e *framework.Env, _ string) error {
			if _, err := e.Kubectl.Run(ctx, "apply", "--server-side", "-f", crds); err != nil {
				return err
			}
			for _, plural := range []string{"requests.", "providerconfigs."} {
				if err := e.WaitForCRD(ctx, plural+providerGroup); err != nil {
					return err
				}
			}
			config := newObject(group.WithKind("ProviderConfig"), providerConfig, map[string]any{"credentials": map[string]any{"source": "None"}})
			return e.Client.Create(ctx, config)
		},
		command: func(kubeconfig string) ([]string, []string, error) {
			return nil, []string{"KUBECONFIG=" + kubeconfig}, nil
		},
		spec:  requestSpec,
		knows: func(o *unstructured.Unstructured) bool { return body(o).ID != "" },
		// No condition depends on the status of the batch, so the recorded response must do.
		completed: func(o *unstructured.Unstructured) bool { return body(o).Status == "completed" },
	}
}

// requestSpec returns the spec of a Request for an API that assigns the ID: the response to the create
// has the ID, and the URL of the observation contains it. A batch cannot be updated. A removal is not
// measured.
func requestSpec(url string, files []any) map[string]any {
	payload, err := json.Marshal(map[string]any{"file_ids": files})
	if err != nil {
		panic(err) // strings can be encoded
	}
	authorization := fmt.Sprintf("Bearer {{ %s:%s:%s }}", v1alpha1.DefaultCredentialsSecret, namespace, v1alpha1.SecretKeyAPIKey)
	return map[string]any{
		"providerConfigRef": map[string]any{"kind": "ProviderConfig", "name": providerConfig},
		"forProvider": map[string]any{
			"headers": map[string]any{"Content-Type": []any{"application/json"}, "Authorization": []any{authorization}},
			"payload": map[string]any{"baseUrl": url + "/vector_stores/" + store + "/file_batches", "body": string(payload)},
			"mappings": []any{
				map[string]any{"action": "CREATE", "method": "POST", "url": ".payload.baseUrl", "body": "{ file_ids: .payload.body.file_ids }"},
				map[string]any{"action": "OBSERVE", "method": "GET", "url": `.payload.baseUrl + "/" + (.response.body.id | tostring)`},
			},
		},
	}
}

func newObject(kind schema.GroupVersionKind, name string, spec map[string]any) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	o.SetGroupVersionKind(kind)
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

// conditions returns the conditions of an object with their reasons, and the messages of those that are
// false.
func conditions(o *unstructured.Unstructured) string {
	list, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
	if err != nil {
		return err.Error()
	}
	var texts []string
	for _, entry := range list {
		c, ok := entry.(map[string]any)
		if !ok {
			continue
		}
		text := fmt.Sprintf("%v=%v (%v)", c["type"], c["status"], c["reason"])
		if message, ok := c["message"].(string); ok && c["status"] == "False" {
			text += ": " + message
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

// version returns the version that the Go toolchain recorded in a program.
func version(program string) string {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return "of an unknown version"
	}
	return info.Main.Version
}
