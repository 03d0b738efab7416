// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/fileset"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/sync"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	// labelSync is a label of the objects of sync: a hash of the vector store and the owner.
	labelSync = "vector-store-operator.dev/sync"
	// annotationOwner is the owner.
	annotationOwner = "vector-store-operator.dev/sync-owner"
)

// objectAttacher attaches files with VectorStoreFileBatches.
type objectAttacher struct {
	*syncFolder
	client     batchClient
	attributes map[string]any
}

// Attach implements sync.Attacher. The name of the object depends on the owner and the files, so that a
// run that follows an interrupted one takes the object that exists.
func (a *objectAttacher) Attach(ctx context.Context, wave sync.Wave) (string, error) {
	b, err := a.object(wave)
	if err != nil {
		return "", err
	}
	name := b.Name
	for attempt := 2; ; attempt++ {
		_, err := a.client.create(ctx, b, metav1.CreateOptions{FieldManager: createManager})
		if !apierrors.IsAlreadyExists(err) {
			if err != nil {
				return "", fmt.Errorf("creating VectorStoreFileBatch %s: %w", b.Name, err)
			}
			return b.Name, nil
		}
		existing, err := a.client.get(ctx, b.Name)
		if err != nil {
			return "", err
		}
		// The files of a finished batch are not in the vector store any more, or it was cancelled.
		if !isFinished(existing) && existing.DeletionTimestamp.IsZero() {
			return b.Name, nil
		}
		b.Name = fmt.Sprintf("%s-%d", name, attempt)
	}
}

// object returns the object of a wave.
func (a *objectAttacher) object(wave sync.Wave) (*v1alpha1.VectorStoreFileBatch, error) {
	p := &plan{namespace: a.client.namespace, vectorStore: a.vectorStore, secret: a.secret}
	files := slices.SortedFunc(slices.Values(wave.Files), func(x, y sync.WaveFile) int { return strings.Compare(x.FileID, y.FileID) })
	parts := []string{a.vectorStore, a.owner, fmt.Sprint(wave.Common)}
	for _, f := range files {
		parts = append(parts, f.FileID, f.Path, f.Version)
	}
	b := p.object(a.objectPrefix() + digest(parts...))
	b.Labels = map[string]string{labelSync: a.label()}
	b.Annotations = map[string]string{annotationOwner: a.owner}
	b.Spec.DeletionPolicy = v1alpha1.DeletionPolicyOrphan
	b.Spec.TTLSecondsAfterFinished = ptr.To(int32(a.ttl.Seconds()))
	chunking := a.objectChunking()
	if wave.Common {
		for _, f := range files {
			b.Spec.FileIDs = append(b.Spec.FileIDs, f.FileID)
		}
		b.Spec.ChunkingStrategy = chunking
		var err error
		b.Spec.Attributes, err = objectAttributes(sync.CommonAttributes(a.owner))
		return b, err
	}
	for _, f := range files {
		attributes, err := objectAttributes(f.Attributes)
		if err != nil {
			return nil, err
		}
		b.Spec.Files = append(b.Spec.Files, v1alpha1.File{FileID: f.FileID, Attributes: attributes, ChunkingStrategy: chunking})
	}
	return b, nil
}

// label returns the value of labelSync.
func (a *objectAttacher) label() string { return digest(a.vectorStore, a.owner) }

// objectPrefix returns the beginning of the names of objects: a readable form of the owner.
func (a *objectAttacher) objectPrefix() string {
	const maxLength = 40
	readable := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, a.owner)
	readable = strings.Trim(readable[:min(len(readable), maxLength)], "-")
	if readable == "" {
		return "sync-"
	}
	return "sync-" + readable + "-"
}

func (a *objectAttacher) objectChunking() *v1alpha1.ChunkingStrategy {
	if a.chunkSize == 0 {
		return nil
	}
	return &v1alpha1.ChunkingStrategy{Type: v1alpha1.ChunkingStatic, Static: &v1alpha1.StaticChunking{
		MaxChunkSizeTokens: int32(a.chunkSize), ChunkOverlapTokens: ptr.To(int32(a.chunkOverlap)),
	}}
}

func objectAttributes(attributes map[string]any) (v1alpha1.Attributes, error) {
	converted := v1alpha1.Attributes{}
	for key, value := range attributes {
		if text, isText := value.(string); isText {
			converted[key] = stringValue(text)
			continue
		}
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", key, err)
		}
		converted[key] = v1alpha1.AttributeValue{Raw: raw}
	}
	return converted, nil
}

// Poll implements sync.Attacher.
func (a *objectAttacher) Poll(ctx context.Context, name string) (sync.BatchState, error) {
	b, err := a.client.get(ctx, name)
	if apierrors.IsNotFound(err) {
		return sync.BatchState{}, &upstream.Error{Kind: upstream.NotFound, Message: err.Error()}
	}
	if err != nil {
		return sync.BatchState{}, err
	}
	// Without counts, the operator has not seen the batch's files: those are not lost.
	state := sync.BatchState{Finished: isFinished(b), Counts: upstream.FileCounts{Total: -1}}
	if counts := b.Status.FileCounts; counts != nil {
		state.Counts = upstream.FileCounts{
			InProgress: int64(counts.InProgress), Completed: int64(counts.Completed), Failed: int64(counts.Failed),
			Cancelled: int64(counts.Cancelled), Total: int64(counts.Total),
		}
	}
	// The server ignored the files: the batch is finished, whatever the operator makes of it.
	ignored := state.Counts.Total == 0 && b.Status.Status == string(upstream.Completed)
	if state.Finished = state.Finished || ignored; !state.Finished {
		state.Stuck = stalledReason(b)
	}
	return state, nil
}

// stalledReason returns why an object needs action by a user; "" if it does not.
func stalledReason(b *v1alpha1.VectorStoreFileBatch) string {
	stalled := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionStalled)
	if stalled == nil || stalled.Status != metav1.ConditionTrue {
		return ""
	}
	return fmt.Sprintf("%s: %s", stalled.Reason, stalled.Message)
}

// Running implements sync.Attacher.
func (a *objectAttacher) Running(ctx context.Context, _ []string) (sync.Running, error) {
	list, err := a.client.list(ctx, metav1.ListOptions{LabelSelector: labelSync + "=" + a.label()})
	if err != nil {
		return sync.Running{}, fmt.Errorf("%w; --without-operator needs no cluster", err)
	}
	running := sync.Running{Batches: map[string]bool{}}
	for _, b := range list.Items {
		if isFinished(&b) {
			continue
		}
		if stalled := stalledReason(&b); stalled != "" {
			return sync.Running{}, fmt.Errorf("VectorStoreFileBatch %s of an earlier run needs attention: %s; remove the cause, or delete the object", b.Name, stalled)
		}
		running.Batches[b.Name] = true
		for _, f := range b.Spec.Files {
			if u, ok := a.uploadOf(f); ok {
				running.Files = append(running.Files, u)
			}
		}
	}
	return running, nil
}

// uploadOf returns the document of a file in an object.
func (a *objectAttacher) uploadOf(f v1alpha1.File) (fileset.Upload, bool) {
	path, _ := f.Attributes[fileset.AttributePath].Scalar()
	value, _ := f.Attributes[fileset.AttributeOwner].Scalar()
	owner, version, ok := fileset.ParseOwnerAttribute(value)
	text, isText := path.(string)
	return fileset.Upload{FileID: f.FileID, Path: text, Version: version, Attached: true}, ok && isText && owner == a.owner && version != ""
}
