// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	// maxFiles is the maximum number of files in a batch.
	maxFiles = 2000
	// listTimeout bounds the time that listing the failed files takes, over all pages.
	listTimeout = 5 * time.Minute
	// listAttempts is the number of attempts of a call that only reads. Servers respond with 500 at times.
	listAttempts = 4
	// nameRequests is the number of parallel requests for the names of files.
	nameRequests = 8
)

// failures implements the command failures.
type failures struct {
	*plugin
	credentials credentialFlags
	output      formatFlag
	journal     string
}

const failuresExample = `  # List the failed files of a batch
  kubectl vsfb failures scans

  # Count the failed files by error code
  kubectl vsfb failures scans -o json | jq '.failedFiles | group_by(.code) | map({(.[0].code): length}) | add'

  # Use your own API key
  OPENAI_API_KEY=... kubectl vsfb failures scans --from-env`

func (p *plugin) newFailures() *cobra.Command {
	f := &failures{plugin: p, output: newFormatFlag("table")}
	command := &cobra.Command{
		Use:   "failures NAME",
		Short: "List the failed files of a batch",
		Long: `List all failed files of a batch with their names, error codes and messages. The name is the path of
the file if this machine uploaded it, and otherwise the name that the API has.

The status of a batch lists only the first 100 failed files, so this command queries the OpenAI API.
It uses the API key from the Secret of the batch, which it reads with your permissions. If you cannot
read the Secret, or with --from-env, it uses OPENAI_API_KEY from the environment. Without an API key,
it shows the failed files from the status if the status lists all of them. The source is printed to
standard error.`,
		Example:           failuresExample,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: p.completeNames(false),
		RunE: func(command *cobra.Command, args []string) error {
			return f.run(command.Context(), args[0])
		},
	}
	f.output.addFlag(command)
	command.Flags().StringVar(&f.journal, "journal", "", "Advanced: path of the file that records uploads. Defaults to those in $XDG_STATE_HOME/kubectl-vsfb.")
	f.credentials.addFlags(command.Flags())
	return command
}

// report is the output of the command.
type report struct {
	Namespace     string       `json:"namespace"`
	Name          string       `json:"name"`
	VectorStoreID string       `json:"vectorStoreID"`
	BatchID       string       `json:"batchID"`
	FailedFiles   []failedFile `json:"failedFiles"`
}

// failedFile is a failed file with its name.
type failedFile struct {
	FileID string `json:"fileID"`
	// Name is the path of the file, or its name in the API; empty if neither is known.
	Name    string `json:"name,omitempty"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}

func (f *failures) run(ctx context.Context, name string) error {
	b, err := f.getBatch(ctx, name)
	if err != nil {
		return err
	}
	r := reportOf(b)
	if r.BatchID == "" {
		return fmt.Errorf("%s has no batch yet: %s", name, reasonOf(b))
	}
	source, err := f.readFailedFiles(ctx, b, &r)
	if err != nil {
		return err
	}
	f.notef("%s, read from %s.", counted(len(r.FailedFiles), "failed file", "failed files"), source)
	return f.output.write(f.Streams.Out, r, func() string {
		if len(r.FailedFiles) == 0 {
			return ""
		}
		t, _ := f.newTable(f.Streams.Out)
		return strings.Join(t.section(failedFileRows(r.FailedFiles)), "\n") + "\n"
	})
}

// reportOf returns a report without files.
func reportOf(b *v1alpha1.VectorStoreFileBatch) report {
	return report{Namespace: b.Namespace, Name: b.Name, VectorStoreID: b.Spec.VectorStoreID, BatchID: batch.ID(b), FailedFiles: []failedFile{}}
}

// addStatus adds the failed files in the status of a batch.
func (r *report) addStatus(b *v1alpha1.VectorStoreFileBatch) {
	for _, file := range b.Status.FailedFiles {
		r.FailedFiles = append(r.FailedFiles, failedFile{FileID: file.FileID, Code: file.Code, Message: file.Message})
	}
}

// readFailedFiles adds the failed files to the report and returns a description of their source.
func (f *failures) readFailedFiles(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, r *report) (string, error) {
	client, err := f.newAPIClient(ctx, f.credentials, b.Namespace, credentialsSecret(b), listTimeout)
	if err != nil {
		listed := b.Status.FailedFiles
		if counts := b.Status.FileCounts; f.credentials.fromEnv || counts == nil || int(counts.Failed) != len(listed) {
			return "", err
		}
		f.notef("Could not query the API, showing the failed files from the status: %v", err)
		r.addStatus(b)
		f.addPaths(f.journal, r.FailedFiles)
		return "the object's status, which lists all as of the operator's last poll", nil
	}
	defer client.Close()
	if err := f.list(ctx, client, r); err != nil {
		return "", err
	}
	f.addPaths(f.journal, r.FailedFiles)
	f.addNames(ctx, client, r.FailedFiles)
	return client.target, nil
}

// list adds the failed files that the API lists, ordered by ID.
func (f *failures) list(ctx context.Context, client apiClient, r *report) error {
	var files []upstream.FailedFile
	err := upload.Retry(ctx, listAttempts, func(ctx context.Context) (err error) {
		files, err = client.FailedFiles(ctx, upstream.BatchRef{VectorStoreID: r.VectorStoreID, BatchID: r.BatchID}, maxFiles)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the failed files from %s: %w", client.target, err)
	}
	for _, file := range files {
		r.FailedFiles = append(r.FailedFiles, failedFile{FileID: file.FileID, Code: file.Code, Message: file.Message})
	}
	slices.SortFunc(r.FailedFiles, func(a, b failedFile) int { return strings.Compare(a.FileID, b.FileID) })
	return nil
}

// addNames gets the names of the other files from the API. They are not essential, so it gives up after
// an error that is not about one file.
func (f *failures) addNames(ctx context.Context, client apiClient, files []failedFile) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(nameRequests)
	for i := range files {
		if files[i].Name != "" {
			continue
		}
		group.Go(func() error {
			err := upload.Retry(ctx, listAttempts, func(ctx context.Context) error {
				file, err := client.UploadedFile(ctx, files[i].FileID)
				files[i].Name = file.Name
				return err
			})
			if upstream.IsNotFound(err) {
				return nil // it was deleted
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		f.notef("Could not get the names of all files: %v", err)
	}
}

// credentialsSecret returns the name of the Secret that a batch references.
func credentialsSecret(b *v1alpha1.VectorStoreFileBatch) string {
	if b.Spec.CredentialsRef == nil {
		return v1alpha1.DefaultCredentialsSecret
	}
	return cmp.Or(b.Spec.CredentialsRef.Name, v1alpha1.DefaultCredentialsSecret)
}
