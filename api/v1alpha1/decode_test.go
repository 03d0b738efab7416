// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

var decodeSeed = flag.Uint64("decode-seed", 0, "seed of the random objects of TestSchema_AdmittedObjectsDecode; 0 chooses one")

// bareGroup is the group of a copy of the CRD. No policy applies to it, so only its schema protects the
// manager from what the types cannot decode.
const bareGroup = "bare.vector-store-operator.dev"

// fullSpecs returns specs that have every field between them.
func fullSpecs() []string {
	const rest = `"cancel":false,"suspend":false,"activeDeadlineSeconds":60,"maxFailedFiles":1,"ttlSecondsAfterFinished":60,
		"deletionPolicy":"Cancel","credentialsRef":{"name":"openai"}`
	const settings = `"attributes":{"a":1},"chunkingStrategy":{"type":"Static","static":{"maxChunkSizeTokens":800,"chunkOverlapTokens":400}}`
	return []string{
		`{"vectorStoreID":"vs_1","fileIDs":["file-1"],` + settings + `,` + rest + `}`,
		`{"vectorStoreID":"vs_1","files":[{"fileID":"file-1",` + settings + `}],` + rest + `}`,
		`{"vectorStoreID":"vs_1","batchID":"vsfb_1",` + rest + `}`,
	}
}

// fullStatus is a status with every field.
const fullStatus = `{"conditions":[{"type":"Ready","status":"True","reason":"Completed","message":"text","observedGeneration":1,
		"lastTransitionTime":"2026-01-02T03:04:05Z"}],
	"observedGeneration":1,"batchID":"vsfb_1","createdAt":"2026-01-02T03:04:05Z","status":"completed",
	"fileCounts":{"inProgress":0,"completed":1,"failed":1,"cancelled":0,"total":2},
	"failedFiles":[{"fileID":"file-1","code":"server_error","message":"text"}],
	"cancelStartTime":"2026-01-02T03:04:05Z","cancelRequestTime":"2026-01-02T03:04:05Z","detachedFileCount":1,"completionTime":"2026-01-02T03:04:05Z","lastHandledReconcileAt":"now"}`

// values returns JSON values to set in place of another one: some of each type, and for numbers and
// times those at the limits of what types hold and parsers accept.
func values(like any) []string {
	found := []string{
		`null`, `true`, `0`, `-1`, `1.5`, `1e19`, `""`, `"1"`, `"text"`, `"\u0000"`, `"\ud800"`, `"\u007f\u2028"`, quoted("x", 1024), quoted("𝄞", 512),
		`[]`, `{}`, `[1]`, `{"a":{"b":[1,{"c":null}]}}`, strings.Repeat("[", 900) + strings.Repeat("]", 900), strings.Repeat(`{"a":`, 900) + "1" + strings.Repeat("}", 900),
	}
	switch like := like.(type) {
	case json.Number:
		found = append(found, numbers()...)
	case string:
		if strings.Contains(like, "T03:04:05") {
			found = append(found, times()...)
		}
	}
	return found
}

func numbers() []string {
	found := []string{
		`-0`, `-0.0`, `0.5`, `5e-324`, `1e-400`, `1.7976931348623157e308`, `1e400`, `-1e19`, `1e21`, `1e22`, `123456789012345678901234567890`,
		`1.0000000001`, `0.9999999999`, `1.00000000000001`, `100.00000001`, `800.0000001`, `2147483646.5`, `2147483646`, `2147483649`, `4294967297`, `9007199254740993`, `9223372036854775809`, `18446744073709551616`,
	}
	for _, number := range []uint64{1, 1e2, 800, 1e3, 1e10, 1 << 31, 1 << 32, 1 << 53, 1 << 63} {
		text := strconv.FormatUint(number, 10)
		found = append(found, text, "-"+text, text+".0", "-"+text+".0", text+".5", strconv.FormatFloat(float64(number), 'e', -1, 64), strconv.FormatUint(number-1, 10), strconv.FormatInt(-int64(number)-1, 10))
	}
	return found
}

func times() []string {
	var found []string
	for _, day := range []string{"2026-01-02", "0000-01-01", "0001-01-01", "9999-12-31", "2024-02-29", "2026-02-29", "10000-01-01", "2026-1-2"} {
		found = append(found, `"`+day+`T03:04:05Z"`, `"`+day+`T03:04:05+23:59"`)
	}
	for _, clock := range []string{
		"t03:04:05z", "T03:04:05z", "t03:04:05Z", " 03:04:05Z", "T03:04:05", "T03:04Z", "T3:04:05Z", "T24:00:00Z", "T23:59:60Z", "T03:04:05.5Z", "T03:04:05,5Z",
		"T03:04:05.123456789Z", "T03:04:05.1234567891234Z", "T03:04:05.Z", "T03:04:05+0000", "T03:04:05+00", "T03:04:05-24:00", "T03:04:05+23:60", "T03:04:05+99:99", "", "T",
		"T03:04:05x5Z", "T03:04:05:5Z", "T03:04:05/123Z", "T03:04:05 UTC", "T03:04:05.5+0000", "T03:04:05.5 +0000", `T03:04:05Z\n`,
	} {
		found = append(found, `"2026-01-02`+clock+`"`)
	}
	return found
}

// TestSchema_AdmittedObjectsDecode creates objects with unusual values in each field, and with random
// values in several. Each object that the API server admits must decode into the types, whatever its
// version: the manager's list and watch decode all objects together, so that one that does not would
// stop the manager for all namespaces.
func TestSchema_AdmittedObjectsDecode(t *testing.T) {
	bare := installBare(t)
	seed := *decodeSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-decode-seed=%d", seed)
	admitted := make(map[string]int)
	var mu sync.Mutex
	var group sync.WaitGroup
	bodies := make(chan mutation)
	for range 8 {
		group.Go(func() {
			for m := range bodies {
				if bare.try(t, m) {
					mu.Lock()
					admitted[m.what]++
					mu.Unlock()
				}
			}
		})
	}
	mutations(rand.New(rand.NewPCG(seed, 0)), func(m mutation) { bodies <- m })
	close(bodies)
	group.Wait()
	for _, what := range []string{"spec", "status", "random spec", "random status"} {
		if admitted[what] < 50 {
			t.Errorf("the API server admitted %d of %s: %v", admitted[what], what, admitted)
		}
	}
	t.Logf("admitted: %v", admitted)
	list := &v1alpha1.VectorStoreFileBatchList{}
	if err := bare.client.List(t.Context(), list, client.InNamespace(metav1.NamespaceDefault)); err != nil {
		t.Errorf("the list of all objects does not decode: %v", err)
	}
}

// TestSchema_DecodeCoversFields requires that TestSchema_AdmittedObjectsDecode tries values in each field.
func TestSchema_DecodeCoversFields(t *testing.T) {
	tried := make(map[string]bool)
	for _, spec := range fullSpecs() {
		for _, path := range paths(decoded(spec), nil) {
			tried[".spec"+strings.ReplaceAll(pathString(path), "[0]", "[]")] = true
		}
	}
	for _, path := range paths(decoded(fullStatus), nil) {
		tried[".status"+strings.ReplaceAll(pathString(path), "[0]", "[]")] = true
	}
	walkSchema(t, func(path string, _ apiextensionsv1.JSONSchemaProps) {
		if strings.Count(path, ".") > 1 && !tried[path] {
			t.Errorf("%s is not in the objects of TestSchema_AdmittedObjectsDecode", path)
		}
	})
}

// mutation is an object to create, or a status to set.
type mutation struct{ what, description, spec, status string }

// minimalSpec is the spec of the objects whose status is set.
const minimalSpec = `{"vectorStoreID":"vs_1","fileIDs":["file-1"]}`

// mutations calls yield with each value in each field, and with random values in some fields.
func mutations(random *rand.Rand, yield func(mutation)) {
	seen := make(map[string]bool)
	for _, spec := range fullSpecs() {
		each(spec, seen, func(place, value, text string) {
			yield(mutation{what: "spec", description: "spec" + place + ": " + value, spec: text})
		})
	}
	each(fullStatus, make(map[string]bool), func(place, value, text string) {
		yield(mutation{what: "status", description: "status" + place + ": " + value, spec: minimalSpec, status: text})
	})
	for range 300 {
		yield(mutation{what: "random spec", spec: scramble(random, fullSpecs()[random.IntN(3)])})
		yield(mutation{what: "random status", spec: minimalSpec, status: scramble(random, fullStatus)})
	}
}

// each calls yield with the document for each of its places that is not seen yet, and each value: the
// document with that value in that place.
func each(document string, seen map[string]bool, yield func(place, value, text string)) {
	for _, path := range paths(decoded(document), nil) {
		place := pathString(path)
		if seen[place] {
			continue
		}
		seen[place] = true
		for _, value := range values(at(decoded(document), path)) {
			yield(place, value[:min(len(value), 60)], encoded(replaced(decoded(document), path, json.RawMessage(value))))
		}
	}
}

// scramble returns the document with random values in some places, mostly of the same type.
func scramble(random *rand.Rand, document string) string {
	places, tree := paths(decoded(document), nil), decoded(document)
	for range 1 + random.IntN(4) {
		path := places[random.IntN(len(places))]
		tree = decoded(encoded(replaced(tree, path, json.RawMessage(randomValue(random, at(tree, path))))))
	}
	return encoded(tree)
}

// randomValue returns a value in JSON of the type of another one.
func randomValue(random *rand.Rand, like any) string {
	switch like := like.(type) {
	case json.Number:
		return randomNumber(random)
	case bool:
		return strconv.FormatBool(random.IntN(2) == 0)
	case string:
		if strings.Contains(like, "T03:04:05") {
			return fmt.Sprintf(`"%04d-%02d-%02dT%02d:%02d:%02d.%dZ"`, random.IntN(10000), 1+random.IntN(13), 1+random.IntN(29),
				random.IntN(25), random.IntN(60), random.IntN(61), random.IntN(1000))
		}
		return encoded(strings.Repeat(like, 1+random.IntN(20)))
	default:
		return encoded(like)
	}
}

// randomNumber returns a number of random magnitude, as an integer, with a fraction of zero or with an
// exponent.
func randomNumber(random *rand.Rand) string {
	number := random.Uint64() >> random.IntN(64)
	switch random.IntN(3) {
	case 0:
		return strconv.FormatUint(number, 10) + ".0"
	case 1:
		return strconv.FormatFloat(float64(number), 'e', -1, 64)
	default:
		return strconv.FormatUint(number, 10)
	}
}

func decoded(document string) any {
	decoder := json.NewDecoder(strings.NewReader(document))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return json.RawMessage(document) // deeper than this decoder supports, or not JSON
	}
	return tree
}

func encoded(tree any) string {
	text, err := json.Marshal(tree)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// paths returns the path of each value below a value.
func paths(tree any, prefix []any) [][]any {
	var found [][]any
	if len(prefix) > 0 {
		found = append(found, prefix)
	}
	switch tree := tree.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(tree)) {
			found = append(found, paths(tree[key], append(slices.Clone(prefix), key))...)
		}
	case []any:
		for i := range tree {
			found = append(found, paths(tree[i], append(slices.Clone(prefix), i))...)
		}
	}
	return found
}

// at returns the value at a path, or nil.
func at(tree any, path []any) any {
	for _, key := range path {
		switch key := key.(type) {
		case string:
			object, _ := tree.(map[string]any)
			tree = object[key]
		case int:
			array, _ := tree.([]any)
			if key >= len(array) {
				return nil
			}
			tree = array[key]
		}
	}
	return tree
}

// replaced returns the tree with another value at a path, if it still has the path.
func replaced(tree any, path []any, value any) any {
	if len(path) == 0 {
		return value
	}
	switch key := path[0].(type) {
	case string:
		if object, ok := tree.(map[string]any); ok {
			object[key] = replaced(object[key], path[1:], value)
		}
	case int:
		if array, ok := tree.([]any); ok && key < len(array) {
			array[key] = replaced(array[key], path[1:], value)
		}
	}
	return tree
}

func pathString(path []any) string {
	var text strings.Builder
	for _, key := range path {
		if index, ok := key.(int); ok {
			fmt.Fprintf(&text, "[%d]", index)
		} else {
			fmt.Fprintf(&text, ".%s", key)
		}
	}
	return text.String()
}

// bareAPI writes objects of bareGroup as raw JSON, and reads them with the types.
type bareAPI struct {
	collection string
	client     client.Client
}

func installBare(t *testing.T) bareAPI {
	t.Helper()
	var crd apiextensionsv1.CustomResourceDefinition
	framework.ReadYAML(t, &crd, "config", "crd", "bases", "vector-store-operator.dev_vectorstorefilebatches.yaml")
	crd.Spec.Group, crd.Name = bareGroup, crd.Spec.Names.Plural+"."+bareGroup
	crd.Spec.Names.ShortNames, crd.Spec.Names.Categories = nil, nil
	scheme := runtime.NewScheme()
	version := schema.GroupVersion{Group: bareGroup, Version: v1alpha1.GroupVersion.Version}
	scheme.AddKnownTypeWithName(version.WithKind(v1alpha1.Kind), &v1alpha1.VectorStoreFileBatch{})
	scheme.AddKnownTypeWithName(version.WithKind(v1alpha1.Kind+"List"), &v1alpha1.VectorStoreFileBatchList{})
	metav1.AddToGroupVersion(scheme, version)
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	bare, err := client.New(environment.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	if err := bare.Create(t.Context(), &crd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bare.Delete(context.WithoutCancel(t.Context()), &crd); err != nil {
			t.Error(err)
		}
	})
	if err := environment.WaitForCRD(t.Context(), crd.Name); err != nil {
		t.Fatal(err)
	}
	return bareAPI{client: bare, collection: "/apis/" + version.String() + "/namespaces/default/" + crd.Spec.Names.Plural}
}

// try writes the object, and reports whether the API server admitted it. It fails the test if the object
// then does not decode, and deletes it, so that it hides no other.
func (b bareAPI) try(t *testing.T, m mutation) bool {
	t.Helper()
	body := fmt.Sprintf(`{"apiVersion":"%s/v1alpha1","kind":%q,"metadata":{"generateName":"decode-"},"spec":%s}`, bareGroup, v1alpha1.Kind, m.spec)
	object, err := answer(api.Post().AbsPath(b.collection).SetHeader("Accept", "application/json").SetHeader("Content-Type", "application/json").
		Param("fieldValidation", "Ignore").Body([]byte(body)).Do(t.Context()))
	if err != nil {
		return false
	}
	admitted := true
	if m.status != "" {
		// A replacement, because a merge patch takes null for the removal of a field.
		body := fmt.Sprintf(`[{"op":"add","path":"/status","value":%s}]`, m.status)
		err := api.Patch(types.JSONPatchType).AbsPath(b.collection, object.GetName(), "status").Param("fieldValidation", "Ignore").
			SetHeader("Accept", "application/json").Body([]byte(body)).Do(t.Context()).Error()
		admitted = err == nil
	}
	if err := b.decodes(t.Context(), object.GetName()); err != nil {
		t.Errorf("the API server admits %s, which does not decode: %v", cmp.Or(m.description, m.spec+m.status), err)
		if err := api.Delete().AbsPath(b.collection, object.GetName()).Do(t.Context()).Error(); err != nil {
			t.Error(err)
		}
	}
	return admitted
}

// decodes returns an error if the object does not decode, or loses a value.
func (b bareAPI) decodes(ctx context.Context, name string) error {
	read := &v1alpha1.VectorStoreFileBatch{}
	if err := b.client.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: name}, read); err != nil {
		return err
	}
	stored, err := api.Get().AbsPath(b.collection, name).SetHeader("Accept", "application/json").Do(ctx).Raw()
	if err != nil {
		return err
	}
	tree, again := decoded(string(stored)), decoded(encoded(read))
	for _, path := range paths(tree, nil) {
		if path[0] != "spec" && path[0] != "status" {
			continue
		}
		if stored, decoded := at(tree, path), at(again, path); !equal(stored, decoded) {
			return fmt.Errorf("%s is %v, but decodes as %v", pathString(path), stored, decoded)
		}
	}
	return nil
}

// equal reports whether a value decoded as another one. The types omit zero values, and fractions of a
// second.
func equal(stored, decoded any) bool {
	switch stored := stored.(type) {
	case json.Number:
		want, _ := new(big.Rat).SetString(stored.String())
		if number, ok := decoded.(json.Number); ok {
			got, _ := new(big.Rat).SetString(number.String())
			return want.Cmp(got) == 0
		}
		return decoded == nil && want.Sign() == 0
	case string:
		text, _ := decoded.(string)
		want, err := time.Parse(time.RFC3339, stored)
		got, errText := time.Parse(time.RFC3339, text)
		return stored == text || err == nil && errText == nil && want.Truncate(time.Second).Equal(got)
	case bool:
		return stored == decoded
	default:
		return true // its parts are compared
	}
}
