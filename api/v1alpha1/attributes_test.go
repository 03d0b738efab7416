// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

func TestAttributeValue_RoundTrip(t *testing.T) {
	for _, text := range []string{
		`"text"`, `""`, `"ß𝄞"`, `"\u00df"`, `true`, `false`, `0`, `-1`, `1.0`, `0.1`, `1e3`, `-2.50E-10`,
		`9007199254740993`, `9223372036854775807`, `123456789012345678901234567890`, `0.1000000000000000055511151231257827`,
		`null`, `["x"]`, `{"x":1}`,
	} {
		t.Run(text, func(t *testing.T) {
			var value v1alpha1.AttributeValue
			if err := json.Unmarshal([]byte(text), &value); err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != text {
				t.Errorf("%s was marshaled as %s", text, got)
			}
		})
	}
}

func TestAttributeValue_DoesNotAliasInput(t *testing.T) {
	input := []byte(`"text"`)
	var value v1alpha1.AttributeValue
	if err := value.UnmarshalJSON(input); err != nil {
		t.Fatal(err)
	}
	copied := value.DeepCopy()
	copy(input, `"oops"`)
	value.Raw[1] = 'n'
	if got := string(value.Raw); got != `"next"` {
		t.Errorf("the value is %s after its input was changed, want \"next\"", got)
	}
	if got := string(copied.Raw); got != `"text"` {
		t.Errorf("the copy is %s after its original was changed, want \"text\"", got)
	}
}

func TestAttributeValue_ZeroValueIsNull(t *testing.T) {
	got, err := json.Marshal(v1alpha1.Attributes{"a": {}})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"a":null}`; string(got) != want {
		t.Errorf("marshaled as %s, want %s", got, want)
	}
}

func TestAttributeValue_Scalar(t *testing.T) {
	const wrongType = "must be a string, a number or a boolean"
	for text, test := range map[string]struct {
		want      any
		wantError string
	}{
		`"text"`:                         {want: "text"},
		`""`:                             {want: ""},
		`"\u00df"`:                       {want: "ß"},
		`true`:                           {want: true},
		`false`:                          {want: false},
		`0`:                              {want: json.Number("0")},
		`-1.50`:                          {want: json.Number("-1.50")},
		`1e3`:                            {want: json.Number("1e3")},
		`123456789012345678901234567890`: {want: json.Number("123456789012345678901234567890")},
		quoted("v", 512):                 {want: strings.Repeat("v", 512)},
		quoted("𝄞", 512):                 {want: strings.Repeat("𝄞", 512)},
		quoted("v", 513):                 {wantError: "must be at most 512 characters long"},
		quoted("𝄞", 513):                 {wantError: "must be at most 512 characters long"},
		`null`:                           {wantError: wrongType},
		`["x"]`:                          {wantError: wrongType},
		`{"x":1}`:                        {wantError: wrongType},
		``:                               {wantError: wrongType},
		`nonsense`:                       {wantError: wrongType},
	} {
		t.Run(text[:min(len(text), 20)], func(t *testing.T) {
			got, err := v1alpha1.AttributeValue{Raw: json.RawMessage(text)}.Scalar()
			if test.wantError != "" {
				if err == nil || !strings.HasPrefix(err.Error(), test.wantError) {
					t.Errorf("Scalar() = %v, %v, want an error that begins with %q", got, err, test.wantError)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Scalar() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAddToScheme(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for kind, object := range map[string]runtime.Object{
		v1alpha1.Kind:          &v1alpha1.VectorStoreFileBatch{},
		v1alpha1.Kind + "List": &v1alpha1.VectorStoreFileBatchList{},
	} {
		kinds, _, err := scheme.ObjectKinds(object)
		if err != nil {
			t.Fatal(err)
		}
		if len(kinds) != 1 || kinds[0] != v1alpha1.GroupVersion.WithKind(kind) {
			t.Errorf("%T is registered as %v, want %v only", object, kinds, v1alpha1.GroupVersion.WithKind(kind))
		}
	}
	if !scheme.Recognizes(v1alpha1.GroupVersion.WithKind("ListOptions")) {
		t.Error("ListOptions is not registered, so lists and watches fail")
	}
}

// attributes are values that fit into 64 bits.
const attributes = `{"bool":false,"empty":"","int":-3,"large":9223372036854775807,"precise":9007199254740993,"quarter":0.25,"tenth":0.1,"text":"ß \"quoted\" \u003ctag\u003e"}`

func TestAttributes_RoundTripThroughAPIServer(t *testing.T) {
	var values v1alpha1.Attributes
	if err := json.Unmarshal([]byte(attributes), &values); err != nil {
		t.Fatal(err)
	}
	chunking := &v1alpha1.ChunkingStrategy{Type: v1alpha1.ChunkingStatic, Static: &v1alpha1.StaticChunking{MaxChunkSizeTokens: 100, ChunkOverlapTokens: ptr.To[int32](0)}}
	for name, spec := range map[string]v1alpha1.VectorStoreFileBatchSpec{
		"beside fileIDs": {FileIDs: []string{"file-1"}, Attributes: values, ChunkingStrategy: chunking},
		"in files":       {Files: []v1alpha1.File{{FileID: "file-1", Attributes: values, ChunkingStrategy: chunking}, {FileID: "file-2"}}},
	} {
		t.Run(name, func(t *testing.T) {
			spec.VectorStoreID = "vs_1"
			spec.MaxFailedFiles, spec.Cancel = ptr.To[int32](0), ptr.To(false)
			spec.CredentialsRef = &v1alpha1.CredentialsReference{Name: "key"}
			written := &v1alpha1.VectorStoreFileBatch{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: "typed-"},
				Spec:       *spec.DeepCopy(),
			}
			if err := typed.Create(t.Context(), written, client.FieldValidation("Strict")); err != nil {
				t.Fatal(err)
			}
			read := &v1alpha1.VectorStoreFileBatch{}
			if err := typed.Get(t.Context(), client.ObjectKeyFromObject(written), read); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(spec, read.Spec); diff != "" {
				t.Errorf("spec (-sent +read):\n%s", diff)
			}
			body, err := raw(t.Context(), written.Name)
			if err != nil {
				t.Fatal(err)
			}
			if compact := strings.ReplaceAll(attributes, `\u003ctag\u003e`, `<tag>`); !strings.Contains(string(body), attributes) && !strings.Contains(string(body), compact) {
				t.Errorf("the API server does not hold %s:\n%s", attributes, body)
			}
			// Writing back the same object is not a change of an immutable field.
			if err := typed.Update(t.Context(), read); err != nil {
				t.Errorf("writing back the object: %v", err)
			}
			if read.Generation != 1 {
				t.Errorf("generation = %d after writing back the object, want 1", read.Generation)
			}
		})
	}
}
