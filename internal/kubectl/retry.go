// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
)

// permanent are the codes of failures that a retry does not change.
var permanent = []string{"unsupported_file", "invalid_file"}

// retry implements the command retry.
type retry struct {
	*plugin
	output      outputFlags
	credentials credentialFlags
	name        string
	all         bool
}

const retryExample = `  # Create a batch from the files of another one that failed because of the server
  kubectl vsfb retry scans

  # Retry all failed files, also those that the server could not read
  kubectl vsfb retry scans --all --name=scans-again`

func (p *plugin) newRetry() *cobra.Command {
	r := &retry{plugin: p, output: newOutputFlags()}
	command := &cobra.Command{
		Use:   "retry NAME",
		Short: "Create a batch from the failed files of another one",
		Long: `Create a batch from the failed files of a finished one, with its settings. The files of a batch are
immutable, and the API processes a batch once, so a retry requires a new object. Its name is NAME-retry-1
by default, and NAME-retry-2 for a retry of that one.

Files with the codes unsupported_file and invalid_file fail again, so they are left out unless --all is
set. Labels, annotations, cancel and suspend are not copied. Of an adopted batch, the object has no
attributes and no chunking strategy to copy.

If the status of the batch does not list all failed files, the command reads them from the OpenAI API,
with the API key from the Secret of the batch or, with --from-env, from the environment.`,
		Example:           retryExample,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: p.completeNames(false),
		RunE: func(command *cobra.Command, args []string) error {
			return r.run(command.Context(), args[0])
		},
	}
	r.output.addFlags(command, `If "client", only print the object. If "server", also have the API server validate it.`)
	r.credentials.addFlags(command.Flags())
	command.Flags().StringVar(&r.name, "name", "", "Name of the new object.")
	command.Flags().BoolVar(&r.all, "all", false, "Retry all failed files, also those with the codes unsupported_file and invalid_file.")
	return command
}

func (r *retry) run(ctx context.Context, name string) error {
	if err := r.output.validate(); err != nil {
		return err
	}
	client, err := r.newBatchClient()
	if err != nil {
		return err
	}
	b, err := client.get(ctx, name)
	if err != nil {
		return err
	}
	if !isFinished(b) {
		return fmt.Errorf("%s is not finished (%s): wait for it, or cancel it", name, stateOf(b))
	}
	if batch.ID(b) == "" || fileCounts(b).Failed == 0 {
		r.notef("%s has no failed files.", name)
		return nil
	}
	retried, err := r.retriedFiles(ctx, b)
	if err != nil {
		return err
	}
	again, err := r.newBatch(b, retried)
	if err != nil {
		return err
	}
	operation := "created"
	if r.output.dryRun != dryRunClient {
		if again, operation, err = client.createOrCompare(ctx, again, r.output.serverDryRun()); err != nil {
			return err
		}
	}
	return r.output.printObject(r.Streams.Out, again, operation)
}

// retriedFiles returns the IDs of the failed files to retry.
func (r *retry) retriedFiles(ctx context.Context, b *v1alpha1.VectorStoreFileBatch) (map[string]bool, error) {
	failed := reportOf(b)
	if int(fileCounts(b).Failed) == len(b.Status.FailedFiles) {
		failed.addStatus(b)
	} else {
		reader := failures{plugin: r.plugin, credentials: r.credentials}
		client, err := r.newAPIClient(ctx, r.credentials, b.Namespace, credentialsSecret(b), listTimeout)
		if err != nil {
			return nil, fmt.Errorf("the status lists only the first %d failed files: %w", len(b.Status.FailedFiles), err)
		}
		defer client.Close()
		if err := reader.list(ctx, client, &failed); err != nil {
			return nil, err
		}
	}
	retried, left := map[string]bool{}, 0
	for _, file := range failed.FailedFiles {
		if slices.Contains(permanent, file.Code) && !r.all {
			left++
			continue
		}
		retried[file.FileID] = true
	}
	if left > 0 {
		r.notef("Leaving out %s that the server cannot read; --all retries them too.", counted(left, "file", "files"))
	}
	if len(retried) == 0 {
		return nil, errors.New("no failed file can succeed in a retry")
	}
	return retried, nil
}

// newBatch returns an object with the settings of a batch and those of its files that are retried.
func (r *retry) newBatch(b *v1alpha1.VectorStoreFileBatch, retried map[string]bool) (*v1alpha1.VectorStoreFileBatch, error) {
	again := &v1alpha1.VectorStoreFileBatch{ObjectMeta: metav1.ObjectMeta{Name: r.name, Namespace: b.Namespace}, Spec: *b.Spec.DeepCopy()}
	again.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))
	if r.name == "" {
		again.Name = retryName(b.Name)
	}
	spec := &again.Spec
	spec.Cancel, spec.Suspend = nil, nil
	if spec.BatchID != "" {
		// The deletion policy of an adopted batch is that of a batch that others created.
		spec.BatchID, spec.DeletionPolicy = "", ""
		for id := range retried {
			spec.FileIDs = append(spec.FileIDs, id)
		}
		slices.Sort(spec.FileIDs)
	}
	spec.FileIDs = slices.DeleteFunc(spec.FileIDs, func(id string) bool { return !retried[id] })
	spec.Files = slices.DeleteFunc(spec.Files, func(f v1alpha1.File) bool { return !retried[f.FileID] })
	if len(spec.FileIDs)+len(spec.Files) == 0 {
		return nil, fmt.Errorf("%s has none of the failed files in its spec: the server changes the IDs of files", b.Name)
	}
	return again, nil
}

var retrySuffix = regexp.MustCompile(`^(.+)-retry-([0-9]{1,6})$`)

// retryName returns the name of the retry of a batch.
func retryName(name string) string {
	if parts := retrySuffix.FindStringSubmatch(name); parts != nil {
		number, _ := strconv.Atoi(parts[2]) // it has at most 6 digits
		return fmt.Sprintf("%s-retry-%d", parts[1], number+1)
	}
	return name + "-retry-1"
}
