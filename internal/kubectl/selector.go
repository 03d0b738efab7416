// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// batchSelector selects the batches of a command by their names, by labels, or all of a namespace.
type batchSelector struct {
	labels string
	all    bool
}

// addFlags adds the flags. verb describes what the command does with the batches.
func (s *batchSelector) addFlags(flags *pflag.FlagSet, verb string) {
	flags.StringVarP(&s.labels, "selector", "l", "", verb+" the batches that match this label selector, such as team=docs.")
	flags.BoolVar(&s.all, "all", false, verb+" all batches in the namespace.")
}

func (s *batchSelector) validate(names []string) error {
	selections := 0
	for _, used := range []bool{len(names) > 0, s.labels != "", s.all} {
		if used {
			selections++
		}
	}
	switch {
	case selections == 0:
		return errors.New("no batches selected: specify NAME, -l or --all")
	case selections > 1:
		return errors.New("NAME, -l and --all are mutually exclusive")
	}
	return nil
}

func (s *batchSelector) find(ctx context.Context, client batchClient, names []string) ([]v1alpha1.VectorStoreFileBatch, error) {
	list, err := client.find(ctx, names, metav1.ListOptions{LabelSelector: s.labels})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// findUnfinished returns the selected batches, without finished ones that are not selected by their name.
// purpose completes "2 batches" in the note of how many there are.
func (s *batchSelector) findUnfinished(ctx context.Context, p *plugin, client batchClient, names []string, purpose string) ([]v1alpha1.VectorStoreFileBatch, error) {
	found, err := s.find(ctx, client, names)
	if err != nil || len(names) > 0 {
		return found, err
	}
	unfinished := slices.DeleteFunc(slices.Clone(found), func(b v1alpha1.VectorStoreFileBatch) bool { return isFinished(&b) })
	if skipped := len(found) - len(unfinished); len(unfinished) == 0 || skipped > 0 {
		p.notef("%s %s; %d already finished.", counted(len(unfinished), "batch", "batches"), purpose, skipped)
	}
	return unfinished, nil
}
