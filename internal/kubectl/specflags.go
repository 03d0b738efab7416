// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// specFlags set the metadata and the spec of objects that a command creates, except for their files.
type specFlags struct {
	flags *pflag.FlagSet

	labels, annotations     []string
	maxFailedFiles          int32
	deadline, ttl           time.Duration
	deletionPolicy          string
	chunkSize, chunkOverlap int32
	suspend                 bool
}

var deletionPolicies = []string{
	string(v1alpha1.DeletionPolicyCancel), string(v1alpha1.DeletionPolicyOrphan), string(v1alpha1.DeletionPolicyDetachFiles),
}

func (s *specFlags) addFlags(command *cobra.Command) {
	flags := command.Flags()
	s.flags = flags
	flags.StringArrayVar(&s.labels, "label", nil, "Label of the objects, as KEY=VALUE. Can be repeated.")
	flags.StringArrayVar(&s.annotations, "annotation", nil, "Annotation of the objects, as KEY=VALUE. Can be repeated.")
	flags.Int32Var(&s.maxFailedFiles, "max-failed-files", 0, "Number of files that can fail before a batch counts as failed.")
	flags.DurationVar(&s.deadline, "deadline", 0, "Maximum duration of a batch, such as 2h, after which the operator cancels it. 0 means no limit.")
	flags.DurationVar(&s.ttl, "ttl", 0, "Time after which the operator deletes a finished object, such as 24h. Without it, it does not.")
	flags.StringVar(&s.deletionPolicy, "deletion-policy", "", "What happens to a batch when its object is deleted: "+strings.Join(deletionPolicies, ", ")+". Defaults to Cancel.")
	flags.Int32Var(&s.chunkSize, "chunk-size", 0, "Maximum number of tokens in a chunk, 100 to 4096. The API decides without it.")
	flags.Int32Var(&s.chunkOverlap, "chunk-overlap", 0, "Number of tokens that two chunks share, at most half of --chunk-size.")
	flags.BoolVar(&s.suspend, "suspend", false, "Create suspended objects, whose batches the operator creates once they are resumed.")
	completeFlag(command, "deletion-policy", fixedCompletions(deletionPolicies...))
}

// The limits of chunks, as in the schema.
const minChunkSize, maxChunkSize = 100, 4096

func (s *specFlags) validate() error {
	switch {
	case s.maxFailedFiles < 0 || s.maxFailedFiles > maxFiles:
		return fmt.Errorf("--max-failed-files must be between 0 and %d", maxFiles)
	case !wholeSeconds(s.deadline):
		return errors.New("--deadline must be a number of whole seconds, and at most 68 years")
	case !wholeSeconds(s.ttl):
		return errors.New("--ttl must be a number of whole seconds, and at most 68 years")
	case s.deletionPolicy != "" && !slices.Contains(deletionPolicies, s.deletionPolicy):
		return fmt.Errorf("--deletion-policy must be one of %s", strings.Join(deletionPolicies, ", "))
	}
	return errors.Join(s.validateChunks(), s.validateMetadata())
}

// wholeSeconds reports whether a duration can be a field of the spec.
func wholeSeconds(d time.Duration) bool {
	return d >= 0 && d%time.Second == 0 && d/time.Second <= math.MaxInt32
}

func (s *specFlags) validateChunks() error {
	switch {
	case s.flags.Changed("chunk-size") && (s.chunkSize < minChunkSize || s.chunkSize > maxChunkSize):
		return fmt.Errorf("--chunk-size must be between %d and %d", minChunkSize, maxChunkSize)
	case s.flags.Changed("chunk-overlap") && !s.flags.Changed("chunk-size"):
		return errors.New("--chunk-overlap requires --chunk-size")
	case s.chunkOverlap < 0 || s.chunkOverlap > s.chunkSize/2:
		return errors.New("--chunk-overlap must be between 0 and half of --chunk-size")
	}
	return nil
}

func (s *specFlags) validateMetadata() error {
	labels, err := pairs("label", s.labels)
	if err != nil {
		return err
	}
	for key, value := range labels {
		if problems := validation.IsValidLabelValue(value); len(problems) > 0 {
			return fmt.Errorf("the value of --label %s is not valid: %s", key, strings.Join(problems, "; "))
		}
	}
	_, err = pairs("annotation", s.annotations)
	return err
}

// apply sets the fields of an object. The flags are valid.
func (s *specFlags) apply(b *v1alpha1.VectorStoreFileBatch) {
	b.Labels, _ = pairs("label", s.labels)
	b.Annotations, _ = pairs("annotation", s.annotations)
	if s.flags.Changed("max-failed-files") {
		b.Spec.MaxFailedFiles = ptr.To(s.maxFailedFiles)
	}
	if s.deadline > 0 {
		b.Spec.ActiveDeadlineSeconds = ptr.To(int64(s.deadline / time.Second))
	}
	if s.flags.Changed("ttl") {
		b.Spec.TTLSecondsAfterFinished = ptr.To(int32(s.ttl / time.Second))
	}
	if s.suspend {
		b.Spec.Suspend = ptr.To(true)
	}
	b.Spec.DeletionPolicy = v1alpha1.DeletionPolicy(s.deletionPolicy)
}

// chunking returns the chunking strategy of the files; nil if the API decides.
func (s *specFlags) chunking() *v1alpha1.ChunkingStrategy {
	if !s.flags.Changed("chunk-size") {
		return nil
	}
	return &v1alpha1.ChunkingStrategy{Type: v1alpha1.ChunkingStatic, Static: &v1alpha1.StaticChunking{
		MaxChunkSizeTokens: s.chunkSize, ChunkOverlapTokens: ptr.To(s.chunkOverlap),
	}}
}

// pairs parses the values KEY=VALUE of a flag. A key is that of a label or an annotation.
func pairs(flag string, values []string) (map[string]string, error) {
	var all map[string]string
	for _, text := range values {
		key, value, hasSeparator := strings.Cut(text, "=")
		if !hasSeparator {
			return nil, fmt.Errorf("--%s %q is not KEY=VALUE", flag, text)
		}
		if problems := validation.IsQualifiedName(key); len(problems) > 0 {
			return nil, fmt.Errorf("the key of --%s %q is not valid: %s", flag, text, strings.Join(problems, "; "))
		}
		if _, exists := all[key]; exists {
			return nil, fmt.Errorf("--%s sets the key %q twice", flag, key)
		}
		if all == nil {
			all = make(map[string]string)
		}
		all[key] = value
	}
	return all, nil
}
