// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// attributesOf decodes attributes as the API server returns them.
func attributesOf(t testing.TB, text string) v1alpha1.Attributes {
	t.Helper()
	var attributes v1alpha1.Attributes
	if err := json.Unmarshal([]byte(text), &attributes); err != nil {
		t.Fatal(err)
	}
	return attributes
}

func static(size, overlap int32) *v1alpha1.ChunkingStrategy {
	return &v1alpha1.ChunkingStrategy{Type: v1alpha1.ChunkingStatic, Static: &v1alpha1.StaticChunking{MaxChunkSizeTokens: size, ChunkOverlapTokens: &overlap}}
}

func TestCreateRequest(t *testing.T) {
	for name, test := range map[string]struct {
		spec v1alpha1.VectorStoreFileBatchSpec
		want upstream.CreateRequest
		ids  []string
	}{
		"fileIDs": {
			v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{"file-b", "file-a"}},
			upstream.CreateRequest{FileIDs: []string{"file-b", "file-a"}},
			[]string{"file-b", "file-a"},
		},
		"fileIDs, repeated": {
			v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{"file-b", "file-a", "file-b", "file-b", "file-c"}},
			upstream.CreateRequest{FileIDs: []string{"file-b", "file-a", "file-c"}},
			[]string{"file-b", "file-a", "file-c"},
		},
		"fileIDs with settings": {
			v1alpha1.VectorStoreFileBatchSpec{
				FileIDs: []string{"file-a"}, ChunkingStrategy: static(800, 400),
				Attributes: attributesOf(t, `{"text": "a", "yes": true, "big": 12345678901234567890, "fine": 0.10, "huge": 1e400}`),
			},
			upstream.CreateRequest{
				FileIDs: []string{"file-a"}, Chunking: &upstream.StaticChunking{MaxChunkSizeTokens: 800, ChunkOverlapTokens: 400},
				Attributes: map[string]any{
					"text": "a", "yes": true, "big": json.Number("12345678901234567890"), "fine": json.Number("0.10"), "huge": json.Number("1e400"),
				},
			},
			[]string{"file-a"},
		},
		"automatic chunking": {
			v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{"file-a"}, ChunkingStrategy: &v1alpha1.ChunkingStrategy{Type: v1alpha1.ChunkingAuto}},
			upstream.CreateRequest{FileIDs: []string{"file-a"}},
			[]string{"file-a"},
		},
		"files": {
			v1alpha1.VectorStoreFileBatchSpec{Files: []v1alpha1.File{
				{FileID: "file-b", Attributes: attributesOf(t, `{"n": 9007199254740993}`)},
				{FileID: "file-a", ChunkingStrategy: static(100, 0)},
				{FileID: "file-b", Attributes: attributesOf(t, `{"n": 9007199254740993}`)},
			}},
			upstream.CreateRequest{Files: []upstream.FileToAttach{
				{FileID: "file-b", Attributes: map[string]any{"n": json.Number("9007199254740993")}},
				{FileID: "file-a", Chunking: &upstream.StaticChunking{MaxChunkSizeTokens: 100}},
			}},
			[]string{"file-b", "file-a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.spec.VectorStoreID, test.want.VectorStoreID = "vs_1", "vs_1"
			b := &object{Spec: test.spec}
			before := b.DeepCopy()
			got, err := batch.CreateRequest(b)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("CreateRequest (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.ids, batch.FileIDs(got)); diff != "" {
				t.Errorf("FileIDs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, b); diff != "" {
				t.Errorf("the object was changed:\n%s", diff)
			}
		})
	}
}

func TestCreateRequest_ErrorNamesField(t *testing.T) {
	for name, test := range map[string]struct {
		spec  v1alpha1.VectorStoreFileBatchSpec
		field string
		part  string
	}{
		"nothing":         {v1alpha1.VectorStoreFileBatchSpec{}, "spec.fileIDs", "exactly one of"},
		"both":            {v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{"a"}, Files: []v1alpha1.File{{FileID: "a"}}}, "spec.files", "exactly one of"},
		"conflict":        {v1alpha1.VectorStoreFileBatchSpec{Files: []v1alpha1.File{{FileID: "x"}, {FileID: "a"}, {FileID: "a", ChunkingStrategy: static(100, 0)}}}, "spec.files[2].fileID", "spec.files[1]"},
		"file attribute":  {v1alpha1.VectorStoreFileBatchSpec{Files: []v1alpha1.File{{FileID: "a"}, {FileID: "b", Attributes: attributesOf(t, `{"k": {}}`)}}}, "spec.files[1].attributes[k]", "must be a string"},
		"null attribute":  {v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{"a"}, Attributes: attributesOf(t, `{"k": null}`)}, "spec.attributes[k]", "must be a string"},
		"empty attribute": {v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{"a"}, Attributes: v1alpha1.Attributes{"k": {}}}, "spec.attributes[k]", "must be a string"},
	} {
		t.Run(name, func(t *testing.T) {
			request, err := batch.CreateRequest(&object{Spec: test.spec})
			if err == nil || !strings.Contains(err.Error(), test.field) || !strings.Contains(err.Error(), test.part) {
				t.Errorf("error %v, want %q and %q in it", err, test.field, test.part)
			}
			if !cmp.Equal(request, upstream.CreateRequest{}) {
				t.Errorf("a request was returned with the error: %+v", request)
			}
		})
	}
}

func TestCreateRequest_AttributeLimits(t *testing.T) {
	many := func(n int) string {
		pairs := make([]string, n)
		for i := range pairs {
			pairs[i] = fmt.Sprintf(`"k%d": 1`, i)
		}
		return "{" + strings.Join(pairs, ",") + "}"
	}
	for name, test := range map[string]struct {
		attributes string
		part       string // of the error; empty if the attributes are valid
	}{
		"16 attributes":         {many(16), ""},
		"17 attributes":         {many(17), ": at most 16 are allowed"},
		"key of 64":             {`{"` + strings.Repeat("é", 64) + `": 1}`, ""},
		"key of 65":             {`{"` + strings.Repeat("k", 65) + `": 1}`, ": a key must be 1 to 64 characters long"},
		"empty key":             {`{"": 1}`, ": a key must be 1 to 64 characters long"},
		"value of 512":          {`{"k": "` + strings.Repeat("é", 512) + `"}`, ""},
		"value of 513":          {`{"k": "` + strings.Repeat("v", 513) + `"}`, "[k]: must be at most 512 characters long"},
		"list":                  {`{"k": ["v"]}`, "[k]: must be a string, a number or a boolean"},
		"no attributes":         {`{}`, ""},
		"false, 0 and empty":    {`{"a": false, "b": 0, "c": ""}`, ""},
		"number of many digits": {`{"k": ` + strings.Repeat("9", 100) + `}`, ""},
	} {
		for field, spec := range map[string]v1alpha1.VectorStoreFileBatchSpec{
			"spec.attributes":          {FileIDs: []string{"file-a"}, Attributes: attributesOf(t, test.attributes)},
			"spec.files[1].attributes": {Files: []v1alpha1.File{{FileID: "file-a"}, {FileID: "file-b", Attributes: attributesOf(t, test.attributes)}}},
		} {
			t.Run(name+"/"+field, func(t *testing.T) {
				_, err := batch.CreateRequest(&object{Spec: spec})
				if test.part == "" && err != nil {
					t.Errorf("rejected: %v", err)
				}
				if test.part != "" && (err == nil || !strings.HasPrefix(err.Error(), field+test.part)) {
					t.Errorf("error %v, want %q", err, field+test.part)
				}
			})
		}
	}
}

func BenchmarkCreateRequest_2000Files(b *testing.B) {
	o := newObject()
	o.Spec.FileIDs = nil
	for i := range 2000 {
		o.Spec.FileIDs = append(o.Spec.FileIDs, fmt.Sprintf("file-%032d", i))
	}
	b.ReportAllocs()
	for b.Loop() {
		if request, err := batch.CreateRequest(o); err != nil || len(request.FileIDs) != 2000 {
			b.Fatalf("%d files: %v", len(request.FileIDs), err)
		}
	}
}
