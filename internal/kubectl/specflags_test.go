// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

func parseSpecFlags(t *testing.T, args ...string) specFlags {
	t.Helper()
	var s specFlags
	command := &cobra.Command{}
	s.addFlags(command)
	if err := command.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSpecFlags_SetTheirFields(t *testing.T) {
	s := parseSpecFlags(t, "--label=team=docs", "--annotation=example.com/why=a=b", "--max-failed-files=3", "--deadline=90m", "--ttl=0s",
		"--deletion-policy=DetachFiles", "--suspend", "--chunk-size=400", "--chunk-overlap=0")
	if err := s.validate(); err != nil {
		t.Fatal(err)
	}
	var got, want v1alpha1.VectorStoreFileBatch
	s.apply(&got)
	got.Spec.ChunkingStrategy = s.chunking()
	want.Labels, want.Annotations = map[string]string{"team": "docs"}, map[string]string{"example.com/why": "a=b"}
	want.Spec = v1alpha1.VectorStoreFileBatchSpec{
		MaxFailedFiles: ptr.To[int32](3), ActiveDeadlineSeconds: ptr.To[int64](5400), TTLSecondsAfterFinished: ptr.To[int32](0),
		DeletionPolicy: v1alpha1.DeletionPolicyDetachFiles, Suspend: ptr.To(true),
		ChunkingStrategy: &v1alpha1.ChunkingStrategy{Type: v1alpha1.ChunkingStatic, Static: &v1alpha1.StaticChunking{
			MaxChunkSizeTokens: 400, ChunkOverlapTokens: ptr.To[int32](0),
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSpecFlags_DefaultsSetNothing requires that the manifest of a command without flags has none of their
// fields: a tool would restore them.
func TestSpecFlags_DefaultsSetNothing(t *testing.T) {
	s := parseSpecFlags(t)
	var got v1alpha1.VectorStoreFileBatch
	s.apply(&got)
	got.Spec.ChunkingStrategy = s.chunking()
	if diff := cmp.Diff(v1alpha1.VectorStoreFileBatch{}, got); diff != "" || s.validate() != nil {
		t.Errorf("%v (-want +got):\n%s", s.validate(), diff)
	}
}

func TestSpecFlags_Invalid(t *testing.T) {
	for _, args := range [][]string{
		{"--max-failed-files=2001"},
		{"--max-failed-files=-1"},
		{"--deadline=-1s"},
		{"--deadline=1500ms"},
		{"--ttl=-1s"},
		{"--ttl=800000h"},
		{"--deletion-policy=detachfiles"},
		{"--chunk-size=99"},
		{"--chunk-size=0"},
		{"--chunk-size=4097"},
		{"--chunk-overlap=1"},
		{"--chunk-overlap=51", "--chunk-size=100"},
		{"--chunk-overlap=-1", "--chunk-size=100"},
		{"--label=team"},
		{"--label=team=a b"},
		{"--label=-team=a"},
		{"--label=team=a", "--label=team=b"},
		{"--annotation=a b=c"},
	} {
		s := parseSpecFlags(t, args...)
		err := s.validate()
		flag, _, _ := strings.Cut(args[0], "=")
		if err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%q: %v, want an error that names %s", args, err, flag)
		}
	}
}
