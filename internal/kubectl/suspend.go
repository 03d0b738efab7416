// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// SuspendManager is the field manager with which the plugin sets spec.suspend. As CancelManager, it must
// not begin with "kubectl".
const SuspendManager = "vsfb-suspend"

// suspend implements the commands suspend and resume.
type suspend struct {
	*plugin
	output   outputFlags
	selector batchSelector
	// suspended is what the command sets spec.suspend to.
	suspended bool
}

const suspendExample = `  # Suspend a batch: the operator makes no calls for it
  kubectl vsfb suspend handbook

  # Suspend all unfinished batches in the namespace
  kubectl vsfb suspend --all`

func (p *plugin) newSuspend() *cobra.Command {
	s := &suspend{plugin: p, output: newOutputFlags(), suspended: true}
	command := s.newCommand("suspend", "Suspend", suspendExample)
	command.Short = "Suspend batches: the operator makes no calls for them"
	command.Long = `Suspend batches. The operator makes no calls for a suspended batch: it does not create it, and does not
observe it. A batch that is in progress continues at the server. A cancellation and a deletion take
effect nevertheless.

The command sets only spec.suspend, by server-side apply with the field manager
"` + SuspendManager + `". The field therefore remains set when a GitOps tool applies a manifest without
it. Finished batches are not changed.`
	return command
}

const resumeExample = `  # Resume a batch
  kubectl vsfb resume handbook

  # Resume all suspended batches with a label
  kubectl vsfb resume -l team=docs`

func (p *plugin) newResume() *cobra.Command {
	s := &suspend{plugin: p, output: newOutputFlags()}
	command := s.newCommand("resume", "Resume", resumeExample)
	command.Short = "Resume suspended batches"
	command.Long = `Resume suspended batches. The command removes the spec.suspend that "suspend" set. If another manager set
the field too, it sets it to false; a GitOps tool whose manifest suspends the batch suspends it again.`
	return command
}

func (s *suspend) newCommand(name, verb, example string) *cobra.Command {
	command := &cobra.Command{
		Use:               name + " (NAME... | -l SELECTOR | --all)",
		Example:           example,
		ValidArgsFunction: s.completeNames(true),
		RunE: func(command *cobra.Command, names []string) error {
			return s.run(command.Context(), names)
		},
	}
	s.output.addFlags(command, `If "client", only print the batches that would be changed. If "server", also have the API server validate the requests.`)
	s.selector.addFlags(command.Flags(), verb)
	return command
}

func (s *suspend) run(ctx context.Context, names []string) error {
	if err := errors.Join(s.selector.validate(names), s.output.validate()); err != nil {
		return err
	}
	client, err := s.newBatchClient()
	if err != nil {
		return err
	}
	purpose := "to resume"
	if s.suspended {
		purpose = "to suspend"
	}
	found, err := s.selector.findUnfinished(ctx, s.plugin, client, names, purpose)
	if err != nil {
		return err
	}
	var errs []error
	for i := range found {
		b, operation, err := s.set(ctx, client, &found[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", found[i].Name, err))
			continue
		}
		errs = append(errs, s.output.printObject(s.Streams.Out, b, operation))
	}
	return errors.Join(errs...)
}

// set suspends or resumes a batch, and returns it with the operation.
func (s *suspend) set(ctx context.Context, client batchClient, b *v1alpha1.VectorStoreFileBatch) (*v1alpha1.VectorStoreFileBatch, string, error) {
	switch {
	case isFinished(b):
		return b, "already finished", nil
	case s.suspended && s.output.dryRun == dryRunClient:
		return b, "suspended", nil
	case s.suspended:
		// Also if another manager suspended it, so that it remains suspended when that one stops.
		b, err := client.applySpec(ctx, b, &configuredSpec{Suspend: ptr.To(true)}, SuspendManager, s.output.serverDryRun())
		return b, "suspended", err
	case !ptr.Deref(b.Spec.Suspend, false):
		return b, "not suspended", nil
	case s.output.dryRun == dryRunClient:
		return b, "resumed", nil
	}
	b, err := client.applySpec(ctx, b, nil, SuspendManager, s.output.serverDryRun())
	if err == nil && ptr.Deref(b.Spec.Suspend, false) {
		b, err = client.applySpec(ctx, b, &configuredSpec{Suspend: ptr.To(false)}, SuspendManager, s.output.serverDryRun())
	}
	return b, "resumed", err
}
