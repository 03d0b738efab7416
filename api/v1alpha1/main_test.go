// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

const (
	collection = "/apis/vector-store-operator.dev/v1alpha1/namespaces/default/vectorstorefilebatches"

	fieldManager  = "test"
	strictChecked = "Strict"
)

// api is a client of a real API server that has the CRD and the policies. It sends bodies unchanged,
// so that tests can send what a typed client cannot.
var api *rest.RESTClient

// environment is the control plane.
var environment *framework.Env

// typed is a client that knows the types of this package.
var typed client.Client

func TestMain(m *testing.M) {
	os.Exit(framework.Suite{Options: framework.Options{Install: []string{"crd", "policy"}}, Setup: prepare}.Run(m, &environment))
}

func prepare(ctx context.Context, env *framework.Env) error {
	config := rest.CopyConfig(env.Config)
	config.GroupVersion = &v1alpha1.GroupVersion
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	var err error
	if api, err = rest.UnversionedRESTClientFor(config); err != nil {
		return fmt.Errorf("creating a client: %w", err)
	}
	typed = env.Client
	return awaitPolicies(ctx)
}

// awaitPolicies waits until the API server enforces both policies, which takes some time after they
// are stored.
func awaitPolicies(ctx context.Context) error {
	sample, err := create(ctx, `{"vectorStoreID":"vs_1","fileIDs":["file-1"],"attributes":{"a":1}}`)
	if err != nil {
		return fmt.Errorf("creating an object to test the policies with: %w", err)
	}
	refuses := func(what string, try func(context.Context) error) error {
		return framework.Poll(ctx, "the policy to reject "+what, func() (bool, error) {
			err := try(ctx)
			return err != nil && strings.Contains(err.Error(), "ValidatingAdmissionPolicy"), nil
		})
	}
	if err := refuses("a list as attribute", func(ctx context.Context) error {
		_, err := create(ctx, `{"vectorStoreID":"vs_1","fileIDs":["file-1"],"attributes":{"a":[]}}`)
		return err
	}); err != nil {
		return err
	}
	// The API server loads each policy on its own.
	value := 1
	return refuses("a changed attribute", func(ctx context.Context) error {
		value++
		return patch(ctx, sample.GetName(), fmt.Sprintf(`{"spec":{"attributes":{"a":%d}}}`, value))
	})
}

// document returns an object with the given spec, in JSON.
func document(spec string) string {
	return fmt.Sprintf(`{"apiVersion":"vector-store-operator.dev/v1alpha1","kind":"VectorStoreFileBatch","metadata":{"generateName":"batch-"},"spec":%s}`, spec)
}

// create creates an object with the given spec, in JSON.
func create(ctx context.Context, spec string) (*unstructured.Unstructured, error) {
	return post(ctx, document(spec))
}

// post creates an object, given in JSON, with strict field validation.
func post(ctx context.Context, body string) (*unstructured.Unstructured, error) {
	request := api.Post().AbsPath(collection).Param("fieldValidation", strictChecked).
		SetHeader("Content-Type", "application/json").SetHeader("Accept", "application/json").Body([]byte(body))
	return answer(request.Do(ctx))
}

// patch applies a merge patch to an object.
func patch(ctx context.Context, name, body string) error {
	_, err := answer(api.Patch(types.MergePatchType).AbsPath(collection, name).
		Param("fieldValidation", strictChecked).SetHeader("Accept", "application/json").Body([]byte(body)).Do(ctx))
	return err
}

// patchStatus applies a merge patch to the status of an object.
func patchStatus(ctx context.Context, name, body string) (*unstructured.Unstructured, error) {
	return answer(api.Patch(types.MergePatchType).AbsPath(collection, name, "status").
		Param("fieldValidation", strictChecked).SetHeader("Accept", "application/json").Body([]byte(body)).Do(ctx))
}

// apply applies an object, given in JSON, with server-side apply.
func apply(ctx context.Context, name, body string) (*unstructured.Unstructured, error) {
	return answer(api.Patch(types.ApplyPatchType).AbsPath(collection, name).Param("fieldManager", fieldManager).
		Param("fieldValidation", strictChecked).SetHeader("Accept", "application/json").Body([]byte(body)).Do(ctx))
}

// raw returns an object as the API server sends it.
func raw(ctx context.Context, name string) ([]byte, error) {
	return api.Get().AbsPath(collection, name).SetHeader("Accept", "application/json").Do(ctx).Raw()
}

func answer(result rest.Result) (*unstructured.Unstructured, error) {
	if err := result.Error(); err != nil {
		return nil, err
	}
	body, err := result.Raw()
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{}
	return object, object.UnmarshalJSON(body)
}

// mustCreate creates an object with the given spec. It fails the test if the API server rejects it.
func mustCreate(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	object, err := create(t.Context(), spec)
	if err != nil {
		t.Fatalf("creating the object: %v", err)
	}
	return object
}

// expectError fails the test unless err contains each of the given parts.
func expectError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that contains %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error is %v, want it to contain %q", err, part)
		}
	}
}

// list returns a JSON array of n items.
func list(n int, item func(i int) string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = item(i)
	}
	return "[" + strings.Join(items, ",") + "]"
}

// quoted returns a JSON string of n times the same character.
func quoted(character string, n int) string {
	text, err := json.Marshal(strings.Repeat(character, n))
	if err != nil {
		panic(err) // a string always encodes
	}
	return string(text)
}

// pairs returns a JSON object with n attributes.
func pairs(n int) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(`"k%d":%d`, i, i)
	}
	return "{" + strings.Join(items, ",") + "}"
}
